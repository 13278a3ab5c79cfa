/** Decompresses a payload, never beyond a cap, and never so long at a stretch that other requests notice. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { crc32, gunzip, gunzipSync, inflateRaw } from 'node:zlib';
import { type Fault, fault } from '../errors.ts';
import { LzStringDecoder } from '../wire/v0/lz-string.ts';

/** Up to here, in and out, inflating at once costs less than leaving the event loop; above it, others would wait too long. */
const MAX_SYNC_BYTES = 128 * 1024;
const MAX_SYNC_INFLATED_BYTES = 1 << 20;
const GZIP_HEADER_BYTES = 10;
const GZIP_TRAILER_BYTES = 8;

function isTooLarge(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
}

function inflateFault(error: unknown, maxBytes: number): Fault {
  if (isTooLarge(error)) {
    return fault('payload_too_large', { problem: `Decompressed payload would exceed ${maxBytes} bytes` });
  }
  return fault('invalid_encoding', { problem: 'invalid GZIP data: the body is cut short or damaged' });
}

/**
 * Inflates the first member of gzip; bytes behind it are ignored (protocol.md 2.5). Never beyond `maxBytes`. Large input is
 * done off the event loop.
 */
export function inflateGzip(bytes: Buffer, maxBytes: number): Buffer | Fault | Promise<Buffer | Fault> {
  // The next chunk is made when the output is longer than the last: one that fits the usual ratio spares the copies.
  const chunkSize = Math.max(4096, Math.min(bytes.length * 8, 1 << 20));
  if (bytes.length <= MAX_SYNC_BYTES) {
    const maxSyncBytes = Math.min(maxBytes, MAX_SYNC_INFLATED_BYTES);
    try {
      const inflated = gunzipSync(bytes, { maxOutputLength: maxSyncBytes, chunkSize });
      return isOneMember(bytes, inflated) ? inflated : inflateFirstMember(bytes, maxBytes, chunkSize);
    } catch (error) {
      if (!isTooLarge(error)) return inflateFirstMember(bytes, maxBytes, chunkSize);
      if (maxSyncBytes === maxBytes) return inflateFault(error, maxBytes);
    }
  }
  const options = { maxOutputLength: maxBytes, chunkSize };
  return new Promise((resolve) => {
    gunzip(bytes, options, (error, inflated) => {
      if (error === null && isOneMember(bytes, inflated)) resolve(inflated);
      else if (error !== null && isTooLarge(error)) resolve(inflateFault(error, maxBytes));
      else resolve(inflateFirstMember(bytes, maxBytes, chunkSize));
    });
  });
}

/** The last four bytes of gzip are the length of its last member: that of all where there is one alone, or empty ones before. */
function isOneMember(bytes: Buffer, inflated: Buffer): boolean {
  return bytes.readUInt32LE(bytes.length - 4) === inflated.length;
}

/**
 * For what Node's own gunzip refuses, or reads on in: bytes behind the first member. It tells how far it read only for the
 * bare stream inside, so that header and checksum are ours to read.
 */
function inflateFirstMember(bytes: Buffer, maxBytes: number, chunkSize: number): Promise<Buffer | Fault> | Fault {
  const start = gzipHeaderEnd(bytes);
  if (start < 0) return inflateFault(undefined, maxBytes);
  const options = { maxOutputLength: maxBytes, chunkSize, info: true };
  return new Promise((resolve) => {
    inflateRaw(bytes.subarray(start), options, (error, result) => {
      const read = error === null ? readBytes(result) : undefined;
      if (read === undefined) {
        resolve(inflateFault(error, maxBytes));
        return;
      }
      const { buffer, bytesRead } = read;
      const trailer = start + bytesRead;
      const isWhole =
        bytes.length >= trailer + GZIP_TRAILER_BYTES &&
        bytes.readUInt32LE(trailer) === crc32(buffer) &&
        bytes.readUInt32LE(trailer + 4) === buffer.length;
      resolve(isWhole ? buffer : inflateFault(undefined, maxBytes));
    });
  });
}

/** What zlib gives with `info`, which its types do not say. */
function readBytes(result: unknown): { readonly buffer: Buffer; readonly bytesRead: number } | undefined {
  if (typeof result !== 'object' || result === null || !('buffer' in result) || !('engine' in result)) return undefined;
  const { buffer, engine } = result;
  if (!Buffer.isBuffer(buffer) || typeof engine !== 'object' || engine === null) return undefined;
  if (!('bytesWritten' in engine) || typeof engine.bytesWritten !== 'number') return undefined;
  return { buffer, bytesRead: engine.bytesWritten };
}

/** RFC 1952 2.3. @returns where the deflate stream begins; -1 when the header is cut short or unknown */
function gzipHeaderEnd(bytes: Buffer): number {
  const flags = bytes[3];
  if (flags === undefined || (flags & 0xe0) !== 0) return -1;
  let at = GZIP_HEADER_BYTES;
  if ((flags & 0x04) !== 0) {
    if (bytes.length < at + 2) return -1;
    at += 2 + bytes.readUInt16LE(at);
  }
  for (const text of [0x08, 0x10]) {
    if ((flags & text) === 0) continue;
    const end = bytes.indexOf(0, at);
    if (end < 0) return -1;
    at = end + 1;
  }
  if ((flags & 0x02) !== 0) at += 2;
  return at < bytes.length ? at : -1;
}

/** About 2 ms of LZ-string. */
const LZ_STEP = 1 << 15;
/** Each holds its body, of at most 20 MiB, and a little output. */
export const MAX_WAITING_LZ = 8;

/**
 * Undoes LZ-string: a small payload at once, a large one in steps between which other requests run. One large one at a
 * time, since its output may take 150 MiB while it is made; more than a few that wait are refused with `overloaded`.
 */
export class LzStringInflater {
  readonly #maxBytes: number;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  inflate(text: Buffer): Buffer | Fault | Promise<Buffer | Fault> {
    const decoder = new LzStringDecoder(text, this.#maxBytes);
    const result = decoder.advance(LZ_STEP);
    if (result !== 'more') return result;
    if (this.#waiting >= MAX_WAITING_LZ) return fault('overloaded');
    this.#waiting += 1;
    const later = this.#last.then(() => finish(decoder));
    // Not the text itself, which would be kept until the next one.
    this.#last = later.then(() => {
      this.#waiting -= 1;
    });
    return later;
  }
}

async function finish(decoder: LzStringDecoder): Promise<Buffer | Fault> {
  for (;;) {
    await nextTurn();
    const result = decoder.advance(LZ_STEP);
    if (result !== 'more') return result;
  }
}
