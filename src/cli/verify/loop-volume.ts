/** A small ext4 volume in a file, so that a disk can be filled without harm to the operator's own. Linux and root only. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const UNMOUNT_TRIES = 50;
const UNMOUNT_EVERY_MS = 100;

export interface LoopVolume {
  readonly folder: string;
  /** Nothing may run in it any more. @returns whether it is gone */
  unmount(): Promise<boolean>;
}

export type MadeVolume =
  { readonly kind: 'volume'; readonly volume: LoopVolume } | { readonly kind: 'impossible'; readonly reason: string };

export async function makeLoopVolume(folder: string, bytes: number): Promise<MadeVolume> {
  if (process.platform !== 'linux') return { kind: 'impossible', reason: 'it needs loop devices, which Linux has' };
  if (process.getuid?.() !== 0) return { kind: 'impossible', reason: 'mounting a small volume to fill needs root' };
  if (!existsSync('/dev/loop-control')) return { kind: 'impossible', reason: 'there are no loop devices here' };
  const image = join(folder, 'image');
  const mount = join(folder, 'mount');
  mkdirSync(mount, { recursive: true });
  const file = await open(image, 'w', 0o600);
  await file.truncate(bytes);
  await file.close();
  if (!(await succeeds('mkfs.ext4', '-q', '-F', image))) {
    return { kind: 'impossible', reason: 'mkfs.ext4 is not there, or failed' };
  }
  if (!(await succeeds('mount', '-o', 'loop', image, mount))) {
    return { kind: 'impossible', reason: 'a loop device cannot be mounted here, as in most containers' };
  }
  return { kind: 'volume', volume: { folder: mount, unmount: () => unmount(mount) } };
}

async function unmount(mount: string): Promise<boolean> {
  for (let i = 0; i < UNMOUNT_TRIES; i++) {
    if (await succeeds('umount', mount)) return true;
    await sleep(UNMOUNT_EVERY_MS);
  }
  return succeeds('umount', '-l', mount);
}

function succeeds(command: string, ...args: readonly string[]): Promise<boolean> {
  return new Promise((resolve) => {
    // A group of its own, so that Ctrl-C does not end it halfway.
    const child = spawn(command, args, { stdio: 'ignore', detached: true });
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
}
