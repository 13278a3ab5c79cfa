import { gunzip, gunzipSync } from 'node:zlib';
import { type Fault, fault } from '../errors.ts';

/** Up to here, in and out, inflating at once costs less than leaving the event loop; above it, others would wait too long. */
const MAX_SYNC_BYTES = 128 * 1024;
const MAX_SYNC_INFLATED_BYTES = 1 << 20;

function isTooLarge(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
}

function inflateFault(error: unknown, maxBytes: number): Fault {
  if (isTooLarge(error)) {
    return fault('payload_too_large', { problem: `Decompressed payload would exceed ${maxBytes} bytes` });
  }
  return fault('invalid_encoding', { problem: 'invalid GZIP data: the body is cut short or damaged' });
}

/** Inflates gzip, never beyond `maxBytes`. Large input is done off the event loop. */
export function inflateGzip(bytes: Buffer, maxBytes: number): Buffer | Fault | Promise<Buffer | Fault> {
  // The next chunk is made when the output is longer than the last: one that fits the usual ratio spares the copies.
  const chunkSize = Math.max(4096, Math.min(bytes.length * 8, 1 << 20));
  if (bytes.length <= MAX_SYNC_BYTES) {
    const maxSyncBytes = Math.min(maxBytes, MAX_SYNC_INFLATED_BYTES);
    try {
      return gunzipSync(bytes, { maxOutputLength: maxSyncBytes, chunkSize });
    } catch (error) {
      if (!isTooLarge(error) || maxSyncBytes === maxBytes) return inflateFault(error, maxBytes);
    }
  }
  const options = { maxOutputLength: maxBytes, chunkSize };
  return new Promise((resolve) => {
    gunzip(bytes, options, (error, inflated) => {
      resolve(error === null ? inflated : inflateFault(error, maxBytes));
    });
  });
}
