/**
 * The loader: log to store, each record exactly once.
 *
 * Guarantees
 *   L1  A stream's offset moves only after the store has synced everything before it.
 *   L2  Each uuid of a project is stored once, the first copy, whatever crashes in between: before each attempt the store
 *       is asked which uuids it holds and from which record (block.ts); the block's token is a second net.
 *   L3  Nothing that was acknowledged stops it. A block that the engine refuses is halved until the rows at fault are
 *       alone; they go in with their raw text and empty properties. Rows that bring the engine down end the same way.
 * Order    read -> look up -> insert events (those taken apart, then those as text), rejections, duplicates -> commit.
 *          One block at a time.
 * Bounds   One read of the log (16 MiB, or one request) and one block of rows, let go of after a burst.
 * Failure  Store away: the block is tried again, at growing intervals, for ever. A record of a newer version, or a
 *          damaged log: `done` rejects. Everything else that is not the store's is our own bug, and does too.
 * Freshness  What waits is loaded at once, but a small block no sooner than MIN_INTERVAL_MS after the one before: each
 *          insert makes a part, and parts cost merging.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { Clock } from '../event/clock.ts';
import type { ProjectId } from '../event/ids.ts';
import type { LogOffset, LogReader, ReadRecords, StreamId } from '../log/log.ts';
import { RecordView } from '../record/record-view.ts';
import { BlockRefused, StoreUnavailable, type Store } from '../store/store.ts';
import {
  BlockBuffers,
  blocksOf,
  collectKeys,
  fates,
  markDone,
  markStored,
  markText,
  MAX_BLOCK_BYTES,
  writeRows,
  type BlockRange,
  type Part,
} from './block.ts';
import { freeMemory } from './free-memory.ts';
import type { LoadedBlock, LoaderLag, LoaderStats, ProjectCounts } from './loader-stats.ts';

const MIN_INTERVAL_MS = 250;
/** A read at least this large is loaded without waiting for more. */
const FULL_READ_BYTES = 2 << 20;
const IDLE_WAIT_MS = 1000;
const KEEP_AFTER_BURST_MS = 2000;
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 5000;
/** While the store is there and fails at inserts alone. */
const MAX_RETRY_THERE_MS = 1000;
/** Failures in a row before the next insert is made smaller: it may be too large for the store's memory. */
const FAILURES_BEFORE_SMALLER = 3;
const STEP_FACTOR = 16;

export interface LoaderOptions {
  readonly reader: LogReader;
  readonly store: Store;
  readonly clock: Clock;
  readonly stats: LoaderStats;
}

export interface Loader {
  /** Resolves after `stop`; rejects when it cannot go on: UnreadableRecord, LogDamaged, or our own bug. */
  readonly done: Promise<void>;
  /** Finishes the block in hand. Idempotent; rejects never. */
  stop(): Promise<void>;
  /** How far it is behind, now. Rejects when the log is closed. */
  lag(): Promise<LoaderLag>;
}

export function startLoader(options: LoaderOptions): Loader {
  const stopping = new AbortController();
  const loop = new LoadLoop(options, stopping.signal);
  const done = loop.run();
  const settled = done.then(
    () => undefined,
    () => undefined,
  );
  return {
    done,
    stop: () => {
      stopping.abort();
      return settled;
    },
    lag: () => loop.lag(),
  };
}

interface BlockTally {
  repaired: number;
  rawOnly: number;
}

class LoadLoop {
  readonly #options: LoaderOptions;
  readonly #signal: AbortSignal;
  #buffers = new BlockBuffers();
  /** When the last large block went through them, after which they hold tens of MiB. */
  #lastBurstMs: number | undefined;
  readonly #next = new Map<StreamId, number>();
  /** Nothing that waits behind `#next` was received before this; wall clock, ms. */
  readonly #waitingSinceMs = new Map<StreamId, number>();
  /** Streams whose next block may be in the store already, in part: the first after a start. */
  readonly #settledStreams = new Set<StreamId>();
  #lastStartMs = Number.NEGATIVE_INFINITY;

  constructor(options: LoaderOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
  }

