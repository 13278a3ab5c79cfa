import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../event/clock.ts';
import { RandomIds } from '../event/id-source.ts';
import { openLmdbRegistry } from '../registry/lmdb/lmdb-registry.ts';
import { seedFirstProject } from '../registry/seed.ts';
import { buildProgram, runCli } from './run-cli.ts';
import type { Terminal } from './terminal.ts';
import { hedgerowVersion } from './version.ts';

interface Ran {
  readonly exitCode: number;
  readonly out: string;
  readonly err: string;
}

function bufferTerminal(env: Terminal['env'] = {}): { terminal: Terminal; texts: { out: string; err: string } } {
  const texts = { out: '', err: '' };
  const terminal: Terminal = {
    env,
    out: (text) => void (texts.out += text),
    err: (text) => void (texts.err += text),
    isOutTty: false,
    isErrTty: false,
    columns: undefined,
  };
  return { terminal, texts };
}

async function run(words: readonly string[], env?: Terminal['env']): Promise<Ran> {
  const { terminal, texts } = bufferTerminal(env);
  const exitCode = await runCli(words, terminal);
  return { exitCode, ...texts };
}

describe('the command line', () => {
  it('prints its version from package.json', async () => {
    expect(await run(['--version'])).toEqual({ exitCode: 0, out: `${hedgerowVersion()}\n`, err: '' });
    expect(hedgerowVersion()).toMatch(/^\d+\.\d+\.\d+/);
  });

  it('shows help with examples for every command, on standard output, with exit 0', async () => {
    const everyCommand = [
      [],
      ...buildProgram(bufferTerminal().terminal, () => undefined).commands.flatMap((command) => [
        [command.name()],
        ...command.commands.map((nested) => [command.name(), nested.name()]),
      ]),
    ];
    expect(everyCommand).toHaveLength(26);
    for (const words of everyCommand) {
      const { exitCode, out, err } = await run([...words, '--help']);
      expect({ words, exitCode, err }).toEqual({ words, exitCode: 0, err: '' });
      expect(out).toContain('Examples:\n  $ hedgerow ');
    }
  });

  it.each([
    [['strat'], 'start'],
    [['start', '--prot', '1'], '--port'],
    [['start', '--ditector=x'], '--data-dir'],
    [['query', 'select 1', '--jsn'], '--json'],
    [['keys', 'creat'], 'create'],
    [['keys', 'create', '--knd', 'public'], '--kind'],
  ])('answers %j with exit 2 and the nearest valid name', async (words, nearest) => {
    const { exitCode, out, err } = await run(words);
    expect({ exitCode, out }).toEqual({ exitCode: 2, out: '' });
    expect(err).toContain(`The nearest valid one is ${nearest}.`);
  });

  it.each([
    [[]],
    [['keys']],
    [['query']],
    [['query', ' ']],
    [['query', 'select', '1']],
    [['query', 'select 1', '--json', '--csv']],
    [['event', 'no-uuid']],
    [['send']],
    [['send', '--file', 'x', '--prop', 'a=1']],
    [['keys', 'create']],
    [['keys', 'create', '--kind', 'secret']],
    [['keys', 'create', '--kind', 'personal', '--scopes', 'everything']],
    [['limits']],
    [['limits', 'set']],
    [['limits', 'set', '--burst', '0']],
    [['limits', 'set', '--burst', '1.5']],
    [['limits', 'set', '--events-per-second', '-1']],
    [['limits', 'set', '--events-per-second', '0']],
    [['limits', 'set', '--monthly-quota', '1e3']],
    [['limits', 'set', '--monthly-quota', 'all']],
    [['start', '--port', 'eighty', '--print-config']],
    [['verify', '--kills', '0']],
    [['verify', '--seconds', '1.5']],
    [['query', 'select 1', '--url', 'localhost:8000']],
  ])('answers %j with exit 2 and a reason on standard error', async (words) => {
    const { exitCode, out, err } = await run(words);
    expect({ exitCode, out }).toEqual({ exitCode: 2, out: '' });
    expect(err).not.toBe('');
  });

  it('shows where each setting came from', async () => {
    const { exitCode, out } = await run(['start', '--port', '9000', '--print-config'], { HEDGEROW_HOST: '::1' });
    expect(exitCode).toBe(0);
    expect(out).toMatch(/^host +::1 +environment HEDGEROW_HOST$/m);
    expect(out).toMatch(/^port +9000 +flag --port$/m);
    expect(JSON.parse((await run(['start', '--print-config', '--json'])).out)).toHaveProperty('port.value', '8000');
  });

  it('says in one sentence that no server was found', async () => {
    const { exitCode, err } = await run(['query', 'select 1', '--data-dir', join(tmpdir(), 'no-such-folder')]);
    expect(exitCode).toBe(1);
    expect(err).toMatch(/^hedgerow: No running server was found on the data folder .*hedgerow start.*\n$/);
  });
});

