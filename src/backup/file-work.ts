/**
 * Copies, links, syncs and hashes files in a thread of its own (file-worker.ts): reading gigabytes beside the event loop
 * must not make a capture request wait.
 */
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

export interface FileTask {
  /** Absolute. Undefined: `to` is there already, and is only hashed and synced. */
  readonly from: string | undefined;
  /** Absolute; undefined: `from` is only read. */
  readonly to: string | undefined;
  /** `link`: a second name for the same bytes, where the filesystem can, since they never change. */
  readonly how: 'link' | 'copy';
}

export interface FileWork {
  readonly tasks: readonly FileTask[];
  /** Made before the files, in this order. Absolute. */
  readonly folders: readonly string[];
  /** Synced behind them, in this order. Absolute. */
  readonly foldersToSync: readonly string[];
}

export interface FileResult {
  readonly bytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

export type FileReply =
  | { readonly kind: 'progress'; readonly doneFiles: number; readonly doneBytes: number }
  | { readonly kind: 'done'; readonly results: readonly FileResult[] }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string };

export interface FileProgress {
  readonly doneFiles: number;
  readonly doneBytes: number;
}

/** What the disk refused. */
export class FileWorkFailed extends Error {
  override readonly name = 'FileWorkFailed';
  /** The system's, such as `ENOSPC`. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** @returns a result for each task, in the same order. @throws FileWorkFailed, or the signal's reason */
export function doFileWork(
  work: FileWork,
  onProgress: (progress: FileProgress) => void,
  signal: AbortSignal,
): Promise<readonly FileResult[]> {
  signal.throwIfAborted();
  const isSource = import.meta.url.endsWith('.ts');
  const path = new URL(isSource ? '../../dist/backup/file-worker.js' : './file-worker.js', import.meta.url);
  const worker = new Worker(fileURLToPath(path), { workerData: work });
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      const reason = signal.reason instanceof Error ? signal.reason : new Error('stopped');
      const end = (): void => reject(reason); // only now: until then it may still make files
      worker.terminate().then(end, end);
    };
    signal.addEventListener('abort', stop, { once: true });
    worker.on('message', (reply: FileReply) => {
      if (reply.kind === 'progress') onProgress(reply);
      else if (reply.kind === 'done') resolve(reply.results);
      else reject(new FileWorkFailed(reply.code, reply.message));
    });
    worker.on('error', reject);
    worker.on('exit', () => {
      signal.removeEventListener('abort', stop);
      if (signal.aborted) return;
      reject(new Error('the thread that copies files ended early')); // after an answer this changes nothing
    });
  });
}
