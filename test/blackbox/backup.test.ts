/** `hedgerow backup` of a server under load, and `hedgerow restore` (docs/backup.md). */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  ask,
  bearer,
  bin,
  cleanEnv,
  freshFolder,
  type Hedgerow,
  post,
  sql,
  startHedgerow,
  testKeys,
  untilCounted,
  untilLoaded,
} from '../harness/hedgerow.ts';
import { quantile, startLoad } from '../harness/steady-load.ts';
import { until } from '../harness/until.ts';

interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function hedgerow(...args: readonly string[]): Promise<Run> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [bin, ...args],
      { env: cleanEnv({ HEDGEROW_SKIP_BUILD: '1', NO_COLOR: '1' }) },
      (error, out, err) => {
        resolve({ code: error === null ? 0 : Number(error.code), out, err });
      },
    );
  });
}

interface Manifest {
  readonly counts: { readonly events: number; readonly rejections: number };
  readonly streams: readonly { readonly stream: string; readonly committed: number; readonly end: number }[];
  readonly files: readonly { readonly path: string; readonly bytes: number; readonly sha256: string }[];
}

function manifestOf(backup: string): Manifest {
  return JSON.parse(readFileSync(join(backup, 'manifest.json'), 'utf8')) as Manifest;
}

const scratch = freshFolder();
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
let nextFolder = 0;
function newFolder(): string {
  nextFolder += 1;
  return join(scratch, `f${nextFolder}`);
}

async function started(dataDir: string, args: readonly string[] = []): Promise<Hedgerow> {
  const server = await startHedgerow({ dataDir, args });
  onTestFinished(async () => {
    await server.stop();
  });
  return server;
}

async function uuidsIn(server: Hedgerow): Promise<string[]> {
  const found: string[] = [];
  for (let offset = 0; ; offset += 40_000) {
    const rows = await sql(server, `select toString(uuid) from events order by uuid limit 40000 offset ${offset}`);
    found.push(...rows.map(([uuid]) => String(uuid)));
    if (rows.length < 40_000) return found.toSorted(); // the engine has an order of its own for uuids
  }
}

/** The ledger comes behind the rows that it counts. */
async function untilLedgerIs(server: Hedgerow, expected: readonly number[]): Promise<void> {
  const what = `the ledger is ${expected.join(', ')}`;
  await until(async () => JSON.stringify(await ledgerOf(server)) === JSON.stringify([expected]), {
    deadlineMs: 20_000,
    what,
  });
}

async function ledgerOf(server: Hedgerow): Promise<unknown> {
  return sql(server, 'select sum(received), sum(accepted), sum(stored), sum(duplicate), sum(rejected) from ledger');
}

