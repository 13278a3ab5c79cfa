import { join } from 'node:path';
import { errnoOf, type Disk } from './disk.ts';

/** Who holds it may write to the stream's folder. Released by the kernel when the process dies, `kill -9` included. */
export interface StreamLock {
  release(): Promise<void>;
}

/**
 * @param missing what to do where there is no lock file: a writer makes one, a reader leaves the stream alone
 * @returns undefined when somebody else holds it, in this process or another, or there is no lock file to take.
 */
export async function tryStreamLock(
  disk: Disk,
  folder: string,
  missing: 'create' | 'leave',
): Promise<StreamLock | undefined> {
  let fd: number;
  try {
    fd = await disk.open(join(folder, 'lock'), missing === 'create' ? 'create' : 'update');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  let isHeld = false;
  try {
    isHeld = disk.tryLock(fd);
  } finally {
    if (!isHeld) await disk.close(fd);
  }
  if (!isHeld) return undefined;
  return {
    release: async () => {
      if (!isHeld) return;
      isHeld = false;
      disk.unlock(fd);
      await disk.close(fd);
    },
  };
}
