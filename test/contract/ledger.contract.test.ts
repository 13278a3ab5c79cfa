/** The ledger on each engine of the store: exact at every moment, whatever comes in between, and an alarm when rows go. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/event/clock.ts';
import { asEpochMs, asProjectId } from '../../src/event/ids.ts';
import { LedgerBook, type LedgerPage } from '../../src/loader/ledger-book.ts';
import { LedgerCheck } from '../../src/loader/ledger-check.ts';
import { startLoader, type Loader } from '../../src/loader/loader.ts';
import { noStats } from '../../src/loader/loader-stats.ts';
import { PendingTally } from '../../src/loader/pending-tally.ts';
import { openChdbStore } from '../../src/store/chdb/chdb-store.ts';
import { schemaVersion } from '../../src/store/migrations.ts';
import { BlockRefused, StoreUnavailable, type Block, type QueryAnswer, type Store } from '../../src/store/store.ts';
import type { LogLines } from '../../src/telemetry/log-lines.ts';
import { until } from '../harness/until.ts';
import { compiledChild } from './compiled-child.ts';
import { MemoryLog, nextUuid, recordOf, type RecordFields } from './record-fixtures.ts';

const MINUTE_MS = 60_000;
const firstMs = Math.floor(Date.now() / MINUTE_MS - 5) * MINUTE_MS;
const one = asProjectId(1);

/** A request: its first record says how many events it had, which is as many as there are records and dropped ones. */
function requestOf(records: readonly RecordFields[], dropped = 0): Buffer[] {
  const [first, ...rest] = records;
  const shared = { requestId: nextUuid(), receivedAtMs: firstMs + 1 };
  if (first === undefined) return [recordOf({ ...shared, kind: 'tally', counts: { received: dropped, dropped } })];
  const counts = { received: records.length + dropped, dropped };
  return [recordOf({ ...shared, ...first, counts }), ...rest.map((fields) => recordOf({ ...shared, ...fields }))];
}

type OpenStore = (dir: string) => Promise<Store>;