describe('a backup of a server under load', () => {
  const dataDir = newFolder();
  const backup = newFolder();
  const before = new Set<string>();
  let later = 0;
  let beforeP99 = 0;
  let duringP99 = 0;
  let statuses: Map<number, number>;

  beforeAll(async () => {
    const server = await startHedgerow({ dataDir, args: ['--segment-bytes', '262144'] });
    const load = startLoad(server.url, { clients: 4, batchEvents: 20, pauseMs: 10 });
    await until(() => load.acknowledged.size > 2000, { deadlineMs: 60_000, what: '2000 events are acknowledged' });
    await post(`${server.url}/batch/`, {
      api_key: testKeys.public,
      batch: [
        { event: 'no id', properties: {} },
        { event: 'kept', distinct_id: 'd' },
      ],
    });
    beforeP99 = quantile(load.waitsMs, 0.99);
    load.waitsMs.length = 0;
    for (const uuid of load.acknowledged) before.add(uuid);
    const run = await hedgerow('backup', backup, '--data-dir', dataDir, '--json');
    duringP99 = quantile(load.waitsMs, 0.99);
    later = load.acknowledged.size - before.size;
    await load.stop();
    statuses = load.statuses;
    await server.stop();
    expect({ code: run.code, err: run.err }).toEqual({ code: 0, err: '' });
    expect(JSON.parse(run.out)).toMatchObject({ state: 'done', dir: backup, rejections: expect.any(Number) });
  }, 120_000);

  it('goes on capturing, every request answered 200', () => {
    expect([...statuses.keys()]).toEqual([200]);
    expect(later).toBeGreaterThan(0);
    // It fails when capture is held, not when the machine is busy.
    expect(duringP99).toBeLessThan(Math.max(2000, beforeP99 * 5));
  });

  it('holds what its manifest names and nothing else: no address, no local key, no file for others to read', () => {
    const manifest = manifestOf(backup);
    const files = filesBelow(backup).map((path) => path.slice(backup.length + 1));
    expect(files.toSorted()).toEqual(['manifest.json', ...manifest.files.map(({ path }) => path)].toSorted());
    expect(files.filter((path) => path.includes('server.json'))).toEqual([]);
    expect(statSync(backup).mode & 0o077).toBe(0);
    expect(statSync(join(backup, 'registry', 'data.mdb')).mode & 0o077).toBe(0);
    expect(readFileSync(join(backup, 'registry', 'data.mdb')).includes(testKeys.personal)).toBe(false);
    expect(
      readdirSync(join(dataDir, 'store', 'engine', 'shadow')).filter((name) => name.startsWith('hedgerow')),
    ).toEqual([]);
    expect(readdirSync(scratch).filter((name) => name.includes('partial'))).toEqual([]);
  });

  it('restored, has every event that was acknowledged before it began, each once, and as many as its manifest says', async () => {
    const restored = newFolder();
    const run = await hedgerow('restore', backup, '--data-dir', restored, '--json');
    expect({ code: run.code, out: run.out !== '' }).toEqual({ code: 0, out: true });
    expect(existsSync(join(restored, 'restoring'))).toBe(false);
    expect(existsSync(join(restored, 'server.json'))).toBe(false);
    const server = await started(restored);
    const { counts, streams } = manifestOf(backup);
    const pending = streams.reduce((sum, { committed, end }) => sum + end - committed, 0);
    const rows = async (): Promise<number> => {
      const [row = []] = await sql(server, 'select (select count() from events) + (select count() from rejections)');
      return Number(row[0]);
    };
    const total = counts.events + counts.rejections + pending;
    await until(async () => (await rows()) >= total, { deadlineMs: 30_000, what: `${total} records are stored` });
    await untilLoaded(server);
    expect(await rows()).toBe(total);
    const found = await uuidsIn(server);
    expect(new Set(found).size).toBe(found.length);
    const all = new Set(found);
    expect([...before].filter((uuid) => !all.has(uuid))).toEqual([]);
    await untilLedgerIs(server, [found.length + 1, found.length, found.length, 0, 1]);
    // And it is a server like any other: the keys are the old ones, and new events go in behind the old.
    const uuid = randomUUID();
    expect(
      (await post(`${server.url}/e/`, { api_key: testKeys.public, event: 'new', distinct_id: 'd', uuid })).status,
    ).toBe(200);
    await until(async () => (await uuidsIn(server)).includes(uuid), {
      deadlineMs: 20_000,
      what: 'the new event is stored',
    });
    await untilLedgerIs(server, [found.length + 2, found.length + 1, found.length + 1, 0, 1]);
  });

  it('goes into an empty folder only', async () => {
    const full = newFolder();
    mkdirSync(full);
    writeFileSync(join(full, 'mine.txt'), 'mine');
    const run = await hedgerow('restore', backup, '--data-dir', full);
    expect(run.code).toBe(1);
    expect(run.err).toContain('is not empty (it holds mine.txt)');
    expect(readdirSync(full)).toEqual(['mine.txt']);
  });

  it.each([
    ['missing', (path: string) => rmSync(path), 'is missing'],
    ['longer', (path: string) => appendFileSync(path, 'x'), 'bytes instead of'],
    [
      'changed in one bit',
      (path: string) => {
        const bytes = readFileSync(path);
        bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
        rmSync(path); // the bytes may be shared with the data folder
        writeFileSync(path, bytes);
      },
      'has another SHA-256',
    ],
  ])('with a file that is %s is refused with its name, and nothing is placed', async (_, damage, said) => {
    const copy = newFolder();
    await new Promise<void>((resolve, reject) => {
      execFile('cp', ['-a', backup, copy], (error) => (error === null ? resolve() : reject(error)));
    });
    const victim = manifestOf(copy).files.find(({ path }) => path.endsWith('data.bin'))?.path ?? '';
    damage(join(copy, victim));
    const target = newFolder();
    const run = await hedgerow('restore', copy, '--data-dir', target);
    expect(run.code).toBe(1);
    expect(run.err).toContain(join(copy, victim));
    expect(run.err).toContain(said);
    expect(existsSync(target) ? readdirSync(target) : []).toEqual([]);
  });

  it('whose manifest says otherwise than its store is refused, and nothing is placed', async () => {
    const copy = newFolder();
    await new Promise<void>((resolve, reject) => {
      execFile('cp', ['-a', backup, copy], (error) => (error === null ? resolve() : reject(error)));
    });
    const manifest = manifestOf(copy);
    const changed = { ...manifest, counts: { ...manifest.counts, events: manifest.counts.events + 1 } };
    writeFileSync(join(copy, 'manifest.json'), JSON.stringify(changed));
    const target = newFolder();
    const run = await hedgerow('restore', copy, '--data-dir', target);
    expect(run.code).toBe(1);
    expect(run.err).toContain(`${manifest.counts.events} events instead of ${manifest.counts.events + 1}`);
    expect(readdirSync(target)).toEqual([]);
  });

  it('of which a path or a link leads out of the folder is refused', async () => {
    const copy = newFolder();
    mkdirSync(copy);
    const manifest = manifestOf(backup) as Manifest & { readonly links: readonly { path: string; to: string }[] };
    for (const hostile of [
      { ...manifest, files: [{ path: '../outside', bytes: 0, sha256: '0'.repeat(64) }] },
      { ...manifest, files: [], links: [{ path: 'store/engine/metadata/hedgerow', to: '../../../../etc' }] },
    ]) {
      writeFileSync(join(copy, 'manifest.json'), JSON.stringify(hostile));
      const run = await hedgerow('restore', copy, '--data-dir', newFolder());
      expect(run.code).toBe(1);
      expect(run.err).toContain('manifest.json is damaged at');
    }
  });

  it('is told from a folder that is no backup', async () => {
    const run = await hedgerow('restore', dataDir, '--data-dir', newFolder());
    expect(run.code).toBe(1);
    expect(run.err).toContain('is no backup, or not a whole one: it has no manifest.json');
  });
});

