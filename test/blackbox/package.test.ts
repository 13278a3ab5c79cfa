/** `npm pack`, installed in an empty folder, runs. Its dependencies are the checkout's own, so that no registry is needed. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { cleanEnv, root } from '../harness/hedgerow.ts';

it('the packed package runs where there is no source', () => {
  const folder = mkdtempSync(join(tmpdir(), 'hedgerow-pack-'));
  try {
    const packed = spawnSync('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], {
      cwd: root,
      encoding: 'utf8',
    });
    expect({ status: packed.status, stderr: packed.status === 0 ? '' : packed.stderr }).toEqual({
      status: 0,
      stderr: '',
    });
    const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz')) ?? '';
    const modules = join(folder, 'node_modules');
    mkdirSync(modules);
    expect(spawnSync('tar', ['-xzf', join(folder, tarball), '-C', folder]).status).toBe(0);
    for (const name of readdirSync(join(root, 'node_modules'))) {
      if (!name.startsWith('.')) symlinkSync(join(root, 'node_modules', name), join(modules, name));
    }
    const run = (...words: string[]) =>
      spawnSync(process.execPath, [join(folder, 'package', 'bin', 'hedgerow.mjs'), ...words], {
        cwd: folder,
        encoding: 'utf8',
        env: cleanEnv(),
      });
    expect(run('--version').stdout).toMatch(/^\d+\.\d+\.\d+/);
    expect(run('start', '--help').stdout).toContain('--data-dir');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
