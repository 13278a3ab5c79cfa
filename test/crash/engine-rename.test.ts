/**
 * The store's engine is killed between noting a block's deduplication token and giving the block's part its name: a moment
 * of microseconds in which it would swallow the same block, under the same token, for good. What was acknowledged must be
 * there all the same.
 *
 * strace (apt-get install strace) ends the engine at that very system call; says so where it is missing.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { until } from '../harness/until.ts';
import { startKillable } from './killable-server.ts';
import { LedgerClient } from './ledger-client.ts';

const hasStrace = spawnSync('strace', ['-V'], { stdio: 'ignore' }).status === 0;
if (!hasStrace) process.stdout.write('left out: the engine killed before a part has its name (needs strace)\n');

describe.runIf(hasStrace)('an engine that dies before a part has its name', () => {
  it('has not swallowed the block: the next one takes it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hedgerow-rename-'));
    const trace = join(folder, 'trace');
    const client = new LedgerClient();
    const server = startKillable({ dataDir: join(folder, 'data'), args: ['--log-level', 'error'] });
    const url = (await server.ready) ?? '';
    const engine = readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8').trim().split(' ')[0] ?? '';
    // The next file that it renames is the first part of the first block.
    const inject = ['-e', 'trace=rename', '-e', 'inject=rename:error=EIO:signal=KILL'];
    const strace = spawn('strace', ['-f', '-q', '-o', trace, ...inject, '-p', engine], { stdio: 'ignore' });
    const detached = new Promise((resolve) => strace.once('exit', resolve));
    await until(() => /TracerPid:\t[1-9]/.test(readFileSync(`/proc/${engine}/status`, 'utf8')), {
      deadlineMs: 10_000,
      what: 'strace holds the engine',
    });
    await client.load(url, 'the last block of the engine', () => client.acknowledged > 100);
    await detached; // it ends with the engine
    expect(readFileSync(trace, 'utf8')).toMatch(/rename\("[^"]*tmp_insert/);

    // The server has begun another engine, and brings the block again.
    const { lost, doubled, unknown } = await client.settle({ url });
    expect({ lost, doubled, unknown }).toEqual({ lost: [], doubled: [], unknown: [] });
    server.terminate();
    await server.exited;
    rmSync(folder, { recursive: true, force: true });
  });
});
