/** The bounds of the rejected events, on the engine itself and with a clock of the test's own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { asEpochMs } from '../../src/event/ids.ts';
import { RecordView } from '../../src/record/record-view.ts';
import { openChdbStore, type ChdbStore } from '../../src/store/chdb/chdb-store.ts';
import { RejectionRetention, ROW_BYTES } from '../../src/store/rejection-retention.ts';
import { RejectionRows } from '../../src/store/row-binary.ts';
import { compiledChild } from './compiled-child.ts';
import { recordOf } from './record-fixtures.ts';

const DAY_MS = 86_400_000;
const nowMs = Date.UTC(2026, 0, 31);
const RAW_BYTES = 900;
let childPath: string;
beforeAll(() => {
  childPath = compiledChild();
});

let dir: string;
let store: ChdbStore;
let tokens = 0;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'hedgerow-retention-'));
  store = await openChdbStore({ dir, childPath });
});
afterEach(async () => {
  await store.close();
  rmSync(dir, { recursive: true, force: true });
});

/** One rejection for each time, of `RAW_BYTES` each. */
async function insert(receivedAtMs: readonly number[], projectId = 1): Promise<void> {
  const rows = new RejectionRows();
  receivedAtMs.forEach((at, sequence) => {
    const last = JSON.stringify('x'.repeat(RAW_BYTES - 2));
    const view = new RecordView(recordOf({ kind: 'rejection', projectId, receivedAtMs: at, first: 'c', last }));
    view.next();
    rows.add(view, { stream: 'r', sequence });
  });
  tokens += 1;
  await store.insert({ kind: 'rejections', rows: rows.rows(), count: rows.count, deduplicationToken: `r:${tokens}` });
}

async function rowsOf(sql: string): Promise<unknown[][]> {
  const limits = { timeoutMs: 10_000, maxRows: 1000 };
  const answer = await store.query({ sql, parameters: {}, limits, signal: undefined });
  if (answer.kind === 'fault') throw new Error(answer.message);
  return JSON.parse(answer.rowsJson) as unknown[][];
}

/** How many days old what is left is, the oldest first. */
async function agesInDays(): Promise<number[]> {
  const rows = await rowsOf('SELECT toUnixTimestamp64Milli(received_at) FROM rejections ORDER BY received_at');
  return rows.map(([at]) => (nowMs - Number(at)) / DAY_MS);
}

function retentionOf(bounds: { readonly maxAgeDays?: number; readonly maxBytes?: number }): {
  readonly retention: RejectionRetention;
  readonly deleted: [string, number][];
} {
  const deleted: [string, number][] = [];
  const retention = new RejectionRetention({
    store,
    clock: { nowMs: () => asEpochMs(nowMs), monotonicMs: () => 0 },
    maxAgeDays: bounds.maxAgeDays ?? 1000,
    maxBytes: bounds.maxBytes ?? 1 << 30,
    onDeleted: (bound, events) => deleted.push([bound, events]),
    onFault: (error) => {
      throw error;
    },
  });
  return { retention, deleted };
}

const daysAgo = (...days: readonly number[]): number[] => days.map((each) => nowMs - each * DAY_MS);

describe('rejected events', () => {
  it('go when they are too old, in every project, and the notes of what was sent again with them', async () => {
    await insert(daysAgo(40, 31, 29, 0));
    await insert(daysAgo(30.5, 1), 2);
    const note = (at: string): string =>
      `INSERT INTO hedgerow_internal.retried SELECT 1, generateUUIDv4(), 0, '2025-12-01', generateUUIDv4(), '${at}'`;
    await rowsOf(note('2025-12-20'));
    await rowsOf(note('2026-01-01'));
    const { retention, deleted } = retentionOf({ maxAgeDays: 30 });
    expect(retention.kept()).toBeUndefined();
    await retention.step();
    expect(deleted).toEqual([['age', 3]]);
    expect(await agesInDays()).toEqual([29, 1, 0]);
    expect(retention.kept()).toEqual({ events: 3, bytes: 3 * (RAW_BYTES + ROW_BYTES) });
    expect(await rowsOf('SELECT toDate(retried_at) FROM hedgerow_internal.retried')).toEqual([['2026-01-01']]);
  });

  it('go when they are too many, the oldest first, down to nine tenths', async () => {
    await insert(daysAgo(...Array.from({ length: 30 }, (_, day) => day)));
    const { retention, deleted } = retentionOf({ maxBytes: 20 * (RAW_BYTES + ROW_BYTES) });
    await retention.step();
    expect(deleted).toEqual([['size', 12]]);
    expect(await agesInDays()).toEqual(Array.from({ length: 18 }, (_, i) => 17 - i));
    await retention.step();
    expect(deleted).toHaveLength(1);
  });

  it('stay while they are within the bounds, to the byte', async () => {
    await insert(daysAgo(2, 1));
    const { retention, deleted } = retentionOf({ maxBytes: 2 * (RAW_BYTES + ROW_BYTES), maxAgeDays: 2 });
    await retention.step();
    expect(deleted).toEqual([]);
  });

  it('of the newest request stay, however large it is', async () => {
    await insert(daysAgo(1, 0, 0, 0));
    const { retention, deleted } = retentionOf({ maxBytes: 1024 });
    await retention.step();
    expect(deleted).toEqual([['size', 1]]);
    expect(await agesInDays()).toEqual([0, 0, 0]);
    await retention.step();
    expect(deleted).toHaveLength(1);
  });

  it('give their room on the disk back once a quarter is deleted, and loading goes on', async () => {
    const onDisk = async (): Promise<unknown> =>
      (
        await rowsOf(
          "SELECT sum(rows), sum(has_lightweight_delete) FROM system.parts WHERE active AND table = 'rejections'",
        )
      )[0];
    await insert(daysAgo(...Array.from({ length: 200 }, (_, i) => i / 10)));
    const bytesOf = (events: number): number => events * (RAW_BYTES + ROW_BYTES);
    await retentionOf({ maxBytes: bytesOf(199) }).retention.step(); // a tenth goes: only marked
    expect(await onDisk()).toEqual([200, 1]);
    await retentionOf({ maxBytes: bytesOf(100) }).retention.step();
    expect(await onDisk()).toEqual([90, 0]);
    await insert(daysAgo(0));
    expect(await agesInDays()).toHaveLength(91);
  });

  it('cannot be looked through while the store is away, which is said', async () => {
    await insert(daysAgo(40));
    const failing = new RejectionRetention({
      store: { query: () => Promise.resolve({ kind: 'fault', reason: 'unavailable', message: 'away' }) },
      clock: { nowMs: () => asEpochMs(nowMs), monotonicMs: () => 0 },
      maxAgeDays: 30,
      maxBytes: 1024,
      onDeleted: () => undefined,
      onFault: () => undefined,
    });
    await expect(failing.step()).rejects.toThrow('away');
    expect(failing.kept()).toBeUndefined();
  });
});
