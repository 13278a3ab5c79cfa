/**
 * After a power cut a reader may see less of a stream than an earlier run had loaded of it, until its writer has recovered
 * it. Both cases were found by the simulation of the pipeline.
 */
import { describe, expect, it } from 'vitest';
import { startLoader } from '../../src/loader/loader.ts';
import { noStats } from '../../src/loader/loader-stats.ts';
import type { LogOffset, ReadRecords, StreamId } from '../../src/log/log.ts';
import type { Block } from '../../src/store/store.ts';
import { MemoryLog, recordOf } from '../contract/record-fixtures.ts';
import { SeededRandom } from '../harness/random.ts';
import { VirtualTime, type SimulatedProcess } from '../harness/virtual-time.ts';
import { calmStore, MemoryDatabase, MemoryStore } from './memory-database.ts';
import { PassingReader } from './pipeline-taps.ts';

const all = 4;

/** The reader of a run, which sees two of four records for a while. */
class LaggingReader extends PassingReader {
  readonly #time: VirtualTime;
  readonly #recoveredAtMs: number;
  readonly #hasFailingCommit: boolean;
  committedTo = 0;

  constructor(log: MemoryLog, time: VirtualTime, said: { readonly lagMs: number; readonly hasFailingCommit: boolean }) {
    super(log);
    this.#time = time;
    this.#recoveredAtMs = time.clock.monotonicMs() + said.lagMs;
    this.#hasFailingCommit = said.hasFailingCommit;
  }

  get #end(): number {
    return this.#time.clock.monotonicMs() < this.#recoveredAtMs ? 2 : all;
  }

  override durableEnd(stream: StreamId): Promise<LogOffset> {
    return Promise.resolve({ stream, sequence: this.#end });
  }

  override async read(from: LogOffset, maxBytes: number): Promise<ReadRecords | undefined> {
    if (from.sequence >= this.#end) return undefined;
    return this.log.read(from, this.#end === all ? maxBytes : 1); // a batch at a time
  }

  override waitForMore(): Promise<void> {
    return this.#time.sleep(50);
  }

  override commit(upTo: LogOffset): Promise<void> {
    if (this.#hasFailingCommit) return Promise.reject(new Error('the machine ends'));
    this.committedTo = upTo.sequence;
    return this.log.commit(upTo);
  }
}

class FailingAtLedger extends MemoryStore {
  override insert(block: Block): Promise<void> {
    if (block.kind === 'ledger') return Promise.reject(new Error('the machine ends'));
    return super.insert(block);
  }
}

function storeOf(
  kind: typeof MemoryStore,
  database: MemoryDatabase,
  time: VirtualTime,
  owner: SimulatedProcess,
): MemoryStore {
  return new kind(database, { time, owner, faults: calmStore });
}

async function twoRuns(firstStore: typeof MemoryStore): Promise<MemoryDatabase> {
  const random = new SeededRandom(1);
  const time = new VirtualTime(random);
  const database = new MemoryDatabase(random);
  const log = new MemoryLog();
  const counts = { received: 2, dropped: 0 };
  log.append(recordOf({ counts }), recordOf({}));
  log.append(recordOf({ counts }), recordOf({ kind: 'rejection' }));
  const process = time.spawn('process');
  const run = { clock: time.clock, timers: process.timers, stats: noStats };
  await time.run(
    (async () => {
      const before = new LaggingReader(log, time, { lagMs: 0, hasFailingCommit: true });
      const first = startLoader({ ...run, reader: before, store: storeOf(firstStore, database, time, process) });
      await expect(first.done).rejects.toThrow('the machine ends');
      const reader = new LaggingReader(log, time, { lagMs: 2_000, hasFailingCommit: false });
      const second = startLoader({ ...run, reader, store: storeOf(MemoryStore, database, time, process) });
      while (reader.committedTo < all) await time.sleep(100);
      await second.stop();
    })(),
  );
  return database;
}

function ledgerOf(database: MemoryDatabase): { received: number; epochs: number[] } {
  let received = 0;
  const epochs = new Set<number>();
  for (const row of database.rows('ledger')) {
    received += Number(row['received']);
    if (row['project_id'] === 0) epochs.add(Number(row['epoch']));
  }
  return { received, epochs: [...epochs] };
}

describe('a loader that sees less of a stream than an earlier run did', () => {
  it('stores a rejection once that the earlier run had stored and not counted', async () => {
    const database = await twoRuns(FailingAtLedger);
    expect([...database.rows('rejections')]).toHaveLength(1);
    expect([...database.rows('events')]).toHaveLength(3);
    expect(ledgerOf(database)).toEqual({ received: 4, epochs: [1] });
  });

  it('counts nothing twice that the earlier run had counted and not committed', async () => {
    const database = await twoRuns(MemoryStore);
    expect([...database.rows('rejections')]).toHaveLength(1);
    expect(ledgerOf(database)).toEqual({ received: 4, epochs: [1] });
  });
});