function ledgerContract(engine: string, open: OpenStore): void {
  describe(`the ledger on ${engine}`, () => {
    let dir = '';
    let store: Store;
    let log: MemoryLog;
    let book: LedgerBook;
    let loader: Loader | undefined;

    beforeEach(async () => {
      dir = mkdtempSync(join(tmpdir(), 'hedgerow-ledger-'));
      store = await open(dir);
      log = new MemoryLog();
      book = new LedgerBook(new PendingTally(log));
    });
    afterEach(async () => {
      await loader?.stop();
      await store.close();
      rmSync(dir, { recursive: true, force: true });
    });

    function start(to: Partial<Store> = {}): void {
      const methods = ['insert', 'findUuids', 'findRejections', 'findReach', 'isReady'] as const;
      const own = Object.fromEntries(methods.map((name) => [name, store[name].bind(store)]));
      const wrapped = Object.assign(Object.create(store) as Store, own, to);
      loader = startLoader({ reader: log, store: wrapped, clock: systemClock, stats: noStats });
    }

    async function untilLoaded(): Promise<void> {
      const end = (await log.durableEnd(log.stream)).sequence;
      await until(() => log.commits.at(-1) === end, { deadlineMs: 20_000, what: 'all is loaded' });
    }

    async function restart(): Promise<void> {
      await loader?.stop();
      log.forgetCommits();
      start();
    }

    async function run(sql: string): Promise<QueryAnswer> {
      const limits = { timeoutMs: 10_000, maxRows: 1000 };
      const answer = await store.query({ sql, parameters: {}, limits, signal: undefined });
      if (answer.kind === 'fault') throw new Error(answer.message);
      return answer;
    }

    async function page(projectId = 1, stepSeconds = 60): Promise<LedgerPage> {
      const fromSeconds = firstMs / 1000 - 86_400;
      const span = {
        projectId: asProjectId(projectId),
        fromSeconds,
        toSeconds: 0xffff_ff00,
        stepSeconds,
        maxRows: 10_000,
      };
      const found = await book.read(span, (sql, maxRows) =>
        store.query({
          sql: sql.text,
          parameters: sql.parameters,
          limits: { timeoutMs: 10_000, maxRows },
          signal: undefined,
        }),
      );
      if (found.kind !== 'page') throw new Error(JSON.stringify(found));
      return found;
    }

    /** Throws unless all that is there agrees. */
    async function numbers(projectId = 1): Promise<Record<string, unknown>> {
      const { lines } = await page(projectId, 86_400);
      const sum = {
        received: 0,
        accepted: 0,
        stored: 0,
        pending: 0,
        duplicate: 0,
        rejected: {} as Record<string, number>,
      };
      for (const { cell, pending } of lines) {
        expect({ at: 'received', is: cell.received }).toEqual({
          at: 'received',
          is: cell.accepted + cell.rejectedEvents,
        });
        expect({ at: 'accepted', is: cell.accepted }).toEqual({
          at: 'accepted',
          is: cell.stored + pending + cell.duplicate,
        });
        sum.received += cell.received;
        sum.accepted += cell.accepted;
        sum.stored += cell.stored;
        sum.pending += pending;
        sum.duplicate += cell.duplicate;
        for (const [code, n] of cell.rejected) sum.rejected[code] = (sum.rejected[code] ?? 0) + n;
      }
      return sum;
    }

    const uuid = nextUuid();
    const mixed = (): Buffer[][] => [
      requestOf([{}, { uuid }, { kind: 'rejection', first: 'invalid_uuid' }], 2),
      requestOf([{ uuid }, { kind: 'rejection', first: 'invalid_event' }]),
      requestOf([{ projectId: 2, uuid }]),
      requestOf([], 4),
      requestOf([{ receivedAtMs: firstMs + MINUTE_MS }]),
    ];
    const expected = {
      received: 12,
      accepted: 4,
      stored: 3,
      pending: 0,
      duplicate: 1,
      rejected: { performance_event: 6, invalid_uuid: 1, invalid_event: 1 },
    };
    const expectedOfTwo = { received: 1, accepted: 1, stored: 1, pending: 0, duplicate: 0, rejected: {} };

    it('counts what is pending, and after loading what became of it, by project and minute', async () => {
      for (const records of mixed()) log.append(...records);
      const waiting = { ...expected, stored: 0, pending: 4, duplicate: 0 };
      expect(await numbers()).toEqual(waiting);
      start();
      await untilLoaded();
      expect(await numbers()).toEqual(expected);
      expect(await numbers(2)).toEqual(expectedOfTwo);
      const minutes = (await page()).lines.map(({ startSeconds, cell }) => [
        startSeconds * 1000 - firstMs,
        cell.received,
      ]);
      expect(minutes).toEqual([
        [0, 11],
        [MINUTE_MS, 1],
      ]);
    });

    it('counts nothing twice when commits are lost and the blocks are cut elsewhere', async () => {
      for (const records of mixed()) log.append(...records);
      start();
      await untilLoaded();
      await restart();
      await untilLoaded();
      expect(await numbers()).toEqual(expected);
      await loader?.stop();
      log.forgetCommits();
      log.append(...requestOf([{}, { uuid }]));
      expect(await numbers()).toMatchObject({ received: 14, accepted: 6, pending: 2 });
      start();
      await untilLoaded();
      expect(await numbers()).toEqual({ ...expected, received: 14, accepted: 6, stored: 4, duplicate: 2 });
    });

    it('counts a block once whose rows are refused, halved, lost and inserted again without an answer', async () => {
      const tries = new Map<string, number>();
      for (const records of mixed()) log.append(...records);
      log.append(...requestOf(Array.from({ length: 20 }, (_, i) => ({ first: i === 7 ? 'poison' : 'fine' }))));
      start({
        insert: async (block: Block): Promise<void> => {
          const attempt = (tries.get(block.kind) ?? 0) + 1;
          tries.set(block.kind, attempt);
          if (block.count > 1 && Buffer.from(block.rows).includes('poison')) throw new BlockRefused('no');
          if (attempt === 1) throw new StoreUnavailable('away');
          await store.insert(block);
          if (attempt === 2) throw new StoreUnavailable('gone before it could answer');
        },
      });
      await untilLoaded();
      expect(tries.get('ledger')).toBeGreaterThanOrEqual(2);
      expect(await numbers()).toEqual({ ...expected, received: 32, accepted: 24, stored: 23 });
      const rows = await run('SELECT sum(received), sum(stored) FROM hedgerow_internal.ledger WHERE project_id = 1');
      expect(rows.rowsJson).toBe('[[32, 23]]');
    });

    it('balances at every step between the tables of a block, and of a request that is cut into two', async () => {
      const records = Array.from({ length: 45_000 }, (_, i): RecordFields => {
        if (i % 1000 === 5) return { kind: 'rejection', first: 'invalid_event' };
        return i % 1000 === 7 ? { last: '{"a":[[1]]}' } : {};
      });
      log.append(...requestOf(records, 3));
      const seen: unknown[] = [];
      const look = async (when: string): Promise<void> => {
        const { received, accepted, stored, pending } = await numbers();
        expect([received, accepted]).toEqual([45_003, 44_955]);
        seen.push([when, stored, pending]);
      };
      start({
        insert: async (block: Block): Promise<void> => {
          await look(`before ${block.kind}`);
          await store.insert(block);
          await look(`after ${block.kind}`);
        },
      });
      await untilLoaded();
      await look('at the end');
      expect(seen.filter((each) => !/event|reject/.test(String((each as unknown[])[0])))).toEqual([
        ['before ledger', 0, 44_955],
        ['after ledger', 44_955, 0],
        ['at the end', 44_955, 0],
      ]);
    });

    it('takes a record of version 1 for a request of one event', async () => {
      const shared = { version: 1, receivedAtMs: firstMs } as const;
      log.append(recordOf(shared), recordOf({ ...shared, kind: 'rejection', first: 'invalid_event' }));
      const before = { received: 2, accepted: 1, stored: 0, pending: 1, duplicate: 0, rejected: { invalid_event: 1 } };
      expect(await numbers()).toEqual(before);
      start();
      await untilLoaded();
      expect(await numbers()).toEqual({ ...before, stored: 1, pending: 0 });
    });

    it('shows an event that capture lost between decoding and the log', async () => {
      const counts = { received: 3, dropped: 0 };
      log.append(recordOf({ receivedAtMs: firstMs, counts }), recordOf({ receivedAtMs: firstMs }));
      start();
      await untilLoaded();
      const [line] = (await page()).lines;
      expect([line?.cell.received, line?.cell.accepted, line?.cell.rejectedEvents]).toEqual([3, 2, 0]);
    });

    it('starts anew for another log whose stream has the same name', async () => {
      log.append(...requestOf([{}, {}, {}]));
      start();
      await untilLoaded();
      await loader?.stop();
      log = new MemoryLog();
      book = new LedgerBook(new PendingTally(log));
      log.append(...requestOf([{}, {}]), ...requestOf([{}, {}]));
      start();
      await untilLoaded();
      expect(await numbers()).toMatchObject({ received: 7, stored: 7 });
    });

    it('shows a user the rows of their project alone, a minute each', async () => {
      for (const records of mixed()) log.append(...records);
      log.append(...requestOf([{ projectId: 2, receivedAtMs: firstMs + 2 * MINUTE_MS }]));
      log.append(
        ...requestOf(Array.from({ length: 9 }, () => ({ projectId: 2, kind: 'rejection', first: 'c' }) as const)),
      );
      start();
      await untilLoaded();
      const ask = (sql: string): ReturnType<Store['queryProject']> =>
        store.queryProject(one, { sql, parameters: {}, limits: { timeoutMs: 10_000, maxRows: 10 }, signal: undefined });
      const columns = 'minute received accepted stored duplicate rejected rejected_by_code';
      const all = await ask('select * from ledger order by minute');
      expect(all.kind === 'rows' && all.columns.join(' ')).toBe(columns);
      const sums = 'select sum(received), sum(accepted), sum(stored), sum(duplicate), sum(rejected), count()';
      expect(await ask(`${sums}, sumMap(rejected_by_code)['performance_event'] from ledger`)).toMatchObject({
        rowsJson: '[[12, 4, 3, 1, 8, 2, 6]]',
      });
      // A condition that the other project's rows would make fail, by themselves or summed with ours.
      for (const tell of [
        `minute = toDateTime(${(firstMs + 2 * MINUTE_MS) / 1000}, 'UTC')`,
        `minute = toDateTime(${firstMs / 1000}, 'UTC') and received in (1, 12)`,
        'rejected = 9',
      ]) {
        const answer = await ask(`select count() from ledger where throwIf(${tell}) = 0`);
        expect(answer, tell).toMatchObject({ rowsJson: '[[2]]' });
      }
      for (const sql of [
        'select project_id from ledger',
        'select * from hedgerow_internal.ledger',
        'select stream from ledger',
      ]) {
        expect((await ask(sql)).kind, sql).toBe('fault');
      }
    });

    describe('its check', () => {
      let said: Readonly<Record<string, unknown>>[];
      let check: LedgerCheck;

      beforeEach(async () => {
        said = [];
        const nothing = (): void => undefined;
        const lines: LogLines = { debug: nothing, info: nothing, warn: nothing, error: (fields) => said.push(fields) };
        for (const records of mixed()) log.append(...records);
        start();
        await untilLoaded();
        const clock = { nowMs: () => asEpochMs(Date.now()), monotonicMs: () => performance.now() };
        check = new LedgerCheck({ book, store, clock, log: lines });
        await check.check();
        expect([check.alarm(), check.imbalanceEvents, said]).toEqual([undefined, 0, []]);
      });

      it('stays silent while events wait, and while they are loaded', async () => {
        for (let i = 0; i < 10; i++) {
          log.append(
            ...requestOf(
              Array.from({ length: 50 }, (_, at) => (at === 3 ? { kind: 'rejection' } : {})),
              1,
            ),
          );
          await check.check();
        }
        await untilLoaded();
        await check.check();
        expect([check.alarm(), said]).toEqual([undefined, []]);
      });

      it('tells of an event that is gone from the store, once, and takes it back when it is there again', async () => {
        await run('ALTER TABLE hedgerow.events DELETE WHERE project_id = 2 SETTINGS mutations_sync = 1');
        await check.check();
        await check.check();
        expect(check.imbalanceEvents).toBe(1);
        expect(check.alarm()).toMatch(/1 events in 1 minutes, the first at .* in project 2/);
        expect(said).toHaveLength(1);
        expect(said[0]).toMatchObject({
          projectId: 2,
          minute: new Date(firstMs).toISOString(),
          received: 1,
          stored: 1,
          rows: 0,
          difference: 1,
        });
        expect([...check.findingsOf(asProjectId(2))]).toHaveLength(1);
        expect([...check.findingsOf(one)]).toEqual([]);
        await run('ALTER TABLE hedgerow_internal.ledger DELETE WHERE project_id = 2 SETTINGS mutations_sync = 1');
        await check.check();
        expect([check.alarm(), check.imbalanceEvents]).toEqual([undefined, 0]);
      });

      it('tells of counts that are gone', async () => {
        await run('ALTER TABLE hedgerow_internal.ledger DELETE WHERE project_id = 1 SETTINGS mutations_sync = 1');
        await check.check();
        expect(check.imbalanceEvents).toBe(3);
        expect(said).toHaveLength(2);
      });

      it('tells of events that came to the store past the ledger', async () => {
        await run(`INSERT INTO hedgerow.events (uuid, received_at, project_id, stream, sequence)
          SELECT generateUUIDv4(), now64(6), 3, 'one', 2 SETTINGS insert_allow_materialized_columns = 1`);
        await check.check();
        expect(said).toMatchObject([{ projectId: 3, stored: 0, rows: 1 }]);
      });

      it('tells of an event that was decoded and is in no record', async () => {
        log.append(recordOf({ receivedAtMs: firstMs, counts: { received: 2, dropped: 0 } }));
        await check.check();
        expect(said).toMatchObject([{ projectId: 1, difference: 1 }]);
      });
    });
  });
}

