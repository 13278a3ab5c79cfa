#!/usr/bin/env node
// Runs the compiled command. In a checkout it compiles what is missing or out of date first.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
if (existsSync(join(root, 'src')) && process.env.HEDGEROW_SKIP_BUILD !== '1') {
  process.argv.push('--if-stale');
  await import('../scripts/build.mjs');
  process.argv.splice(process.argv.indexOf('--if-stale'), 1);
}
await import('../dist/cli/main.js');