describe('keys and projects', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'hedgerow-cli-'));
  beforeAll(async () => {
    const registry = await openLmdbRegistry({
      dir: join(dataDir, 'registry'),
      clock: systemClock,
      ids: new RandomIds(),
    });
    await seedFirstProject(registry, { projectApiKey: undefined, publicApiKey: undefined, personalApiKey: undefined });
    await registry.close();
  });
  afterAll(() => rmSync(dataDir, { recursive: true }));
  const onFolder = (...words: readonly string[]): Promise<Ran> => run([...words, '--data-dir', dataDir]);

  it('lists the first project’s keys, the personal one without its secret', async () => {
    const listed: unknown = JSON.parse((await onFolder('keys', 'list', '--json')).out);
    expect(listed).toMatchObject([
      { kind: 'server', key: expect.stringMatching(/^phc_/), scopes: null, projects: [1] },
      { kind: 'public', key: expect.stringMatching(/^phc_/), scopes: null, projects: [1] },
      { kind: 'personal', scopes: ['capture', 'query', 'admin'], projects: null },
    ]);
    expect(JSON.stringify(listed)).not.toContain('phx_');
    expect((await onFolder('keys', 'list')).out).toMatch(/^public {4}phc_.{43}$/m);
  });

  it('makes a key, prints it alone on standard output, and revokes it by its text', async () => {
    const made = await onFolder('keys', 'create', '--kind', 'personal', '--scopes', 'query', '--project', '1');
    expect(made.out).toMatch(/^phx_.{43}\n$/);
    expect(made.err).toContain('not shown again');
    const revoked = await onFolder('keys', 'revoke', made.out.trim(), '--json');
    expect(JSON.parse(revoked.out)).toMatchObject({ revoked: true });
    expect((await onFolder('keys', 'revoke', 'nobody')).exitCode).toBe(1);
  });

  it('makes, renames and deletes a project by name, deletion only with --yes', async () => {
    const made = await onFolder('projects', 'create', 'My shop', '--json');
    expect(JSON.parse(made.out)).toMatchObject({ id: 2, name: 'My shop' });
    expect((await onFolder('keys', 'create', '--kind', 'public')).exitCode).toBe(2);
    const key = await onFolder('keys', 'create', '--kind', 'public', '--project', 'My shop', '--json');
    expect(JSON.parse(key.out)).toMatchObject({ kind: 'public', projects: [2], key: expect.stringMatching(/^phc_/) });
    expect((await onFolder('projects', 'rename', 'My shop', 'Our shop')).out).toContain('"Our shop"');
    expect((await onFolder('projects', 'delete', 'Our shop')).exitCode).toBe(2);
    expect((await onFolder('projects', 'delete', 'Our shop', '--yes')).exitCode).toBe(0);
    expect((await onFolder('projects', 'list')).out).not.toContain('shop');
  });

  it('sets limits one by one, shows them, and ends one with none', async () => {
    const none = { project: 1, events_per_second: null, burst: null, monthly_quota: null, used_this_month: 0 };
    expect(JSON.parse((await onFolder('limits', 'show', '--json')).out)).toEqual(none);
    const set = await onFolder('limits', 'set', '--events-per-second', '0.5', '--monthly-quota', '1000000', '--json');
    expect(JSON.parse(set.out)).toEqual({ ...none, events_per_second: 0.5, monthly_quota: 1_000_000 });
    const more = await onFolder(
      'limits',
      'set',
      '--burst',
      '20',
      '--events-per-second',
      'none',
      '--project',
      '1',
      '--json',
    );
    expect(JSON.parse(more.out)).toEqual({ ...none, burst: 20, monthly_quota: 1_000_000 });
    const { out } = await onFolder('limits', 'show', '--project', 'Default project');
    expect(out).toMatch(/^Project 1, "Default project":\n/);
    expect(out).toMatch(/^ {2}rate +none\n {2}burst +20 events\n {2}monthly quota +1,000,000 events$/m);
    expect(out).toMatch(/^ {2}used this month +0 events \(0 % of the quota\)$/m);
    expect((await onFolder('limits', 'show', '--project', 'nobody')).exitCode).toBe(1);
  });

  it('says which folder it looked in when there is nothing there', async () => {
    const { exitCode, err } = await run(['keys', 'list', '--data-dir', join(dataDir, 'nothing')]);
    expect(exitCode).toBe(1);
    expect(err).toContain('There is no Hedgerow data in');
  });
});
