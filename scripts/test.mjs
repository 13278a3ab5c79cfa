// Runs every suite whose needs are met, says in one line what was left out and why, and ends with "N passed, N failed".
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const isCi = process.env.CI === 'true';
const run = (command, args, options = {}) =>
  spawnSync(command, args, { cwd: root, stdio: ['ignore', 'inherit', 'inherit'], ...options });

if (run(process.execPath, ['scripts/build.mjs', '--if-stale']).status !== 0) process.exit(1);

const projects = ['unit', 'meta', 'contract', 'blackbox', 'sdk', 'fuzz', 'sim', 'crash'];
if (!isCi && !existsSync(process.env.CHROMIUM_PATH ?? '/usr/bin/chromium'))
  process.stdout.write('left out: SDKs in browsers (no Chromium; scripts/services/chromium.sh installs it)\n');
if (!isCi && !existsSync(join(root, '.services/nginx')))
  process.stdout.write('left out: nginx in front (scripts/services/nginx.sh unpacks it)\n');

const report = join(tmpdir(), `hedgerow-tests-${process.pid}.json`);
let passed = 0;
let failed = 0;

function suite(project, node) {
  const reporters = ['--reporter', isCi ? 'dot' : 'default', '--reporter', 'json', '--outputFile', report];
  // Each file has a server of its own, and most of its time is waiting.
  const workers = project === 'blackbox' ? ['--maxWorkers', '3'] : [];
  const { status } = run(
    node,
    ['node_modules/vitest/vitest.mjs', 'run', '--project', project, ...workers, ...reporters],
    {
      env: {
        ...process.env,
        HEDGEROW_FUZZ_SECONDS: process.env.HEDGEROW_FUZZ_SECONDS ?? '10',
      },
    },
  );
  let counts = { numPassedTests: 0, numFailedTests: 0 };
  try {
    counts = JSON.parse(readFileSync(report, 'utf8'));
  } catch {
    counts.numFailedTests = 1;
  }
  passed += counts.numPassedTests;
  failed += counts.numFailedTests;
  // A suite that could not even be loaded counts as one failure.
  if (status !== 0 && counts.numFailedTests === 0) failed += 1;
  rmSync(report, { force: true });
}

for (const project of projects) suite(project, process.execPath);
const newestNode = process.env.HEDGEROW_TEST_NEWEST_NODE;
if (newestNode) for (const project of ['unit', 'blackbox']) suite(project, newestNode);
process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
process.exit(failed === 0 ? 0 : 1);
