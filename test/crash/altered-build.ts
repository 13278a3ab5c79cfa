/** A copy of the compiled server with something left out, to show that a test notices. */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../harness/hedgerow.ts';

export interface AlteredBuild {
  readonly binPath: string;
  remove(): void;
}

/** @throws when `search` is not in the file: then the alteration would show nothing */
export function alteredBuild(
  file: string,
  alter: readonly (readonly [search: string, instead: string])[],
): AlteredBuild {
  const folder = mkdtempSync(join(tmpdir(), 'hedgerow-altered-'));
  for (const name of ['bin', 'dist', 'package.json']) cpSync(join(root, name), join(folder, name), { recursive: true });
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  const path = join(folder, 'dist', file);
  let text = readFileSync(path, 'utf8');
  for (const [search, instead] of alter) {
    if (!text.includes(search)) throw new Error(`${file} has no ${search} any more: alter it elsewhere`);
    text = text.replace(search, instead);
  }
  writeFileSync(path, text);
  return {
    binPath: join(folder, 'bin', 'hedgerow.mjs'),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
