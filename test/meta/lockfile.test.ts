import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

it('the lock file names every platform’s build, so that npm ci works on each', () => {
  const { status, stdout } = spawnSync(process.execPath, ['scripts/complete-lockfile.mjs', '--check'], {
    cwd: root,
    encoding: 'utf8',
  });
  expect({ status, stdout }).toMatchObject({ status: 0 });
});

it('the lock file records no download address', () => {
  expect(readFileSync(`${root}/package-lock.json`, 'utf8')).not.toContain('"resolved"');
});
