import { closeSync, fsyncSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Makes the names of all parts durable. An engine that was killed between giving a part its name and syncing the folder
 * leaves a part that is there now and may not be after a power cut; the loader, which finds its rows by looking, would
 * move past them.
 *
 * @param dir the engine's folder; tables lie two levels below its `store`. Cost: a sync for each table.
 */
export function syncTableFolders(dir: string): void {
  const tables = join(dir, 'store');
  for (const prefix of folders(tables)) for (const table of folders(prefix)) sync(table);
}

function folders(path: string): string[] {
  return readdirSync(path, { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? [join(path, entry.name)] : [],
  );
}

function sync(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
