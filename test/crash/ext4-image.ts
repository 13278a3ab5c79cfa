/**
 * A filesystem whose power can be cut: ext4 on a loop device, shut down without flushing. What was written and not synced is
 * gone, as it would be with the machine.
 *
 * Needs root, loop devices and Python (for the ioctl). Limits: what was written past the page cache (O_DIRECT) counts as
 * on the medium, since the loop device has no cache of its own that could be lost.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../harness/until.ts';

// FS_IOC_SHUTDOWN with NOLOGFLUSH: neither data nor journal reach the device any more.
const SHUTDOWN =
  'import fcntl,os,struct,sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack("I", 2))';

function run(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

export class Ext4Image {
  readonly #folder = mkdtempSync(join(tmpdir(), 'hedgerow-ext4-'));
  readonly #image = join(this.#folder, 'image');
  readonly mountPoint = join(this.#folder, 'mount');

  /** @throws when it cannot be made */
  constructor(size: `${number}${'M' | 'G'}`) {
    mkdirSync(this.mountPoint);
    if (!run('truncate', '-s', size, this.#image) || !run('mkfs.ext4', '-q', this.#image)) {
      rmSync(this.#folder, { recursive: true, force: true });
      throw new Error('no ext4 image could be made');
    }
  }

  static isPossible(): boolean {
    if (process.getuid?.() !== 0 || !existsSync('/dev/loop-control') || !run('python3', '--version')) return false;
    try {
      const image = new Ext4Image('64M');
      try {
        image.mount();
        return true;
      } finally {
        image.remove();
      }
    } catch {
      return false;
    }
  }

  mount(): void {
    if (!run('mount', '-o', 'loop', this.#image, this.mountPoint)) throw new Error('the image could not be mounted');
  }

  /** From now on nothing reaches the image. */
  cutPower(): void {
    if (!run('python3', '-c', SHUTDOWN, this.mountPoint)) throw new Error('the filesystem could not be shut down');
  }

  /** Waits until nobody uses it any more. */
  async unmount(): Promise<void> {
    await until(() => run('umount', this.mountPoint), { deadlineMs: 20_000, what: 'the file system lets go' });
  }

  remove(): void {
    run('umount', this.mountPoint);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
