import { mkdir } from 'node:fs/promises';
import { open } from 'lmdb';

/** A copy as of one moment, while others read and write. @param to a folder; made */
export async function copyLmdbRegistry(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o700 });
  const rows = open<unknown>({ path: from, noSubdir: false, encoding: 'json', readOnly: true });
  try {
    await rows.backup(to, false);
  } finally {
    await rows.close();
  }
}
