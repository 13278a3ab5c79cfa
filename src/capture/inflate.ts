import { gunzip, gunzipSync } from 'node:zlib';
import { type Fault, fault } from '../errors.ts';

/** Up to here inflating at once costs less than leaving the event loop; above it, others would wait too long. */
const MAX_SYNC_BYTES = 128 * 1024;

function inflateFault(error: unknown, maxBytes: number): Fault {
  if (error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE') {
    return fault('payload_too_large', { problem: `Decompressed payload would exceed ${maxBytes} bytes` });
  }
  return fault('invalid_encoding', { problem: 'invalid GZIP data: the body is cut short or damaged' });
}

/** Inflates gzip, never beyond `maxBytes`. Large input is done off the event loop. */
export function inflateGzip(bytes: Buffer, maxBytes: number): Buffer | Fault | Promise<Buffer | Fault> {
  // The next chunk is made when the output is longer than the last: one that fits the usual ratio spares the copies.
  const options = { maxOutputLength: maxBytes, chunkSize: Math.max(4096, Math.min(bytes.length * 8, 1 << 20)) };
  if (bytes.length <= MAX_SYNC_BYTES) {
    try {
      return gunzipSync(bytes, options);
    } catch (error) {
      return inflateFault(error, maxBytes);
    }
  }
  return new Promise((resolve) => {
    gunzip(bytes, options, (error, inflated) => {
      resolve(error === null ? inflated : inflateFault(error, maxBytes));
    });
  });
}
