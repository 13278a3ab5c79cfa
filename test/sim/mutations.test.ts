/** The simulation can fail: with each of these promises broken on purpose it says so within a few seeds. */
import { describe, expect, it } from 'vitest';
import type {
  AppendReceipt,
  AppendRefusal,
  LogOffset,
  LogWriter,
  ReadRecords,
  RecordBatch,
} from '../../src/log/log.ts';
import { simulate, type LogMutation } from '../harness/log-simulation.ts';
import { PromiseBroken } from '../harness/promise-broken.ts';
import { simulatePipeline } from './pipeline.ts';
import type { PipelineMutation } from './pipeline-machine.ts';
import { PassingReader } from './pipeline-taps.ts';
import { readingAhead } from './reading-ahead.ts';

const MAX_SEEDS = 150;

/** @returns what the first seed says that finds it */
async function found(run: (seed: number) => Promise<unknown>): Promise<string> {
  for (let seed = 1; seed <= MAX_SEEDS; seed++) {
    try {
      await run(seed);
    } catch (error) {
      if (!(error instanceof PromiseBroken)) throw error;
      return error.message;
    }
  }
  return `not within ${MAX_SEEDS} seeds`;
}

/** Commits what it has read before anybody has it. */
class CommitsFirst extends PassingReader {
  override async read(from: LogOffset, maxBytes: number): Promise<ReadRecords | undefined> {
    const read = await this.log.read(from, maxBytes);
    if (read !== undefined) await this.log.commit({ stream: from.stream, sequence: read.nextSequence });
    return read;
  }
}

/** Leaves out a batch when there are two. */
class Skips extends PassingReader {
  override async read(from: LogOffset, maxBytes: number): Promise<ReadRecords | undefined> {
    const read = await this.log.read(from, 1);
    if (read === undefined) return undefined;
    return (await this.log.read({ stream: from.stream, sequence: read.nextSequence }, maxBytes)) ?? read;
  }
}

/** Hands out receipts for whatever it was given. */
function acknowledgesAll(log: LogWriter): LogWriter {
  return {
    stream: log.stream,
    append: async (batch: RecordBatch): Promise<AppendReceipt | AppendRefusal> => {
      const outcome = await log.append(batch);
      if (outcome.kind === 'receipt') return outcome;
      return { kind: 'receipt', stream: log.stream, firstSequence: 0, count: batch.count };
    },
    readiness: () => log.readiness(),
    close: () => log.close(),
  };
}

/** Does not wait for the disk. */
function acknowledgesAtOnce(log: LogWriter): LogWriter {
  return {
    stream: log.stream,
    append: (batch: RecordBatch): Promise<AppendReceipt | AppendRefusal> => {
      void log.append(batch);
      return Promise.resolve({ kind: 'receipt', stream: log.stream, firstSequence: 0, count: batch.count });
    },
    readiness: () => log.readiness(),
    close: () => log.close(),
  };
}

describe('the simulation of the log finds', () => {
  const mutations: readonly (readonly [string, LogMutation, RegExp])[] = [
    ['a disk that ignores O_DSYNC', { behaviour: { ignoresSync: true } }, /record|segment/],
    ['a disk that ignores the sync of a folder', { behaviour: { ignoresFolderSync: true } }, /record|commit|segment/],
    ['a reader that goes past the watermark', { readerDisk: readingAhead }, /record/],
  ];
  it.each(mutations)('%s', async (_what, mutation, words) => {
    const said = await found((seed) => simulate(seed, mutation));
    expect(said).toMatch(/^seed \d+: /);
    expect(said).toMatch(words);
  });
});

describe('the simulation of the pipeline finds', () => {
  const mutations: readonly (readonly [string, PipelineMutation, RegExp])[] = [
    ['a disk that ignores O_DSYNC', { disk: { ignoresSync: true } }, /S1|S4|S6|segment/],
    ['a store that answers before it syncs', { store: { acknowledgesEarly: true } }, /S6/],
    ['a store that shows the loader what is not synced', { store: { findsUnsynced: true } }, /S6/],
    ['a store that forgets its tokens and its uuids', { store: { forgets: true } }, /S1: .* is stored twice/],
    ['a store that keeps half a block', { store: { tears: true } }, /S[1567]/],
    ['a loader that commits first', { reader: (log) => new CommitsFirst(log) }, /S6/],
    ['a loader that leaves records out', { reader: (log) => new Skips(log) }, /S[46]/],
    ['a capture that acknowledges what was refused', { writer: acknowledgesAll }, /S3/],
    ['a capture that acknowledges before the log does', { writer: acknowledgesAtOnce }, /S3/],
    ['a registry that opens the wrong project', { projectOf: () => 2 }, /S2: .* is in another/],
    ['a queue without a bound', { maxQueueBytes: 1 << 24 }, /S8/],
  ];
  it.each(mutations)('%s', async (_what, mutation, words) => {
    const said = await found((seed) => simulatePipeline(seed, mutation));
    expect(said).toMatch(/^seed \d+: /);
    expect(said).toMatch(words);
  });
});
