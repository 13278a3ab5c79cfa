import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { StaticLibrary } from './static-library.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hedgerow-static-'));
  mkdirSync(join(folder, 'dist', 'src'), { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{"version":"1.2.3"}');
  for (const name of ['a.js', 'a.js.map', 'a.d.ts', 'a.mjs', 'integrity.json']) {
    writeFileSync(join(folder, 'dist', name), `content of ${name}`);
  }
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

function open(): StaticLibrary {
  return StaticLibrary.open(join(folder, 'package.json'));
}

describe('StaticLibrary', () => {
  it('has the scripts and maps of the folder, and nothing else', () => {
    const library = open();
    expect(library.version).toBe('1.2.3');
    const names = ['a.js', 'a.js.map', 'a.d.ts', 'a.mjs', 'integrity.json', 'src', '../package.json', 'b.js'];
    expect(names.filter((name) => library.find(name) !== undefined)).toEqual(['a.js', 'a.js.map']);
  });

  it('reads a file once for all who ask, in each form', async () => {
    const library = open();
    const file = library.find('a.js');
    if (file === undefined) throw new Error('a.js is missing');
    const [first, second] = await Promise.all([library.read(file, 'gzip'), library.read(file, 'gzip')]);
    expect(second).toBe(first);
    expect(gunzipSync(first).toString()).toBe('content of a.js');
    writeFileSync(join(folder, 'dist', 'a.js'), 'changed');
    expect((await library.read(file, 'plain')).toString()).toBe('content of a.js');
  });

  it('fails a read whose file is gone, and tries again when it is back', async () => {
    const library = open();
    const file = library.find('a.js');
    if (file === undefined) throw new Error('a.js is missing');
    renameSync(join(folder, 'dist', 'a.js'), join(folder, 'away'));
    await expect(library.read(file, 'gzip')).rejects.toThrow('ENOENT');
    renameSync(join(folder, 'away'), join(folder, 'dist', 'a.js'));
    expect(gunzipSync(await library.read(file, 'gzip')).toString()).toBe('content of a.js');
  });

  it.each([
    ['without the package', () => rmSync(join(folder, 'package.json'))],
    ['without its files', () => rmSync(join(folder, 'dist'), { recursive: true })],
  ])('%s is empty, and throws nothing', (_name, remove) => {
    remove();
    expect(open().find('a.js')).toBeUndefined();
  });
});
