// Runs every suite whose needs are met, says in one line what was left out and why, and ends with "N passed, N failed".
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const isCi = process.env.CI === 'true';
const run = (command, args, options = {}) =>
  spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], ...options });

if (run(process.execPath, ['scripts/build.mjs', '--if-stale']).status !== 0) process.exit(1);

const hasPython =
  spawnSync('python3', ['-c', 'import posthog'], {
    cwd: root,
    env: { ...process.env, PYTHONPATH: join(root, '.services/python') },
  }).status === 0;
const projects = ['unit', 'meta', 'contract', 'blackbox', 'sdk', 'crash'];
if (!hasPython)
  process.stdout.write('left out: the Python SDK (no package "posthog"; scripts/services/python-sdk.sh installs it)\n');

const report = join(tmpdir(), `hedgerow-tests-${process.pid}.json`);
let passed = 0;
let failed = 0;
for (const project of projects) {
  const { status } = run(
    'npx',
    [
      'vitest',
      'run',
      '--project',
      project,
      '--reporter',
      isCi ? 'dot' : 'default',
      '--reporter',
      'json',
      '--outputFile',
      report,
    ],
    {
      env: { ...process.env, HEDGEROW_TEST_PYTHON: hasPython ? '1' : '', HEDGEROW_TEST_CI: isCi ? '1' : '' },
    },
  );
  let counts = { numPassedTests: 0, numFailedTests: 0, numFailedTestSuites: 0 };
  try {
    counts = JSON.parse(readFileSync(report, 'utf8'));
  } catch {
    counts.numFailedTests = 1;
  }
  passed += counts.numPassedTests;
  failed += counts.numFailedTests;
  if (status !== 0 && counts.numFailedTests === 0) failed += 1;
  rmSync(report, { force: true });
}
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);
