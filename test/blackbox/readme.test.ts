/** Every command and `curl` line of the README, run as written, in its order. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  bin,
  cleanEnv,
  root,
  sql,
  startHedgerow,
  stopAndRemove,
  testEnv,
  untilCounted,
  type Hedgerow,
} from '../harness/hedgerow.ts';

const readme = readFileSync(join(root, 'README.md'), 'utf8');
const blocks = [...readme.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? '');

let server: Hedgerow;
let folder: string;
beforeAll(async () => {
  server = await startHedgerow();
  folder = mkdtempSync(join(tmpdir(), 'hedgerow-readme-'));
  // The README says `npx hedgerow`; here that is the checkout's own command.
  symlinkSync(bin, join(folder, 'hedgerow'));
});
afterAll(async () => {
  rmSync(folder, { recursive: true, force: true });
  await stopAndRemove(server);
});

function run(block: string): { status: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync('bash', ['-ec', block.replaceAll('npx hedgerow', 'hedgerow')], {
    cwd: folder,
    encoding: 'utf8',
    env: cleanEnv({
      ...testEnv,
      HEDGEROW_URL: server.url,
      HEDGEROW_DATA_DIR: server.dataDir,
      PATH: `${folder}${delimiter}${process.env['PATH'] ?? ''}`,
    }),
  });
  return { status, stdout, stderr };
}

describe('README', () => {
  it('opens with the two commands, which package.json has', () => {
    expect(readme.slice(0, 900)).toMatch(/npm ci && npm start[\s\S]*npm ci && npm test/);
  });

  it('has runnable blocks', () => {
    expect(blocks.length).toBeGreaterThanOrEqual(8);
  });

  it.each(blocks.map((block) => [block.split('\n')[0] ?? '', block]))('%s', (_first, block) => {
    const { status, stdout, stderr } = run(block);
    expect({ status, stderr: status === 0 ? '' : stderr }).toEqual({ status: 0, stderr: '' });
    if (block.includes('/capture/') || block.includes('/batch/')) expect(stdout).toBe('{"status":"Ok"}');
    else expect(stdout.length).toBeGreaterThan(10);
    expect(stdout).not.toContain('_error"');
  });

  it('sent what it says: the events are there', async () => {
    await untilCounted(server, "event in ('signed up', 'viewed', 'paid', 'opened mail', 'clicked')", 6);
    expect(await sql(server, "select properties.price, authenticated from events where event = 'paid'")).toEqual([
      [9.5, true],
    ]);
  });
});

describe('the printed greeting', () => {
  it('has a curl line that works when pasted, and fits 80 columns but for keys', async () => {
    const fresh = await startHedgerow({
      env: { HEDGEROW_PROJECT_API_KEY: '', HEDGEROW_PUBLIC_API_KEY: '', HEDGEROW_PERSONAL_API_KEY: '' },
    });
    try {
      const line = /^ {2}curl [\s\S]*?\n(?=\n)/m.exec(fresh.output.stdout)?.[0] ?? '';
      expect(run(line).stdout).toBe('{"status":"Ok"}');
      const wide = fresh.output.stdout
        .split('\n')
        .filter((text) => text.length > 80 && !/ph[cx]_/.test(text) && !text.includes(fresh.dataDir));
      expect(wide).toEqual([]);
    } finally {
      await stopAndRemove(fresh);
    }
  });
});
