/**
 * The body of a V1 request, decompressed (protocol.md 8.1, 6).
 *
 * Bounds   the output stays below `limitBytes` while it grows: a result of exactly the limit is refused already, as the
 *          real service does. Small input is done at once, large input off the event loop.
 * Failure  what is no such stream, or is cut short, is `request_decoding_error`; what grows too large `payload_too_large`.
 */
import {
  brotliDecompress, brotliDecompressSync, gunzip, gunzipSync, inflate, inflateRaw, inflateRawSync, inflateSync,
} from 'node:zlib'; // prettier-ignore
import { type Fault, fault } from '../errors.ts';
import type { ContentEncoding } from '../wire/v1/request-headers.ts';
import { type ZstdResult, ZstdDecompressor } from './zstd.ts';

type Options = { readonly maxOutputLength: number; readonly chunkSize: number };

interface Codec {
  readonly name: string;
  readonly sync: (bytes: Buffer, options: Options) => Buffer;
  readonly later: (bytes: Buffer, options: Options, done: (error: Error | null, result: Buffer) => void) => void;
}

const CODECS: Readonly<Record<'gzip' | 'zlib' | 'raw' | 'br', Codec>> = {
  gzip: { name: 'gzip', sync: gunzipSync, later: gunzip },
  zlib: { name: 'deflate', sync: inflateSync, later: inflate },
  raw: { name: 'deflate', sync: inflateRawSync, later: inflateRaw },
  br: { name: 'br', sync: brotliDecompressSync, later: brotliDecompress },
};
const ZLIB_FIRST_BYTE = 0x78; // protocol.md 8.1: else it is deflate without zlib's frame

/** Up to here, in and out, decompressing at once costs less than leaving the event loop (as capture/inflate.ts). */
const MAX_SYNC_BYTES = 128 * 1024;
const MAX_SYNC_INFLATED_BYTES = 1 << 20;
const MIN_CHUNK_BYTES = 4096;
/** JSON of events shrinks to about an eighth: a chunk of that size spares copies. */
const USUAL_RATIO = 8;

export class Decompressor {
  readonly #limitBytes: number;
  readonly #zstd: ZstdDecompressor;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
    this.#zstd = new ZstdDecompressor(limitBytes - 1);
  }

  decompress(bytes: Buffer, encoding: ContentEncoding): Buffer | Fault | Promise<Buffer | Fault> {
    switch (encoding) {
      case 'gzip':
        return this.#zlib(bytes, CODECS.gzip);
      case 'deflate':
        return this.#zlib(bytes, bytes[0] === ZLIB_FIRST_BYTE ? CODECS.zlib : CODECS.raw);
      case 'br':
        return this.#zlib(bytes, CODECS.br);
      case 'zstd':
        return this.#zstd.decompress(bytes).then((result) => this.#zstdAnswer(result));
    }
  }

  #zlib(bytes: Buffer, codec: Codec): Buffer | Fault | Promise<Buffer | Fault> {
    const maxOutputLength = this.#limitBytes - 1;
    const chunkSize = Math.max(MIN_CHUNK_BYTES, Math.min(bytes.length * USUAL_RATIO, MAX_SYNC_INFLATED_BYTES));
    if (bytes.length <= MAX_SYNC_BYTES) {
      const maxSyncBytes = Math.min(maxOutputLength, MAX_SYNC_INFLATED_BYTES);
      try {
        return codec.sync(bytes, { maxOutputLength: maxSyncBytes, chunkSize });
      } catch (error) {
        if (!isTooLarge(error) || maxSyncBytes === maxOutputLength) return this.#faultOf(error, codec);
      }
    }
    return new Promise((resolve) => {
      codec.later(bytes, { maxOutputLength, chunkSize }, (error, result) => {
        resolve(error === null ? result : this.#faultOf(error, codec));
      });
    });
  }

  #faultOf(error: unknown, codec: Codec): Fault {
    return isTooLarge(error) ? this.#tooLarge() : damaged(codec.name);
  }

  #zstdAnswer(result: ZstdResult): Buffer | Fault {
    switch (result.kind) {
      case 'decompressed':
        return result.bytes;
      case 'too_large':
        return this.#tooLarge();
      case 'damaged':
        return damaged('zstd');
      case 'overloaded':
        return fault('overloaded');
    }
  }

  #tooLarge(): Fault {
    return fault('payload_too_large', { problem: `Decompressed payload would reach ${this.#limitBytes} bytes` });
  }
}

function damaged(encoding: string): Fault {
  return fault('request_decoding_error', {
    problem: `Content-Encoding says ${encoding}, and the body is no such stream, or is cut short or damaged.`,
  });
}

function isTooLarge(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
}
