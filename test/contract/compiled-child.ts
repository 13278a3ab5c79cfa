import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/**
 * Compiles the store's child process for tests that run from source, into a folder of its own, so that tests that run
 * side by side do not pull `dist/` from under each other.
 *
 * @returns the path of its script
 */
export function compiledChild(): string {
  const cache = join(root, 'node_modules', '.cache');
  const outDir = join(cache, `store-child-${process.pid}`);
  mkdirSync(outDir, { recursive: true });
  // Test workers are killed rather than ended, so each run clears what those before it left.
  for (const name of readdirSync(cache)) {
    const pid = /^store-child-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(cache, name), { recursive: true, force: true });
  }
  const project = join(outDir, 'tsconfig.json');
  writeFileSync(
    project,
    JSON.stringify({
      extends: join(root, 'tsconfig.build.json'),
      compilerOptions: {
        rootDir: join(root, 'src'),
        outDir,
        sourceMap: false,
        types: ['node'],
        typeRoots: [join(root, 'node_modules/@types')],
      },
      include: [],
      files: ['child', 'chdb-store'].map((name) => join(root, 'src/store/chdb', `${name}.ts`)),
    }),
  );
  writeFileSync(join(outDir, 'package.json'), '{"type":"module"}');
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', project], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`the child does not compile: ${stdout}`);
  return join(outDir, 'store', 'chdb', 'child.js');
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