const childPath = compiledChild();
ledgerContract('chdb', (dir) => openChdbStore({ dir, childPath }));

describe('a ledger whose engine is killed again and again', () => {
  const dir = mkdtempSync(join(tmpdir(), 'hedgerow-ledger-kill-'));
  let store: Store;
  beforeAll(async () => {
    store = await openChdbStore({ dir, childPath });
  });
  afterAll(async () => {
    await store.close();
    rmSync(dir, { recursive: true, force: true });
  });

  it('counts each event once', async () => {
    const log = new MemoryLog();
    const total = 40_000;
    for (let i = 0; i < total; i += 500) log.append(...requestOf(Array.from({ length: 500 }, () => ({}))));
    const running = startLoader({ reader: log, store, clock: systemClock, stats: noStats });
    for (let kill = 0; kill < 4; kill++) {
      await sleep(100 + kill * 60);
      const pids = execFileSync('pgrep', ['-P', String(process.pid), '-f', dir], { encoding: 'utf8' });
      for (const pid of pids.trim().split('\n')) process.kill(Number(pid), 'SIGKILL');
      await until(() => store.isReady(), { deadlineMs: 20_000, what: 'the engine is back' });
    }
    await until(() => log.commits.at(-1) === total, { deadlineMs: 60_000, what: 'all is loaded' });
    await running.stop();
    const limits = { timeoutMs: 10_000, maxRows: 1 };
    const sql = 'SELECT sum(received), sum(accepted), sum(stored), sum(duplicate) FROM hedgerow_internal.ledger';
    expect(await store.query({ sql, parameters: {}, limits, signal: undefined })).toMatchObject({
      rowsJson: `[[${total}, ${total}, ${total}, 0]]`,
    });
  });
});

