import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/event/clock.ts';
import { asProjectId } from '../../src/event/ids.ts';
import { parseUuid } from '../../src/event/uuid.ts';
import { recordFlags } from '../../src/record/layout.ts';
import { openChdbStore } from '../../src/store/chdb/chdb-store.ts';
import { BlockRefused, StoreUnavailable, type Block, type Store } from '../../src/store/store.ts';
import { compiledChild } from './compiled-child.ts';
import { MemoryLog, nextUuid, recordOf } from './record-fixtures.ts';
import type { LoadedBlock, LoaderStats } from '../../src/loader/loader-stats.ts';
import { startLoader, type Loader } from '../../src/loader/loader.ts';
import { findPending } from '../../src/loader/pending-lookup.ts';

class Counts implements LoaderStats {
  stored = 0;
  duplicates = 0;
  replayed = 0;
  rejections = 0;
  repaired = 0;
  rawOnly = 0;
  retries: string[] = [];
  loaded(block: LoadedBlock): void {
    this.stored += block.stored;
    this.duplicates += block.duplicates;
    this.replayed += block.replayed;
    this.rejections += block.rejections;
    this.repaired += block.repaired;
    this.rawOnly += block.rawOnly;
  }
  retrying(reason: string): void {
    this.retries.push(reason);
  }
}

async function until(what: () => Promise<boolean> | boolean, deadlineMs = 15_000): Promise<void> {
  const endMs = performance.now() + deadlineMs;
  while (!(await what())) {
    if (performance.now() > endMs) throw new Error(`not within ${deadlineMs} ms: ${what.toString()}`);
    await sleep(20);
  }
}

