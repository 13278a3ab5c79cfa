import fs from 'node:fs';
import { dirname, resolve } from 'node:path';
import { tryLock, unlock } from 'fs-native-extensions';
import { tryAlignedMemory } from './aligned-memory.ts';
import { BLOCK_BYTES } from './layout.ts';

/**
 * `…_synced`: each write returns once its bytes, and what is needed to find them, are on the medium (O_DSYNC).
 * `…_direct`: past the page cache, where the filesystem can (O_DIRECT): whole blocks from aligned memory alone.
 * `update_direct` is synced as well.
 */
export type OpenMode =
  | 'read'
  | 'update'
  | 'create'
  | 'create_new'
  | 'create_new_direct'
  | 'update_synced'
  | 'create_synced'
  | 'update_direct';

/** All that the segment log asks of a disk, so that a test can tear, lose and refuse (test/harness/faulty-disk.ts). */
export interface Disk {
  /** What is written to a file that was opened `…_direct` must come from memory at a multiple of a page. */
  readonly wantsAlignedMemory: boolean;
  open(path: string, mode: OpenMode): Promise<number>;
  close(fd: number): Promise<void>;
  /** @returns bytes read: fewer than asked for at the end of the file. */
  read(fd: number, into: Uint8Array, position: number): Promise<number>;
  /** A callback and no promise: it is one per group on the hot path. May write less than it was given. */
  write(fd: number, bytes: Uint8Array, position: number, done: WriteDone): void;
  /** Blocks; for a few bytes that the page cache takes without touching the disk. */
  writeNow(fd: number, bytes: Uint8Array, position: number): void;
  /** Blocks; for a few bytes that lie in the page cache. */
  readNow(fd: number, into: Uint8Array, position: number): number;
  sizeOf(fd: number): Promise<number>;
  /** Makes the file that long; what was not written reads as zeros, and takes no room yet. */
  extend(fd: number, bytes: number): Promise<void>;
  /** fdatasync */
  sync(fd: number): Promise<void>;
  /** Makes names in `path` durable: what was created, renamed, unlinked there. */
  syncFolder(path: string): Promise<void>;
  /** With its parents; each new name is durable afterwards. */
  makeFolder(path: string): Promise<void>;
  list(path: string): Promise<string[]>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** What an unprivileged process may still use of the volume of `path`. */
  freeBytes(path: string): Promise<number>;
  /** An exclusive lock of the open file, released by the kernel when the process dies. */
  tryLock(fd: number): boolean;
  unlock(fd: number): void;
}

export type WriteDone = (error: Error | null, written: number) => void;

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_DSYNC } = fs.constants;
/** Not on macOS. */
const O_DIRECT: number = 'O_DIRECT' in fs.constants ? fs.constants.O_DIRECT : 0;
const FLAGS: Readonly<Record<OpenMode, number>> = {
  read: O_RDONLY,
  update: O_RDWR,
  create: O_RDWR | O_CREAT,
  create_new: O_RDWR | O_CREAT | O_EXCL,
  update_synced: O_RDWR | O_DSYNC,
  create_synced: O_RDWR | O_CREAT | O_DSYNC,
  update_direct: O_RDWR | O_DSYNC | O_DIRECT,
  create_new_direct: O_RDWR | O_CREAT | O_EXCL | O_DIRECT,
};

function settled<T>(start: (done: (error: Error | null, value?: T) => void) => void): Promise<T> {
  return new Promise((accept, reject) => {
    start((error, value) => {
      if (error === null) accept(value as T);
      else reject(error);
    });
  });
}

function openFile(path: string, flags: number): Promise<number> {
  return settled((done) => fs.open(path, flags, 0o640, done));
}

