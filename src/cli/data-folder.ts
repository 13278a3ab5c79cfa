/** A data folder as the commands see it: its registry, and the address of the server that runs on it. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { systemClock } from '../event/clock.ts';
import { RandomIds } from '../event/id-source.ts';
import type { Registry } from '../registry/registry.ts';
import { CommandFailure } from './command-failure.ts';
import { shellWord } from './greeting.ts';

export const DEFAULT_DATA_DIR = './hedgerow-data';

/** What `app.ts` leaves in `server.json` (mode 0600) while it runs. */
const runningServer = z.object({ url: z.string(), key: z.string(), pid: z.number().int().positive() });
export type RunningServer = z.infer<typeof runningServer>;

/** Undefined when no server runs on this folder: no file, one that does not read, or one whose process is gone. */
export function findRunningServer(dataDir: string): RunningServer | undefined {
  let text: string;
  try {
    text = readFileSync(join(dataDir, 'server.json'), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EACCES') {
      throw new CommandFailure(
        `${join(dataDir, 'server.json')} belongs to another user. Run the command as that user, or give --url and --key.`,
      );
    }
    return undefined;
  }
  try {
    const server = runningServer.parse(JSON.parse(text));
    return isAlive(server.pid) ? server : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

export function hasRegistry(dataDir: string): boolean {
  return existsSync(registryDir(dataDir));
}

function registryDir(dataDir: string): string {
  return join(dataDir, 'registry');
}

/** Opens the folder's registry, runs `work`, and closes it; a running server sees changes within a second. */
export async function withRegistry<T>(dataDir: string, work: (registry: Registry) => Promise<T>): Promise<T> {
  if (!hasRegistry(dataDir)) {
    throw new CommandFailure(
      `There is no Hedgerow data in ${resolve(dataDir)}. Start the server once (hedgerow start), or name its folder with --data-dir.`,
    );
  }
  // Loaded late: the native library is no business of commands that only talk HTTP.
  const { openLmdbRegistry } = await import('../registry/lmdb/lmdb-registry.ts');
  const registry = await openLmdbRegistry({
    dir: registryDir(dataDir),
    clock: systemClock,
    ids: new RandomIds(),
  }).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(`The registry in ${resolve(dataDir)} cannot be opened: ${reason}`);
  });
  try {
    return await work(registry);
  } finally {
    await registry.close();
  }
}

/** What a command line must add to find `dataDir` from the folder it runs in, with a leading space; else empty. */
export function dataDirFlag(dataDir: string): string {
  const path = resolve(dataDir);
  return path === resolve(DEFAULT_DATA_DIR) ? '' : ` --data-dir ${shellWord(path)}`;
}
