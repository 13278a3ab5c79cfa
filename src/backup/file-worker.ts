/** The thread that copies, syncs and hashes the files of a backup; see file-work.ts. Blocking calls: it has nothing else to do. */
import { createHash } from 'node:crypto';
import { closeSync, constants, copyFileSync, fsyncSync, linkSync, mkdirSync, openSync, readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { FileReply, FileResult, FileTask, FileWork } from './file-work.ts';

const CHUNK_BYTES = 1 << 20;
const PROGRESS_BYTES = 64 << 20;
const PROGRESS_FILES = 200;

const chunk = Buffer.allocUnsafe(CHUNK_BYTES);

function post(reply: FileReply): void {
  parentPort?.postMessage(reply, []);
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

function place({ from, to, how }: FileTask): void {
  if (from === undefined || to === undefined) return;
  if (how === 'link') {
    try {
      linkSync(from, to);
      return;
    } catch (error) {
      // Another filesystem, one without links, one that lets only the owner make them, or too many names.
      if (!['EXDEV', 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(codeOf(error))) throw error;
    }
  }
  copyFileSync(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
}

function hashed(path: string, isSynced: boolean, onBytes: (bytes: number) => void): FileResult {
  const hash = createHash('sha256');
  const fd = openSync(path, 'r');
  let bytes = 0;
  try {
    for (;;) {
      const read = readSync(fd, chunk, 0, CHUNK_BYTES, bytes);
      if (read === 0) break;
      hash.update(chunk.subarray(0, read));
      bytes += read;
      onBytes(read);
    }
    if (isSynced) fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return { bytes, sha256: hash.digest('hex') };
}

function syncFolder(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function run({ tasks, folders, foldersToSync }: FileWork): readonly FileResult[] {
  for (const folder of folders) mkdirSync(folder, { recursive: true, mode: 0o700 });
  const results: FileResult[] = [];
  let doneBytes = 0;
  let toldBytes = 0;
  let toldFiles = 0;
  const tell = (): void => {
    toldBytes = doneBytes;
    toldFiles = results.length;
    post({ kind: 'progress', doneFiles: results.length, doneBytes });
  };
  for (const task of tasks) {
    place(task);
    const path = task.to ?? task.from;
    if (path === undefined) continue;
    const result = hashed(path, task.to !== undefined, (bytes) => {
      doneBytes += bytes;
      if (doneBytes - toldBytes >= PROGRESS_BYTES) tell();
    });
    results.push(result);
    if (results.length - toldFiles >= PROGRESS_FILES) tell();
  }
  for (const folder of foldersToSync) syncFolder(folder);
  tell();
  return results;
}

try {
  post({ kind: 'done', results: run(workerData as FileWork) });
} catch (error) {
  post({ kind: 'failed', code: codeOf(error), message: error instanceof Error ? error.message : String(error) });
}