describe('a restore that did not come to its end', () => {
  it('keeps a server from starting on the folder', async () => {
    const folder = newFolder();
    mkdirSync(join(folder, 'restoring'), { recursive: true });
    const run = await hedgerow('start', '--port', '0', '--data-dir', folder);
    expect(run.code).toBe(1);
    expect(run.err).toContain('did not come to its end');
  });
});

describe('asking for a backup', () => {
  const dataDir = newFolder();
  let server: Hedgerow;
  beforeAll(async () => {
    server = await startHedgerow({ dataDir });
  });
  afterAll(() => server.stop());

  it('of a target that holds something, is relative, lies in the data folder or has no parent is refused', async () => {
    const full = newFolder();
    mkdirSync(full);
    writeFileSync(join(full, 'mine.txt'), 'mine');
    for (const [dir, said] of [
      [full, 'a new or empty folder'],
      ['backups/monday', 'an absolute path'],
      [join(dataDir, 'log', 'b'), 'a path outside the data folder'],
      [dataDir, 'a path outside the data folder'],
      [join(scratch, 'nowhere', 'b'), 'in a folder that exists'],
    ] as const) {
      const answer = await post(`${server.url}/api/backups/`, { dir }, bearer);
      expect([answer.status, answer.text]).toEqual([400, expect.stringContaining(said)]);
    }
    expect(readdirSync(full)).toEqual(['mine.txt']);
  });

  it('needs a key with scope admin that is limited to no project', async () => {
    const dir = newFolder();
    expect((await post(`${server.url}/api/backups/`, { dir })).status).toBe(401);
    for (const [args, status] of [
      [['--scopes', 'query'], 403],
      [['--scopes', 'admin', '--project', '1'], 403],
    ] as const) {
      const made = await hedgerow('keys', 'create', '--kind', 'personal', ...args, '--json', '--data-dir', dataDir);
      const { key } = JSON.parse(made.out) as { key: string };
      const answer = await post(`${server.url}/api/backups/`, { dir }, { Authorization: `Bearer ${key}` });
      expect(answer.status).toBe(status);
    }
    expect(existsSync(dir)).toBe(false);
  });

  it('of an empty server, into an empty folder that is there, gives a backup that can be restored', async () => {
    const dir = newFolder();
    mkdirSync(dir);
    const run = await hedgerow('backup', dir, '--data-dir', dataDir);
    expect(run).toMatchObject({ code: 0, out: expect.stringContaining('0 events, 0 rejected, 0 still in the log') });
    expect((await ask(`${server.url}/api/backups/`, { headers: bearer })).json).toMatchObject({ state: 'done', dir });
    const restored = newFolder();
    expect((await hedgerow('restore', dir, '--data-dir', restored)).code).toBe(0);
    const again = await started(restored);
    expect(await uuidsIn(again)).toEqual([]);
  });

  it('says what to do where no server runs', async () => {
    const run = await hedgerow('backup', newFolder(), '--data-dir', newFolder());
    expect(run.code).toBe(1);
    expect(run.err).toContain('No running server was found');
  });
});

