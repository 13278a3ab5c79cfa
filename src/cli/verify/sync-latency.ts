/** How long the disk takes for a small synced write: the least that a 200 costs, and a sign of whether it syncs at all. */
import { closeSync, constants, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as breathe } from 'node:timers/promises';
import { Samples } from './samples.ts';

const WRITE_BYTES = 4096;
const FILE_BYTES = 16 * 1024 * 1024;
const MIN_WRITES = 50;
const MAX_WRITES = 20_000;
const NANOS_PER_MICRO = 1000;
/** No flash writes through that fast, the way through kernel and bus included. */
export const SUSPICIOUS_MICROS = 20;

/** `statfs` numbers of Linux (linux/magic.h); other systems number them otherwise. */
const filesystems: ReadonlyMap<number, string> = new Map([
  [0xef53, 'ext4'],
  [0x58465342, 'xfs'],
  [0x9123683e, 'btrfs'],
  [0x2fc12fc1, 'zfs'],
  [0xf2f52010, 'f2fs'],
  [0x794c7630, 'overlay'],
  [0x01021994, 'tmpfs'],
  [0x858458f6, 'ramfs'],
  [0x6969, 'nfs'],
  [0xfe534d42, 'smb'],
  [0xff534d42, 'smb'],
  [0x65735546, 'fuse'],
]);

export interface SyncLatency {
  readonly filesystem: string | undefined;
  readonly writes: number;
  readonly p50Micros: number;
  readonly p99Micros: number;
}

/** Blocks for a few milliseconds at a time: a promise's way back would be measured as well. */
export async function measureSyncLatency(folder: string, durationMs: number): Promise<SyncLatency> {
  const path = join(folder, 'sync-latency');
  const samples = new Samples();
  const plain = openSync(path, 'w', 0o600);
  writeSync(plain, Buffer.alloc(FILE_BYTES)); // as the log does: a write changes no metadata
  fdatasyncSync(plain);
  closeSync(plain);
  const fd = openSync(path, constants.O_RDWR | constants.O_DSYNC);
  const block = Buffer.alloc(WRITE_BYTES, 1);
  const endMs = Date.now() + durationMs;
  try {
    while (samples.count < MAX_WRITES && (samples.count < MIN_WRITES || Date.now() < endMs)) {
      for (let i = 0; i < 10; i++) {
        const position = (samples.count * WRITE_BYTES) % FILE_BYTES;
        const startedNs = process.hrtime.bigint();
        writeSync(fd, block, 0, WRITE_BYTES, position);
        samples.add(Number(process.hrtime.bigint() - startedNs) / NANOS_PER_MICRO);
      }
      await breathe();
    }
  } finally {
    closeSync(fd);
    rmSync(path, { force: true });
  }
  return {
    filesystem: process.platform === 'linux' ? filesystems.get((await statfs(folder)).type) : undefined,
    writes: samples.count,
    p50Micros: samples.quantile(0.5) ?? 0,
    p99Micros: samples.quantile(0.99) ?? 0,
  };
}

/** What a person should know about these figures; undefined when nothing. */
export function syncWarning({ filesystem, p50Micros }: SyncLatency): string | undefined {
  if (filesystem === 'tmpfs' || filesystem === 'ramfs') {
    return (
      `This folder lies in memory (${filesystem}): a power cut or a restart of the machine loses all of it. ` +
      'Choose a folder on a disk with --data-dir.'
    );
  }
  if (p50Micros >= SUSPICIOUS_MICROS) return undefined;
  return (
    `A synced write of 4 KiB took ${p50Micros.toFixed(1)} µs, faster than nearly any disk: this disk, or a layer below it, may ` +
    'not write through, and a power cut could lose what it acknowledged. Unless the disk has a battery or ' +
    'capacitors, look at its write cache (hdparm -W /dev/…, or /sys/block/…/queue/write_cache), at the cache mode ' +
    'of the virtual machine (not "unsafe") and at the mount options (no "nobarrier").'
  );
}
