// Compiles src/ to dist/. With --if-stale it does nothing while dist/ is newer than every source file.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const stamp = join(root, 'dist', '.built');

function newestSourceMs() {
  let newestMs = Math.max(...['package.json', 'tsconfig.build.json'].map((file) => statSync(join(root, file)).mtimeMs));
  for (const entry of readdirSync(join(root, 'src'), { recursive: true, withFileTypes: true })) {
    if (entry.isFile())
      newestMs = Math.max(newestMs, statSync(join(entry.parentPath ?? entry.path, entry.name)).mtimeMs);
  }
  return newestMs;
}

const isFresh = existsSync(stamp) && statSync(stamp).mtimeMs >= newestSourceMs();
if (!(process.argv.includes('--if-stale') && isFresh)) {
  const startedMs = Date.now();
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  if (!existsSync(tsc)) {
    process.stderr.write('hedgerow is not built, and its compiler is not installed. Run "npm ci" first.\n');
    process.exit(1);
  }
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  const { status } = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.build.json')], {
    stdio: ['ignore', 2, 2],
  });
  if (status !== 0) process.exit(status ?? 1);
  writeFileSync(stamp, `${new Date(startedMs).toISOString()}\n`);
}