describe('the log that is kept with --log-retention', () => {
  it('brings a backup up to a moment after it, and leaves out what came later', async () => {
    const dataDir = newFolder();
    const backup = newFolder();
    // Small segments, so that what is replayed lies in several.
    const server = await startHedgerow({ dataDir, args: ['--log-retention', '3600s', '--segment-bytes', '65536'] });
    const send = async (count: number): Promise<string[]> => {
      const sent: string[] = [];
      for (let i = 0; i < count; i++) {
        const uuid = randomUUID();
        const event = { event: 'sent', distinct_id: 'd', uuid, properties: { pad: 'p'.repeat(2000) } };
        expect((await post(`${server.url}/e/`, { api_key: testKeys.public, ...event })).status).toBe(200);
        sent.push(uuid);
      }
      return sent;
    };
    const first = await send(50);
    await untilLoaded(server);
    expect((await hedgerow('backup', backup, '--data-dir', dataDir)).code).toBe(0);
    const second = await send(150);
    await new Promise((resolve) => setTimeout(resolve, 20));
    const until = new Date().toISOString();
    await new Promise((resolve) => setTimeout(resolve, 20));
    const third = await send(80);
    await untilLoaded(server);
    await server.stop();

    for (const [args, expected] of [
      [
        ['--until', until],
        [...first, ...second],
      ],
      [[], [...first, ...second, ...third]],
    ] as const) {
      const target = newFolder();
      const run = await hedgerow('restore', backup, '--data-dir', target, '--log-from', dataDir, ...args);
      expect({ code: run.code, err: run.code === 0 ? '' : run.err }).toEqual({ code: 0, err: '' });
      const restored = await startHedgerow({ dataDir: target });
      await untilCounted(restored, '1 = 1', expected.length);
      await untilLoaded(restored);
      expect(await uuidsIn(restored)).toEqual(expected.toSorted());
      await untilLedgerIs(restored, [expected.length, expected.length, expected.length, 0, 0]);
      await restored.stop();
      if (args.length > 0) expect(holds(join(target, 'log'), third[0] ?? '')).toBe(false);
    }
  });

  it('is not enough when the log has let go of what came between', async () => {
    const dataDir = newFolder();
    const backup = newFolder();
    const server = await startHedgerow({ dataDir, args: ['--segment-bytes', '65536'] });
    expect((await hedgerow('backup', backup, '--data-dir', dataDir)).code).toBe(0);
    const event = { event: 'sent', distinct_id: 'd', properties: { pad: 'p'.repeat(30_000) } };
    for (let i = 0; i < 10; i++) await post(`${server.url}/e/`, { api_key: testKeys.public, ...event });
    await untilLoaded(server);
    await server.stop();
    await (await startHedgerow({ dataDir })).stop(); // a start lets go of what is loaded
    const target = newFolder();
    const run = await hedgerow('restore', backup, '--data-dir', target, '--log-from', dataDir);
    expect(run.code).toBe(1);
    expect(run.err).toContain('what lies between is gone');
    expect(readdirSync(target)).toEqual([]);
  });
});

/** Not through links, which `recursive` follows on some versions of Node.js: the engine links its tables by name. */
function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesBelow(path);
    return entry.isFile() ? [path] : [];
  });
}

/** Whether a uuid's bytes lie anywhere below a folder. */
function holds(folder: string, uuid: string): boolean {
  const wanted = Buffer.from(uuid.replaceAll('-', ''), 'hex');
  return filesBelow(folder).some((path) => readFileSync(path).includes(wanted));
}
