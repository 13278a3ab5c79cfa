/** Whether the store has what the log let go of, asked of the store itself while no server runs. */
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { openChdbStore } from '../../store/chdb/chdb-store.ts';
import { StoreFromNewerVersion, StoreInUse, type Store } from '../../store/store.ts';
import { ok, type Finding } from './finding.ts';
import { judgeAgreement, pastGaps, type LogPlace, type SequenceGap } from './judge.ts';

const QUERY_TIMEOUT_MS = 60_000;
const LOCK_WAIT_MS = 2_000;
const MAX_STREAMS = 10_000;

// A stream's records lie in three tables: events, rejections, and copies of events that were there already.
const NEWEST_SQL = `SELECT stream, max(sequence) FROM (
    SELECT toString(stream) AS stream, sequence FROM hedgerow.events
    UNION ALL SELECT toString(stream), sequence FROM hedgerow.rejections
    UNION ALL SELECT toString(stream), sequence FROM hedgerow_internal.duplicates
  ) GROUP BY stream`;

export async function examineStore(dataDir: string, streams: readonly LogPlace[]): Promise<Finding> {
  const dir = join(dataDir, 'store');
  if (!existsSync(dir)) return ok('store', 'there is none yet; the first start makes it');
  let store: Store;
  try {
    store = await openChdbStore({ dir, readers: 1, lockWaitMs: LOCK_WAIT_MS });
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return { check: 'store', status: 'fail', text, todo: openTodo(error) };
  }
  try {
    const newest = await newestOf(store);
    const agreements = streams.map(async ({ stream, committed, endSequence }) => ({
      stream,
      committed,
      end: endSequence,
      stored: pastGaps(newest.get(stream) ?? 0, await gapsOf(dataDir, stream)),
    }));
    return judgeAgreement(await Promise.all(agreements));
  } finally {
    await store.close();
  }
}

function openTodo(error: unknown): string {
  if (error instanceof StoreInUse) return 'Stop the process that uses it.';
  if (error instanceof StoreFromNewerVersion) return 'Start the release that wrote it, or a later one.';
  return 'Keep a copy of the folder, then restore a backup.';
}

/** First sequence number behind the newest record, by stream. */
async function newestOf(store: Store): Promise<ReadonlyMap<string, number>> {
  const answer = await store.query({
    sql: NEWEST_SQL,
    parameters: {},
    limits: { timeoutMs: QUERY_TIMEOUT_MS, maxRows: MAX_STREAMS },
    signal: undefined,
  });
  if (answer.kind === 'fault') throw new Error(`the store could not be asked: ${answer.message}`);
  const rows = z.array(z.tuple([z.string(), z.coerce.number()])).parse(JSON.parse(answer.rowsJson));
  return new Map(rows.map(([stream, sequence]) => [stream, sequence + 1]));
}

const gap = z.object({ firstSequence: z.number(), endSequence: z.number() });

/** What repairs set aside: records that the store will never get. */
async function gapsOf(dataDir: string, stream: string): Promise<readonly SequenceGap[]> {
  const path = join(dataDir, 'damaged', stream, 'set-aside.ndjson');
  if (!existsSync(path)) return [];
  return (await readFile(path, 'utf8')).split('\n').flatMap((line) => {
    try {
      return [gap.parse(JSON.parse(line))];
    } catch {
      return []; // the end of a repair that was ended
    }
  });
}
