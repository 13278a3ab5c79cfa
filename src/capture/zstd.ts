/**
 * Decompresses zstd: natively where Node has it (from 22.15), else in a thread of its own (zstd-worker.ts).
 *
 * Bounds   no output above `maxBytes`, no window above it either; in the thread one request at a time, each at most
 *          DEADLINE_MS, then the thread is ended and the request counts as damaged; at most MAX_WAITING_BYTES of other
 *          requests wait for it.
 */
import { Worker } from 'node:worker_threads';
import * as zlib from 'node:zlib';
import { fileURLToPath } from 'node:url';
import { largestWindow } from './zstd-frames.ts';

export type ZstdResult =
  | { readonly kind: 'decompressed'; readonly bytes: Buffer }
  | { readonly kind: 'too_large' }
  | { readonly kind: 'damaged' }
  | { readonly kind: 'overloaded' };

export interface ZstdRequest {
  readonly bytes: Uint8Array;
  readonly maxBytes: number;
}

export type ZstdReply =
  | { readonly kind: 'decompressed'; readonly bytes: Uint8Array }
  | { readonly kind: 'too_large' }
  | { readonly kind: 'damaged' };

type NativeDecompress = (
  bytes: Buffer,
  options: { readonly maxOutputLength: number },
  done: (error: Error | null, result: Buffer) => void,
) => void;

/** The largest honest body takes about 0.6 s. */
const DEADLINE_MS = 10_000;
const MAX_WAITING_BYTES = 64 << 20;

export class ZstdDecompressor {
  readonly #maxBytes: number;
  readonly #native: NativeDecompress | undefined;
  #worker: Worker | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #waitingBytes = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    const own: unknown = Reflect.get(zlib, 'zstdDecompress');
    this.#native = isDecompress(own) ? own : undefined;
  }

  async decompress(bytes: Buffer): Promise<ZstdResult> {
    const window = largestWindow(bytes);
    if (window === undefined) return { kind: 'damaged' };
    if (window > this.#maxBytes) return { kind: 'too_large' };
    return this.#native === undefined ? this.#queued(bytes) : this.#natively(this.#native, bytes);
  }

  #natively(decompress: NativeDecompress, bytes: Buffer): Promise<ZstdResult> {
    return new Promise((resolve) => {
      decompress(bytes, { maxOutputLength: this.#maxBytes }, (error, result) => {
        if (error === null) resolve({ kind: 'decompressed', bytes: result });
        else resolve({ kind: 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE' ? 'too_large' : 'damaged' });
      });
    });
  }

  async #queued(bytes: Buffer): Promise<ZstdResult> {
    if (this.#waitingBytes + bytes.length > MAX_WAITING_BYTES) return { kind: 'overloaded' };
    this.#waitingBytes += bytes.length;
    const result = this.#turn.then(() => this.#inThread(bytes));
    this.#turn = result.catch(() => undefined); // the next one has its turn all the same
    try {
      return await result;
    } finally {
      this.#waitingBytes -= bytes.length;
    }
  }

  /** Rejects only when no thread can be started. */
  #inThread(bytes: Buffer): Promise<ZstdResult> {
    const worker = this.#worker ?? this.#startWorker();
    return new Promise((resolve) => {
      const end = (result: ZstdResult): void => {
        clearTimeout(timer);
        worker.off('message', onReply);
        worker.off('exit', onLost);
        resolve(result);
      };
      const onReply = (reply: ZstdReply): void => {
        end(reply.kind === 'decompressed' ? { kind: 'decompressed', bytes: asBuffer(reply.bytes) } : reply);
      };
      /** Not the sender's fault, as far as anybody knows. */
      const onLost = (): void => {
        end({ kind: 'overloaded' });
      };
      const timer = setTimeout(() => {
        this.#worker = undefined;
        end({ kind: 'damaged' });
        void worker.terminate();
      }, DEADLINE_MS);
      worker.on('message', onReply);
      worker.on('exit', onLost);
      const request: ZstdRequest = { bytes, maxBytes: this.#maxBytes };
      worker.postMessage(request, []);
    });
  }

  #startWorker(): Worker {
    const isSource = import.meta.url.endsWith('.ts');
    const path = new URL(isSource ? '../../dist/capture/zstd-worker.js' : './zstd-worker.js', import.meta.url);
    const worker = new Worker(fileURLToPath(path));
    worker.unref();
    worker.on('error', () => undefined); // 'exit' follows
    worker.on('exit', () => {
      if (this.#worker === worker) this.#worker = undefined;
    });
    this.#worker = worker;
    return worker;
  }
}

function isDecompress(value: unknown): value is NativeDecompress {
  return typeof value === 'function';
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
