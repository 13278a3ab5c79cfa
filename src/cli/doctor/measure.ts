/** What the doctor measures on this machine. */
import { closeSync, constants, existsSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../../event/clock.ts';
import type { ClockReading, PortReading, SyncReading } from './judge.ts';

const SYNC_WRITES = 40;
const BLOCK_BYTES = 4096;
/** f_type of tmpfs and ramfs. */
const MEMORY_FILESYSTEMS = [0x0102_1994, 0x8584_58f6];
const WATCH_CLOCK_MS = 200;

/** The folder itself, or the nearest one above it that is there: a first start makes the rest. */
export function nearestFolder(path: string): string {
  let at = path;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  return at;
}

export async function measureSpace(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** Writes as the log does, into a file of its own, which is gone afterwards. @throws when the folder cannot be written */
export async function measureSync(folder: string, clock: Clock): Promise<SyncReading> {
  const path = join(folder, `.hedgerow-doctor-${process.pid}`);
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_DSYNC, 0o600);
  const takenMs: number[] = [];
  try {
    const block = Buffer.alloc(BLOCK_BYTES, 1);
    for (let i = 0; i < SYNC_WRITES; i++) {
      const startMs = clock.monotonicMs();
      writeSync(fd, block, 0, BLOCK_BYTES, 0);
      takenMs.push(clock.monotonicMs() - startMs);
    }
  } finally {
    closeSync(fd);
    unlinkSync(path);
  }
  // The first one allocates the block.
  const sorted = takenMs.slice(1).sort((a, b) => a - b);
  const { type } = await statfs(folder);
  return {
    medianMs: sorted[Math.floor(sorted.length / 2)] ?? 0,
    slowestMs: sorted.at(-1) ?? 0,
    isInMemory: MEMORY_FILESYSTEMS.includes(type),
  };
}

export async function measureClock(clock: Clock): Promise<ClockReading> {
  const wallMs = clock.nowMs();
  const monotonicMs = clock.monotonicMs();
  await sleep(WATCH_CLOCK_MS);
  const nowMs = clock.nowMs();
  return { nowMs, stepMs: nowMs - wallMs - (clock.monotonicMs() - monotonicMs) };
}

export function measurePort(host: string, port: number): Promise<PortReading> {
  if (port === 0) return Promise.resolve('any');
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve('taken');
      else if (error.code === 'EACCES') resolve('forbidden');
      else if (error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND') resolve('no_such_address');
      else reject(error);
    });
    server.listen(port, host, () => server.close(() => resolve('free')));
  });
}