/** Asks by a read, which harms nothing, whether this filesystem takes direct calls with memory like ours. */
async function openDirect(path: string, flags: number): Promise<number> {
  try {
    if (probe === undefined) return await openFile(path, flags & ~O_DIRECT);
    const fd = await openFile(path, flags);
    try {
      await settled((done) => fs.read(fd, probe.bytes, 0, BLOCK_BYTES, 0, done));
      return fd;
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
  } catch (error) {
    if (errnoOf(error) !== 'EINVAL') throw error;
    return openFile(path, flags & ~O_DIRECT & ~O_EXCL); // a filesystem in memory, for instance
  }
}

async function syncFolder(path: string): Promise<void> {
  const fd = await settled<number>((done) => fs.open(path, O_RDONLY, done));
  try {
    await settled<void>((done) => fs.fsync(fd, done));
  } finally {
    fs.closeSync(fd);
  }
}

const probe = tryAlignedMemory(BLOCK_BYTES);

/** The real one: raw file descriptors, since a FileHandle costs a promise and an object for each call. */
export const nodeDisk: Disk = {
  wantsAlignedMemory: true,
  open: (path, mode) => {
    const flags = FLAGS[mode];
    return (flags & O_DIRECT) === 0 ? openFile(path, flags) : openDirect(path, flags);
  },
  close: (fd) => settled((done) => fs.close(fd, (error) => done(error ?? null))),
  read: (fd, into, position) => settled((done) => fs.read(fd, into, 0, into.length, position, done)),
  write: (fd, bytes, position, done) => fs.write(fd, bytes, 0, bytes.length, position, done),
  writeNow: (fd, bytes, position) => {
    const written = fs.writeSync(fd, bytes, 0, bytes.length, position);
    if (written !== bytes.length) throw new Error(`short write: ${written} of ${bytes.length} bytes`);
  },
  readNow: (fd, into, position) => fs.readSync(fd, into, 0, into.length, position),
  sizeOf: async (fd) => (await settled<fs.Stats>((done) => fs.fstat(fd, done))).size,
  extend: (fd, bytes) => settled((done) => fs.ftruncate(fd, bytes, (error) => done(error ?? null))),
  sync: (fd) => settled((done) => fs.fdatasync(fd, done)),
  syncFolder,
  makeFolder: async (path) => {
    const made = await fs.promises.mkdir(path, { recursive: true, mode: 0o750 });
    if (made === undefined) return;
    const top = resolve(made);
    for (let at = resolve(path); at.length >= top.length && at !== dirname(at); at = dirname(at)) {
      await syncFolder(dirname(at));
    }
  },
  list: (path) => fs.promises.readdir(path),
  rename: (from, to) => settled((done) => fs.rename(from, to, done)),
  unlink: (path) => settled((done) => fs.unlink(path, done)),
  freeBytes: async (path) => {
    const volume = await fs.promises.statfs(path);
    return volume.bavail * volume.bsize;
  },
  tryLock,
  unlock,
};

/** Writes all of `bytes`, in as many calls as the disk needs. */
export function writeAll(disk: Disk, fd: number, bytes: Uint8Array, position: number): Promise<void> {
  return new Promise((accept, reject) => {
    let doneBytes = 0;
    const step = (): void => {
      disk.write(fd, bytes.subarray(doneBytes), position + doneBytes, (error, written) => {
        if (error !== null) return reject(error);
        if (written <= 0) return reject(new Error('the disk wrote nothing'));
        doneBytes += written;
        if (doneBytes < bytes.length) return step();
        accept();
      });
    };
    step();
  });
}

/** Reads until `into` is full or the file ends. @returns bytes read */
export async function readAll(disk: Disk, fd: number, into: Uint8Array, position: number): Promise<number> {
  let doneBytes = 0;
  while (doneBytes < into.length) {
    const read = await disk.read(fd, into.subarray(doneBytes), position + doneBytes);
    if (read === 0) break;
    doneBytes += read;
  }
  return doneBytes;
}

/** The `code` of a system error, `''` for any other. */
export function errnoOf(error: unknown): string {
  if (!(error instanceof Error) || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}