describe('loader', () => {
  const dir = mkdtempSync(join(tmpdir(), 'hedgerow-loader-'));
  let childPath = '';
  let store: Store;
  let loader: Loader | undefined;

  beforeAll(async () => {
    childPath = compiledChild();
    store = await openChdbStore({ dir, childPath });
  }, 30_000);
  afterEach(async () => {
    await loader?.stop();
    loader = undefined;
  });
  afterAll(async () => {
    await store.close();
    rmSync(dir, { recursive: true, force: true });
  });

  async function numbers(projectId: number, what: string, table = 'events'): Promise<unknown> {
    const answer = await store.queryProject(asProjectId(projectId), {
      sql: `select ${what} from ${table}`,
      parameters: {},
      limits: { timeoutMs: 10_000, maxRows: 100 },
      signal: undefined,
    });
    if (answer.kind === 'fault') return answer.message;
    const rows: unknown = JSON.parse(answer.rowsJson);
    return Array.isArray(rows) ? rows[0] : undefined;
  }

  function start(log: MemoryLog, counts: Counts, to: Store = store): Loader {
    loader = startLoader({ reader: log, store: to, clock: systemClock, stats: counts });
    return loader;
  }

  it('stores each uuid once, counts the others as duplicates, keeps rejections, then commits', async () => {
    const log = new MemoryLog();
    const counts = new Counts();
    const uuid = nextUuid();
    log.append(
      recordOf({ projectId: 21, uuid, first: 'first' }),
      recordOf({ projectId: 21, uuid, first: 'second' }),
      recordOf({ projectId: 22, uuid }),
      recordOf({ kind: 'rejection', projectId: 21, first: 'invalid_uuid', second: 'why', last: '{"event":"x"}' }),
    );
    start(log, counts);
    await until(() => log.commits.at(-1) === 4);
    log.append(recordOf({ projectId: 21, uuid, first: 'third' }));
    await until(() => log.commits.at(-1) === 5);
    expect(await numbers(21, 'count(), any(event)')).toEqual([1, 'first']);
    expect(await numbers(22, 'count()')).toEqual([1]);
    expect(await numbers(21, 'count(), any(event)', 'rejections')).toEqual([1, 'x']);
    expect(counts).toMatchObject({ stored: 2, duplicates: 2, replayed: 0, rejections: 1 });
    const answer = await store.query({
      sql: 'SELECT uuid, sequence FROM hedgerow_internal.duplicates FINAL WHERE project_id = 21 ORDER BY sequence',
      parameters: {},
      limits: { timeoutMs: 10_000, maxRows: 10 },
      signal: undefined,
    });
    expect(answer).toMatchObject({ rowCount: 2, rowsJson: `[["${uuid}", 1],["${uuid}", 4]]` });
  });

  it('skips what an earlier run had stored when its commit was lost, though the block is another one', async () => {
    const log = new MemoryLog();
    const counts = new Counts();
    const rejection = { kind: 'rejection', projectId: 23, first: 'invalid_uuid', second: 'why' } as const;
    log.append(recordOf({ projectId: 23 }), recordOf(rejection));
    start(log, counts);
    await until(() => log.commits.length === 1);
    await loader?.stop();
    log.forgetCommits();
    log.append(recordOf({ projectId: 23 }), recordOf(rejection));
    const again = new Counts();
    start(log, again);
    await until(() => log.commits.at(-1) === 4);
    expect(await numbers(23, 'count(), uniqExact(uuid)')).toEqual([2, 2]);
    expect(await numbers(23, 'count()', 'rejections')).toEqual([2]);
    expect(again).toMatchObject({ stored: 1, duplicates: 0, replayed: 1, rejections: 1 });
  });

  it('loads what the engine’s JSON refuses: repaired where it can be, else as raw text', async () => {
    const log = new MemoryLog();
    const counts = new Counts();
    log.append(
      recordOf({ projectId: 24, last: '{"a":18446744073709551616}', flags: recordFlags.hasLongInteger }),
      recordOf({ projectId: 24, last: '{"a":"x\\ud800"}' }),
      recordOf({ projectId: 24, last: '{"a":"x\\ud83d\\ude00"}' }),
      recordOf({ projectId: 24, last: '{"a":1e400}' }),
      recordOf({ projectId: 24, last: '{"a":1,"a":2}' }),
    );
    start(log, counts);
    await until(() => log.commits.length === 1);
    const inOrder = (what: string): string => `arrayMap(x -> x.2, arraySort(groupArray((sequence, ${what}))))`;
    const what = `${inOrder('toString(properties_state)')}, ${inOrder('toString(properties.a)')}`;
    expect(await numbers(24, what)).toEqual([
      ['repaired', 'repaired', 'exact', 'raw_only', 'exact'],
      ['18446744073709552000', 'x\ufffd', 'x😀', '', '1'],
    ]);
    expect(counts).toMatchObject({ stored: 5, repaired: 2 });
  });

  it('halves a block that the engine refuses, until the row at fault is alone and goes in as raw text', async () => {
    const log = new MemoryLog();
    const counts = new Counts();
    let alone = 0;
    const records = Array.from({ length: 33 }, (_, i) =>
      recordOf({ projectId: 25, first: i === 17 ? 'poison' : 'fine' }),
    );
    log.append(...records);
    const refusing: Store = Object.assign(Object.create(store) as Store, {
      findUuids: store.findUuids.bind(store),
      findReach: store.findReach.bind(store),
      isReady: () => true,
      insert: (block: Block): Promise<void> => {
        const isPoisoned = Buffer.from(block.rows).includes('poison');
        if (isPoisoned && block.count === 1) alone += 1;
        if (isPoisoned && alone < 2) return Promise.reject(new BlockRefused('no'));
        return store.insert(block);
      },
    });
    start(log, counts, refusing);
    await until(() => log.commits.length === 1);
    expect(await numbers(25, "count(), uniqExact(uuid), countIf(properties_state = 'raw_only')")).toEqual([33, 33, 1]);
    expect(counts).toMatchObject({ stored: 33, rawOnly: 1 });
  });

  it('tries again while the store is away, and stores nothing twice when an insert went in without an answer', async () => {
    const log = new MemoryLog();
    const counts = new Counts();
    let calls = 0;
    const flaky: Store = Object.assign(Object.create(store) as Store, {
      findUuids: store.findUuids.bind(store),
      findReach: store.findReach.bind(store),
      findRejections: store.findRejections.bind(store),
      isReady: () => false,
      insert: async (block: Block): Promise<void> => {
        calls += 1;
        if (calls === 1) throw new StoreUnavailable('away');
        if (calls === 2) {
          await store.insert(block);
          throw new StoreUnavailable('gone before it could answer');
        }
        return store.insert(block);
      },
    });
    log.append(
      recordOf({ projectId: 26 }),
      recordOf({ kind: 'rejection', projectId: 26 }),
      recordOf({ projectId: 26 }),
    );
    start(log, counts, flaky);
    await until(() => log.commits.length === 1);
    expect(await numbers(26, 'count()')).toEqual([2]);
    expect(await numbers(26, 'count()', 'rejections')).toEqual([1]);
    expect(counts).toMatchObject({ stored: 2, replayed: 0, rejections: 1 });
    expect(counts.retries).toHaveLength(2);
  });

  it('isolates a row that brings the engine down, and keeps it as raw text', async () => {
    const log = new MemoryLog();
    const counts = new Counts();
    log.append(
      ...Array.from({ length: 20 }, (_, i) => recordOf({ projectId: 27, first: i === 13 ? 'deadly' : 'fine' })),
    );
    const crashing: Store = Object.assign(Object.create(store) as Store, {
      findUuids: store.findUuids.bind(store),
      findReach: store.findReach.bind(store),
      findRejections: store.findRejections.bind(store),
      isReady: () => true,
      insert: (block: Block): Promise<void> => {
        const rows = Buffer.from(block.rows);
        // The mode byte of the last row: behind it lie stream, sequence, index and two flags.
        const isRawOnly = rows[rows.length - 1 - 2 - 4 - 8 - 4] === 1;
        const isDeadly = rows.includes('deadly') && !(block.count === 1 && isRawOnly);
        return isDeadly ? Promise.reject(new StoreUnavailable('it died')) : store.insert(block);
      },
    });
    start(log, counts, crashing);
    await until(() => log.commits.length === 1, 25_000);
    expect(await numbers(27, "count(), uniqExact(uuid), countIf(properties_state = 'raw_only')")).toEqual([20, 20, 1]);
    expect(counts).toMatchObject({ stored: 20, replayed: 0, rawOnly: 1 });
  }, 30_000);

  it('stores each uuid once when the engine is killed again and again during inserts', async () => {
    const ownDir = mkdtempSync(join(tmpdir(), 'hedgerow-loader-kill-'));
    const own = await openChdbStore({ dir: ownDir, childPath });
    const log = new MemoryLog();
    const counts = new Counts();
    const total = 60_000;
    for (let i = 0; i < total; i += 1000) {
      log.append(...Array.from({ length: 1000 }, () => recordOf({ projectId: 1, last: '{"a":1,"b":"some text"}' })));
    }
    const running = startLoader({ reader: log, store: own, clock: systemClock, stats: counts });
    for (let kill = 0; kill < 4; kill++) {
      await sleep(150 + kill * 70);
      const pids = execFileSync('pgrep', ['-P', String(process.pid), '-f', ownDir], { encoding: 'utf8' });
      for (const pid of pids.trim().split('\n')) process.kill(Number(pid), 'SIGKILL');
      await until(() => own.isReady());
    }
    await until(() => log.commits.at(-1) === total, 60_000);
    await running.stop();
    const answer = await own.query({
      sql: 'select count(), uniqExact(uuid) from hedgerow.events',
      parameters: {},
      limits: { timeoutMs: 10_000, maxRows: 1 },
      signal: undefined,
    });
    expect(answer).toMatchObject({ rowsJson: `[[${total}, ${total}]]` });
    expect(counts.stored + counts.replayed).toBe(total);
    await own.close();
    rmSync(ownDir, { recursive: true, force: true });
  }, 120_000);

  it('ends with a clear error at a record of a newer version', async () => {
    const log = new MemoryLog();
    const record = recordOf({});
    record[5] = 9;
    log.append(record);
    await expect(start(log, new Counts()).done).rejects.toThrow(/newer/);
  });

  it('finds a pending event in the log, in its own project, events before rejections', async () => {
    const log = new MemoryLog();
    const uuid = nextUuid();
    log.append(
      recordOf({ projectId: 1, uuid, kind: 'rejection', flags: recordFlags.hasUuid, first: 'code', second: 'why' }),
      recordOf({ projectId: 2, uuid, first: 'näme', last: '{"a":1}' }),
    );
    const bytes = parseUuid(uuid) ?? new Uint8Array();
    const search = { uuid: bytes, maxBytes: 1 << 20 };
    expect(await findPending(log, { ...search, projectId: asProjectId(1) })).toMatchObject({
      kind: 'rejection',
      code: 'code',
    });
    expect(await findPending(log, { ...search, projectId: asProjectId(2) })).toMatchObject({
      kind: 'event',
      event: 'näme',
      propertiesJson: '{"a":1}',
    });
    expect(await findPending(log, { ...search, projectId: asProjectId(3) })).toBeUndefined();
  });
});
