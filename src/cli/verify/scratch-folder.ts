/** A folder of the run's own on the volume of the data folder. */
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { CommandFailure } from '../command-failure.ts';

export const SCRATCH_PREFIX = 'hedgerow-verify-';

const MIB = 1024 * 1024;
/** Segments, the reserve that the log leaves free, the store, and the image for the full disk. */
const NEEDED_BYTES = 1024 * MIB;

/** Beside the data folder; inside it where it is a volume of its own, or where its parent cannot be written. */
export async function makeScratchFolder(dataDir: string): Promise<string> {
  const path = resolve(dataDir);
  const parent = nearestFolder(dirname(path));
  const places = existsSync(path) && statSync(path).isDirectory() ? [parent, path] : [parent];
  const isOwnVolume = places.length === 2 && statSync(path).dev !== statSync(parent).dev;
  const tried = isOwnVolume ? [path] : places;
  let failure: unknown;
  for (const place of tried) {
    try {
      const folder = mkdtempSync(join(place, SCRATCH_PREFIX));
      await assertRoom(folder);
      return folder;
    } catch (error) {
      if (error instanceof CommandFailure) throw error;
      failure = error;
    }
  }
  const reason = failure instanceof Error ? failure.message : String(failure);
  throw new CommandFailure(
    `No folder can be made on the volume of ${path} (${reason}). Run the command as the user of the server, or name another place with --data-dir.`,
  );
}

async function assertRoom(folder: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= NEEDED_BYTES) return;
  rmSync(folder, { recursive: true, force: true });
  const freeMib = Math.floor((bavail * bsize) / MIB);
  throw new CommandFailure(
    `${dirname(folder)} has ${freeMib} MiB of free space, and the run needs ${NEEDED_BYTES / MIB} MiB. Make room, or name another place with --data-dir.`,
  );
}

function nearestFolder(path: string): string {
  let at = path;
  while (!existsSync(at) && dirname(at) !== at) at = dirname(at);
  return at;
}
