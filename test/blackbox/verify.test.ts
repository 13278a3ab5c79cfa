/** `hedgerow verify`: a real run with few kills; one whose store was tampered with; one that is stopped halfway. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bin, cleanEnv, freshFolder } from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';

interface Verdict {
  readonly verdict: string;
  readonly folder: string | null;
  readonly kills: number;
  readonly kills_while_starting: number;
  readonly events: Readonly<Record<string, number>>;
  readonly problems: Readonly<Record<string, number>>;
  readonly examples: readonly { readonly kind: string; readonly uuid: string | null }[];
  readonly acknowledged_per_second: number;
  readonly restart_ms: Readonly<Record<string, number>>;
  readonly visible_ms: Readonly<Record<string, number>>;
  readonly sync_us: Readonly<Record<string, number>>;
  readonly disk_full: { readonly tried: boolean; readonly reason?: string; readonly refusals?: number };
}

let volume: string;
beforeAll(() => {
  volume = freshFolder();
});
afterAll(() => {
  rmSync(volume, { recursive: true, force: true });
});

interface Run {
  readonly child: ChildProcess;
  readonly output: { stdout: string; stderr: string };
  readonly exited: Promise<number | null>;
}

function verify(args: readonly string[], env: Readonly<Record<string, string>> = {}): Run {
  const child = spawn(process.execPath, [bin, 'verify', '--data-dir', join(volume, 'data'), ...args], {
    env: cleanEnv({ HEDGEROW_SKIP_BUILD: '1', NO_COLOR: '1', ...env }),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  const exited = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
  return { child, output, exited };
}

/** A folder of a run names the processes that run in it: their command lines hold its path. */
function processesIn(folder: string): string[] {
  const { stdout } = spawnSync('ps', ['-eo', 'args'], { encoding: 'utf8' });
  return stdout.split('\n').filter((line) => line.includes(folder) && !line.includes(' verify '));
}

describe('hedgerow verify', () => {
  it('kills a real server, compares, says so in JSON, and leaves nothing behind', async () => {
    const { output, exited } = verify(['--seconds', '12', '--kills', '4', '--json']);
    const exitCode = await exited;
    expect({ exitCode, stderr: exitCode === 0 ? '' : output.stderr + output.stdout }).toEqual({
      exitCode: 0,
      stderr: '',
    });
    const verdict = JSON.parse(output.stdout) as Verdict;
    expect(verdict).toMatchObject({ verdict: 'passed', folder: null, kills: 4, kills_while_starting: 1 });
    const { acknowledged = 0, stored, rejected_on_purpose, duplicates_on_purpose, sent_again } = verdict.events;
    expect(acknowledged).toBeGreaterThan(500);
    expect(stored).toBe(acknowledged); // all that was in doubt was sent again, until it was acknowledged
    expect(rejected_on_purpose).toBeGreaterThan(0);
    expect(duplicates_on_purpose).toBeGreaterThan(0);
    expect(sent_again).toBeGreaterThan(0);
    expect(Object.values(verdict.problems).every((count) => count === 0)).toBe(true);
    expect(verdict.acknowledged_per_second).toBeGreaterThan(0);
    expect(verdict.restart_ms['count']).toBeGreaterThan(0);
    expect(verdict.visible_ms['count']).toBeGreaterThan(0);
    expect(verdict.sync_us['count']).toBeGreaterThanOrEqual(50);
    if (verdict.disk_full.tried) expect(verdict.disk_full.refusals).toBeGreaterThan(0);
    else expect(verdict.disk_full.reason).not.toBe('');
    // Progress goes to standard error, as plain lines where that is no terminal.
    expect(output.stderr).toMatch(/kill 1 of 4, under load: [\d,]+ events acknowledged\n/);
    expect(output.stderr).not.toContain('\r');
    expect(readdirSync(volume)).toEqual([]);
    expect(processesIn(volume)).toEqual([]);
  });

  it('fails, names the events and keeps the folder when the store lost one and doubled another', async () => {
    const tamper = join(volume, 'tamper.mjs');
    writeFileSync(tamper, tamperingSource(join(volume, 'tampered')));
    const { output, exited } = verify(['--seconds', '5', '--kills', '1', '--json'], {
      NODE_OPTIONS: `--import ${JSON.stringify(tamper)}`,
    });
    expect({ exitCode: await exited, tampered: existsSync(join(volume, 'tampered')) }).toEqual({
      exitCode: 1,
      tampered: true,
    });
    const { verdict, problems, examples, folder } = JSON.parse(output.stdout) as Verdict;
    expect({ verdict, lost: problems['lost'], doubled: problems['doubled'] }).toEqual({
      verdict: 'failed',
      lost: 1,
      doubled: 1,
    });
    expect(examples.map(({ kind }) => kind).sort()).toEqual(['doubled', 'lost']);
    for (const { uuid } of examples) expect(uuid).toMatch(/^[0-9a-f-]{36}$/);
    expect(existsSync(join(folder ?? '', 'server.log'))).toBe(true);
    rmSync(folder ?? '', { recursive: true, force: true });
  });

  it('stopped halfway, ends its server and removes its folder', async () => {
    rmSync(volume, { recursive: true, force: true });
    mkdirSync(volume);
    const { child, output, exited } = verify(['--seconds', '60', '--kills', '3']);
    await until(() => output.stderr.includes('200 to SQL') && processesIn(volume).length > 0, {
      deadlineMs: 30_000,
      what: 'the server of the run is up',
    });
    child.kill('SIGINT');
    expect(await exited).toBe(1);
    expect(output.stderr).toContain('hedgerow: Stopped before the end; nothing was proved.\n');
    expect(output.stdout).toBe('');
    expect(readdirSync(volume)).toEqual([]);
    expect(processesIn(volume)).toEqual([]);
  });
});

/**
 * Loaded by every process of the run: before the server starts for a second time on its folder, when nobody has the store
 * open, it removes one row of `events` and puts another in a second time.
 */
function tamperingSource(mark: string): string {
  const chdb = createRequire(import.meta.url).resolve('chdb');
  return `
    import { existsSync, writeFileSync } from 'node:fs';
    import { createRequire } from 'node:module';
    import { join } from 'node:path';
    const store = join(process.argv[process.argv.indexOf('--data-dir') + 1] ?? '', 'store', 'engine');
    if (process.argv[2] === 'start' && existsSync(store) && !existsSync(${JSON.stringify(mark)})) {
      const { Session } = createRequire(import.meta.url)(${JSON.stringify(chdb)});
      const session = new Session(store);
      const columns = session.query(
        "select arrayStringConcat(groupArray(name), ', ') from system.columns where database = 'hedgerow' and table = 'events'",
        'TSVRaw',
      ).trim();
      session.query('alter table hedgerow.events delete where uuid in ' +
        '(select uuid from hedgerow.events order by uuid limit 1) settings mutations_sync = 2');
      session.query(\`insert into hedgerow.events (\${columns}) select \${columns} from hedgerow.events \` +
        'order by uuid desc limit 1 settings insert_allow_materialized_columns = 1, insert_deduplicate = 0');
      session.close();
      writeFileSync(${JSON.stringify(mark)}, '');
    }
  `;
}