  async run(): Promise<void> {
    const { reader } = this.#options;
    while (!this.#signal.aborted) {
      let loadedBytes = 0;
      for (const stream of await reader.streams()) {
        if (this.#signal.aborted) return;
        loadedBytes += await this.#loadStream(stream);
      }
      if (loadedBytes === 0) await reader.waitForMore(IDLE_WAIT_MS, this.#signal);
      if (loadedBytes < FULL_READ_BYTES) this.#forgetBurst();
      if (loadedBytes < FULL_READ_BYTES) await this.#pause(this.#lastStartMs + MIN_INTERVAL_MS - this.#now());
    }
  }

  #forgetBurst(): void {
    if (this.#lastBurstMs === undefined || this.#now() - this.#lastBurstMs < KEEP_AFTER_BURST_MS) return;
    this.#lastBurstMs = undefined;
    this.#buffers = new BlockBuffers();
    freeMemory();
  }

  /** @returns the bytes that it loaded */
  async #loadStream(stream: StreamId): Promise<number> {
    const { reader, clock } = this.#options;
    const readAtMs = clock.nowMs();
    const first = this.#next.get(stream) ?? (await reader.committed(stream)).sequence;
    this.#next.set(stream, first);
    const read = await reader.read({ stream, sequence: first }, MAX_BLOCK_BYTES);
    if (read === undefined) {
      this.#waitingSinceMs.set(stream, readAtMs);
      return 0;
    }
    this.#waitingSinceMs.set(stream, firstReceivedAtMs(read.bytes));
    this.#lastStartMs = this.#now();
    if (read.bytes.length >= FULL_READ_BYTES) this.#lastBurstMs = this.#now();
    // A stop in the midst of a read leaves the offset where it was: what went in is recognised next time.
    if (!(await this.#loadRead(read))) return 0;
    const upTo: LogOffset = { stream, sequence: read.nextSequence };
    await reader.commit(upTo);
    this.#next.set(stream, read.nextSequence);
    // A large read may have left out what was there already: what follows came no earlier than its last record.
    this.#waitingSinceMs.set(stream, read.bytes.length < FULL_READ_BYTES ? readAtMs : lastReceivedAtMs(read.bytes));
    this.#settledStreams.add(stream);
    return read.bytes.length;
  }

  /** @returns whether all of it is in the store */
  async #loadRead(read: ReadRecords): Promise<boolean> {
    let isFirst = true;
    for (const range of blocksOf(read.bytes, read.firstSequence)) {
      if (this.#signal.aborted && !isFirst) return false;
      if (!isFirst) await new Promise((resolve) => setImmediate(resolve)); // capture shares this thread
      isFirst = false;
      if (!(await this.#loadBlock(read.stream, range))) return false;
    }
    return true;
  }

  /** @returns false when it was stopped while the store was away */
  async #loadBlock(stream: StreamId, range: BlockRange): Promise<boolean> {
    const { stats } = this.#options;
    const startMs = this.#now();
    const fate = new Uint8Array(range.count);
    /** As the store was before our first attempt: what an attempt of ours put in is no replay. */
    let firstFate: Uint8Array | undefined;
    const tally: BlockTally = { repaired: 0, rawOnly: 0 };
    const steps = new StepSize(range.count);
    let retryMs = FIRST_RETRY_MS;
    let mayBeIn = !this.#settledStreams.has(stream);
    /** Records before it are in the store. */
    let at = 0;
    for (let attempt = 1; ; attempt++) {
      let hasBegun = false;
      try {
        await this.#decideFates(stream, range, fate, mayBeIn);
        firstFate ??= fate.slice();
        hasBegun = true;
        while (at < range.count) {
          const part: Part = { first: at, end: Math.min(at + steps.records, range.count) };
          const todo = { stream, range, fate, tally };
          if (steps.isRawOnly) await this.#insertAlone(todo, part);
          else await this.#insertPart(todo, part);
          at = part.end;
          steps.succeeded();
          retryMs = FIRST_RETRY_MS;
        }
        stats.loaded(loadedBlock({ stream, range, fate: firstFate, tally }, { durationMs: this.#now() - startMs }));
        return true;
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        mayBeIn = true;
        // A lookup that fails says that the store is away; an insert that fails may do so because of its rows.
        if (hasBegun) steps.failed();
        stats.retrying(error.message, attempt);
        if (this.#signal.aborted) return false;
        await this.#pause(retryMs);
        retryMs = Math.min(retryMs * 2, hasBegun ? MAX_RETRY_THERE_MS : MAX_RETRY_MS);
      }
    }
  }

  async #decideFates(stream: StreamId, range: BlockRange, fate: Uint8Array, mayBeIn: boolean): Promise<void> {
    const { store } = this.#options;
    const { keys } = this.#buffers;
    collectKeys(range, fate, keys);
    const uuids = await store.findUuids({ rows: keys.rows(), count: keys.count });
    const next = range.firstSequence + range.count;
    const rejections =
      mayBeIn && fate.includes(fates.rejection)
        ? await store.findRejections({ stream, first: range.firstSequence, next })
        : [];
    markStored(range, fate, stream, { uuids, rejections });
  }

  /** Inserts the rows of `part`; halves it when the engine refuses it. */
  async #insertPart(todo: Todo, part: Part): Promise<void> {
    try {
      await this.#insertRows(todo, part, false);
    } catch (error) {
      if (!(error instanceof BlockRefused)) throw error;
      if (part.end - part.first === 1) {
        await this.#insertAlone(todo, part);
        return;
      }
      const middle = (part.first + part.end) >>> 1;
      await this.#insertPart(todo, { first: part.first, end: middle });
      await this.#insertPart(todo, { first: middle, end: part.end });
    }
  }

  /** One record that the engine refused as it is. */
  async #insertAlone(todo: Todo, part: Part): Promise<void> {
    try {
      await this.#insertRows(todo, part, true);
      todo.tally.rawOnly += 1;
    } catch (error) {
      if (!(error instanceof BlockRefused)) throw error;
      // Its texts alone are refused: no row is like that, so it is the store that is unwell.
      throw new StoreUnavailable(error.message, { cause: error });
    }
  }

  async #insertRows(todo: Todo, part: Part, rawOnly: boolean): Promise<void> {
    const { store } = this.#options;
    const { stream, range, fate, tally } = todo;
    const { eventColumns, events, rejections, duplicates } = this.#buffers;
    const repaired = await writeRows(range, fate, this.#buffers, { stream, part, rawOnly });
    const place = `${stream}:${range.firstSequence + part.first}-${range.firstSequence + part.end}`;
    for (const [kind, block] of [
      ['event_columns', eventColumns],
      ['events', events],
      ['rejections', rejections],
      ['duplicates', duplicates],
    ] as const) {
      const { count } = block;
      if (count === 0) continue;
      const rows = block.rows();
      // With a sum of the rows: a log that was set up anew may use the same places for other records.
      const deduplicationToken = `${place}:${kind.replace('_', '-')}:${crc32(block.identity())}`;
      try {
        await store.insert({ kind, rows, count, deduplicationToken });
      } catch (error) {
        if (!(error instanceof BlockRefused) || kind !== 'event_columns') throw error;
        markText(fate, part);
        return this.#insertRows(todo, part, rawOnly);
      }
      // At once: should the next table refuse its rows, the halves must not bring these again.
      markDone(fate, part, kind);
      if (kind === 'events') tally.repaired += repaired;
    }
  }

  async lag(): Promise<LoaderLag> {
    const { reader, clock } = this.#options;
    let records = 0;
    let oldestMs = 0;
    for (const stream of this.#next.keys()) {
      const end = (await reader.durableEnd(stream)).sequence;
      const waiting = end - (this.#next.get(stream) ?? end);
      if (waiting <= 0) continue;
      records += waiting;
      const nowMs = clock.nowMs();
      oldestMs = Math.max(oldestMs, nowMs - (this.#waitingSinceMs.get(stream) ?? nowMs));
    }
    return { records, oldestMs };
  }

  #now(): number {
    return this.#options.clock.monotonicMs();
  }

  async #pause(ms: number): Promise<void> {
    if (ms <= 0 || this.#signal.aborted) return;
    try {
      await sleep(ms, undefined, { signal: this.#signal });
    } catch {
      // stopped: the caller looks at the signal
    }
  }
}

/**
 * How many records the next insert takes. Rows may bring the engine down instead of being refused: inserts that fail
 * shrink to one record, which then goes in, every other time, as raw text alone; those that succeed grow again.
 */
class StepSize {
  readonly #most: number;
  records: number;
  isRawOnly = false;
  #failures = 0;

  constructor(most: number) {
    this.#most = most;
    this.records = most;
  }

  succeeded(): void {
    this.records = Math.min(this.records * STEP_FACTOR, this.#most);
    this.isRawOnly = false;
    this.#failures = 0;
  }

  failed(): void {
    this.#failures += 1;
    if (this.#failures < FAILURES_BEFORE_SMALLER) return;
    // Both may fail for want of disk or memory, so that neither is settled for.
    if (this.records === 1) this.isRawOnly = !this.isRawOnly;
    else this.#failures = 0;
    this.records = Math.max(1, Math.ceil(this.records / STEP_FACTOR));
  }
}

interface Todo {
  readonly stream: StreamId;
  readonly range: BlockRange;
  readonly fate: Uint8Array;
  readonly tally: BlockTally;
}

interface Timing {
  readonly durationMs: number;
}

/** When the first of some records arrived. */
function firstReceivedAtMs(bytes: Uint8Array): number {
  const view = new RecordView(bytes);
  view.next();
  return view.receivedAtMs;
}

function lastReceivedAtMs(bytes: Uint8Array): number {
  const view = new RecordView(bytes);
  let lastMs = 0;
  while (view.next()) lastMs = view.receivedAtMs;
  return lastMs;
}

function loadedBlock(todo: Todo, { durationMs }: Timing): LoadedBlock {
  const { stream, range, fate, tally } = todo;
  const perProject = new Map<ProjectId, ProjectCounts>();
  const total = { stored: 0, duplicates: 0, replayed: 0, rejections: 0 };
  const view = new RecordView(range.bytes);
  for (let i = 0; view.next(); i++) {
    let counts = perProject.get(view.projectId);
    if (counts === undefined) {
      counts = { stored: 0, duplicates: 0, rejections: 0 };
      perProject.set(view.projectId, counts);
    }
    switch (fate[i]) {
      case fates.load:
        counts.stored += 1;
        total.stored += 1;
        break;
      case fates.duplicate:
        counts.duplicates += 1;
        total.duplicates += 1;
        break;
      case fates.rejection:
        counts.rejections += 1;
        total.rejections += 1;
        break;
      case fates.replayed:
        total.replayed += 1;
        break;
      default: // a rejection that an earlier run had stored
    }
  }
  return { stream, ...total, ...tally, durationMs, perProject };
}