describe('a data folder of schema version 1', () => {
  it('is migrated when it is opened, and its ledger begins with what is loaded from then on', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'hedgerow-schema-1-'));
    const compiled = dirname(dirname(childPath));
    const script = `
      const { Session } = await import('chdb');
      const { migrations, prepareStatements, recordSql } = await import(${JSON.stringify(join(compiled, 'migrations.js'))});
      const session = new Session(${JSON.stringify(join(dir, 'engine'))});
      const [first] = migrations;
      for (const sql of [...prepareStatements, ...first.statements, recordSql(first)]) await session.queryAsync(sql);
      await session.queryAsync("INSERT INTO hedgerow.events (uuid, received_at, project_id, stream, sequence, request_id) " +
        "SELECT generateUUIDv4(), now64(6), 1, 'one', number, '0190a000-0000-7000-8000-00000000aaaa' FROM numbers(5) " +
        "SETTINGS insert_allow_materialized_columns = 1");
      session.close();`;
    execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: process.cwd() });
    const store = await openChdbStore({ dir, childPath });
    const ask = (sql: string): ReturnType<Store['query']> =>
      store.query({ sql, parameters: {}, limits: { timeoutMs: 10_000, maxRows: 10 }, signal: undefined });
    try {
      expect(await ask('SELECT max(version) FROM hedgerow_internal.schema_version')).toMatchObject({
        rowsJson: `[[${schemaVersion}]]`,
      });
      expect(await ask('SELECT count() FROM hedgerow.events')).toMatchObject({ rowsJson: '[[5]]' });
      const log = new MemoryLog();
      log.append(...Array.from({ length: 5 }, () => recordOf({ version: 1 })));
      await log.commit({ stream: log.stream, sequence: 5 });
      log.append(...requestOf([{}, {}]));
      const loader = startLoader({ reader: log, store, clock: systemClock, stats: noStats });
      await until(() => log.commits.at(-1) === 7, { deadlineMs: 20_000, what: 'all is loaded' });
      await loader.stop();
      const errors: unknown[] = [];
      const nothing = (): void => undefined;
      const lines: LogLines = { debug: nothing, info: nothing, warn: nothing, error: (fields) => errors.push(fields) };
      const check = new LedgerCheck({
        book: new LedgerBook(new PendingTally(log)),
        store,
        clock: systemClock,
        log: lines,
      });
      await check.check();
      expect([check.alarm(), errors]).toEqual([undefined, []]);
      expect(await ask('SELECT sum(received), sum(stored) FROM hedgerow_internal.ledger')).toMatchObject({
        rowsJson: '[[2, 2]]',
      });
    } finally {
      await store.close();
      rmSync(dir, { recursive: true, force: true });
    }
  });
});
