/**
 * The loader: log to store, each record exactly once.
 *
 * Guarantees
 *   L1  A stream's offset moves only after the store has synced everything before it.
 *   L2  Each uuid of a project is stored once, the first copy, whatever crashes in between: before each attempt the store
 *       is asked which uuids it holds and from which record (block.ts).
 *   L3  Nothing that was acknowledged stops it. A block that the engine refuses is halved until the rows at fault are
 *       alone; they go in with their raw text and empty properties. Rows that bring the engine down end the same way.
 *   L4  The ledger counts each record once, behind its rows and before the commit: one insert brings counts and how far
 *       they go, and that is asked for wherever an earlier attempt may have brought them. An insert of a few rows costs as
 *       much as one of thousands, so small blocks are counted and committed together, LEDGER_INTERVAL_MS apart.
 * Order    read -> look up -> insert events (those taken apart, then those as text), rejections, duplicates, ledger ->
 *          commit. One block at a time.
 * Bounds   One read of the log (16 MiB, or one request) and one block of rows, let go of after a burst.
 * Failure  Store away: the block is tried again, at growing intervals, for ever. A record of a newer version, or a
 *          damaged log: `done` rejects. Everything else that is not the store's is our own bug, and does too.
 * Freshness  What waits is loaded at once, but a small block no sooner than MIN_INTERVAL_MS after the one before: each
 *          insert makes a part, and parts cost merging.
 */
import { passKillPoint } from '../config/kill-point.ts';
import { nextTurn, pause, systemTimers, type Clock, type Timers } from '../event/clock.ts';
import type { LogOffset, LogReader, ReadRecords, StreamId } from '../log/log.ts';
import { BlockRefused, StoreUnavailable, type Store } from '../store/store.ts';
import {
  BlockBuffers,
  blocksOf,
  collectKeys,
  countBlock,
  firstReceivedAtMs,
  lastReceivedAtMs,
  requestIdAt,
  fates,
  markDone,
  markStored,
  markText,
  MAX_BLOCK_BYTES,
  writeLedger,
  writeRows,
  type BlockRange,
  type Part,
  type Uncounted,
} from './block.ts';
import { freeMemory } from './free-memory.ts';
import { LedgerTally } from './ledger-tally.ts';
import type { LoadedBlock, LoaderLag, LoaderStats } from './loader-stats.ts';
import { StepSize } from './step-size.ts';

const MIN_INTERVAL_MS = 250;
const LEDGER_INTERVAL_MS = 1000;
/** A read at least this large is loaded without waiting for more. */
const FULL_READ_BYTES = 2 << 20;
const IDLE_WAIT_MS = 1000;
const KEEP_AFTER_BURST_MS = 2000;
const FIRST_RETRY_MS = 100;
const MAX_RETRY_MS = 5000;
/** While the store is there and fails at inserts alone. */
const MAX_RETRY_THERE_MS = 1000;
/** A start reads what is not committed, at about 1 GB/s. */
const MAX_RECOVERY_MS = 5_000;
const RECOVERY_LOOK_MS = 100;

export interface LoaderOptions {
  readonly reader: LogReader;
  readonly store: Store;
  readonly clock: Clock;
  readonly timers?: Timers | undefined;
  readonly stats: LoaderStats;
  /** The ledger of this minute has changed, or of it and later ones; when it begins, seconds since 1970. */
  readonly onLedger?: ((minuteSeconds: number) => void) | undefined;
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
  readonly #timers: Timers;
  readonly #signal: AbortSignal;
  #buffers = new BlockBuffers();
  /** When the last large block went through them, after which they hold tens of MiB. */
  #lastBurstMs: number | undefined;
  #inserts = 0;
  readonly #next = new Map<StreamId, number>();
  /** Nothing that waits behind `#next` was received before this; wall clock, ms. */
  readonly #waitingSinceMs = new Map<StreamId, number>();
  readonly #startedMs: number;
  /**
   * Streams of which a block was loaded: the next is in the store in no part. Not so soon after a power cut, when the first
   * block may have been short of what an earlier run had read (`#endOnceRecovered`).
   */
  readonly #settledStreams = new Set<StreamId>();
  /** Not known before a stream's first block. */
  readonly #uncounted = new Map<StreamId, Uncounted>();
  /** An insert of counts was begun whose end is not known: they may be in, also when a stop came in between. */
  readonly #ledgerInDoubt = new Set<StreamId>();
  /** Streams that are loaded further than they are committed. */
  readonly #owing = new Set<StreamId>();
  readonly #ledgerAtMs = new Map<StreamId, number>();
  #lastStartMs = Number.NEGATIVE_INFINITY;

  constructor(options: LoaderOptions, signal: AbortSignal) {
    this.#options = options;
    this.#timers = options.timers ?? systemTimers;
    this.#signal = signal;
    this.#startedMs = this.#now();
  }

  async run(): Promise<void> {
    await this.#loadAll();
    // Best effort: what is not committed is recognised at the next start.
    for (const stream of this.#owing) await this.#commit(stream);
  }

  async #loadAll(): Promise<void> {
    const { reader } = this.#options;
    while (!this.#signal.aborted) {
      let loadedBytes = 0;
      for (const stream of await reader.streams()) {
        if (this.#signal.aborted) return;
        const bytes = await this.#loadStream(stream);
        loadedBytes += bytes;
        if (this.#owing.has(stream) && (bytes >= FULL_READ_BYTES || this.#dueMs(stream) <= 0))
          await this.#commit(stream);
      }
      if (loadedBytes === 0) {
        const dueMs = Math.min(IDLE_WAIT_MS, ...[...this.#owing].map((stream) => this.#dueMs(stream)));
        if (dueMs > 0) await reader.waitForMore(dueMs, this.#signal);
      }
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
    if (read.count === 0) {
      // A gap that a repair left: there is nothing to load.
      this.#next.set(stream, read.nextSequence);
      this.#owing.add(stream);
      return 0;
    }
    passKillPoint('loader.read');
    this.#waitingSinceMs.set(stream, firstReceivedAtMs(read.bytes));
    this.#lastStartMs = this.#now();
    if (read.bytes.length >= FULL_READ_BYTES) this.#lastBurstMs = this.#now();
    // A stop in the midst of a read leaves the offset where it was: what went in is recognised next time.
    if (!(await this.#loadRead(read))) return 0;
    this.#next.set(stream, read.nextSequence);
    this.#owing.add(stream);
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
      if (!isFirst) await nextTurn(this.#timers); // capture shares this thread
      isFirst = false;
      if (!(await this.#loadBlock(read, range))) return false;
    }
    return true;
  }

  /** @returns false when it was stopped while the store was away */
  async #loadBlock(read: ReadRecords, range: BlockRange): Promise<boolean> {
    const { stats } = this.#options;
    const { stream } = read;
    const startMs = this.#now();
    const fate = new Uint8Array(range.count);
    /** As the store was before our first attempt: what an attempt of ours put in is no replay. */
    let firstFate: Uint8Array | undefined;
    const tally: BlockTally = { repaired: 0, rawOnly: 0 };
    const steps = new StepSize(range.count);
    let retryMs = FIRST_RETRY_MS;
    let mayBeIn = !this.#settledStreams.has(stream) || this.#now() < this.#startedMs + MAX_RECOVERY_MS;
    /** Records before it are in the store. */
    let at = 0;
    for (let attempt = 1; ; attempt++) {
      let hasBegun = false;
      try {
        await this.#decideFates(stream, range, fate, mayBeIn);
        const uncounted = await this.#uncountedOf(read);
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
        countBlock(range, fate, uncounted);
        stats.loaded(loadedBlock(stream, firstFate, { ...tally, durationMs: this.#now() - startMs }));
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

  /**
   * Never the same twice: the engine notes a token before the part has its name, so one that died in between would take
   * nothing more under it, and say that it has (test/crash/engine-rename.test.ts). What is in is found by looking.
   */
  #tokenOf(place: string): string {
    this.#inserts += 1;
    return `${place}:${this.#options.clock.nowMs()}-${this.#inserts}`;
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
    passKillPoint('loader.looked_up');
  }

  /** Where the counting of a stream stands; at its first block the store says how far the ledger is. */
  async #uncountedOf(read: ReadRecords): Promise<Uncounted> {
    const { store } = this.#options;
    const { stream, firstSequence } = read;
    const known = this.#uncounted.get(stream);
    if (known !== undefined) return known;
    const found = await store.findReach(stream);
    let uncounted = uncountedFrom(found?.epoch ?? 1, found?.next ?? firstSequence);
    if (found !== undefined && found.next > firstSequence) {
      // Counted and not committed; or another log, whose stream has the same name.
      const end = await this.#endOnceRecovered(stream, found.next);
      const requestId = requestIdAt(read, found.next - 1);
      const isSameLog = found.next <= end && (requestId === undefined || requestId === found.lastRequestId);
      if (!isSameLog) uncounted = uncountedFrom(found.epoch + 1, firstSequence);
    }
    this.#uncounted.set(stream, uncounted);
    return uncounted;
  }

  /**
   * After a power cut what a reader sees of a stream may lag behind what was durable, until its writer has recovered it.
   * Records that the ledger has counted were durable: it waits for them, and in vain only where the log is another one.
   */
  async #endOnceRecovered(stream: StreamId, counted: number): Promise<number> {
    const { reader } = this.#options;
    for (let waitedMs = 0; ; waitedMs += RECOVERY_LOOK_MS) {
      const { sequence } = await reader.durableEnd(stream);
      if (sequence >= counted || waitedMs >= MAX_RECOVERY_MS || this.#signal.aborted) return sequence;
      await this.#pause(RECOVERY_LOOK_MS);
    }
  }

  /** How long what a stream owes may still wait, ms. */
  #dueMs(stream: StreamId): number {
    return (this.#ledgerAtMs.get(stream) ?? Number.NEGATIVE_INFINITY) + LEDGER_INTERVAL_MS - this.#now();
  }

  /** Writes into the ledger what was counted, then commits; tries until it is in, or once when it is to stop. */
  async #commit(stream: StreamId): Promise<void> {
    const { reader, stats } = this.#options;
    let retryMs = FIRST_RETRY_MS;
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#insertLedger(stream);
        break;
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
        stats.retrying(error.message, attempt);
        if (this.#signal.aborted) return;
        await this.#pause(retryMs);
        retryMs = Math.min(retryMs * 2, MAX_RETRY_MS);
      }
    }
    this.#ledgerAtMs.set(stream, this.#now());
    const sequence = this.#next.get(stream);
    this.#owing.delete(stream);
    if (sequence === undefined) return;
    const upTo: LogOffset = { stream, sequence };
    passKillPoint('loader.before_commit');
    await reader.commit(upTo);
    passKillPoint('loader.after_commit');
  }

  async #insertLedger(stream: StreamId): Promise<void> {
    const { store, onLedger } = this.#options;
    const uncounted = this.#uncounted.get(stream);
    if (uncounted === undefined || uncounted.next === uncounted.first) return;
    const { epoch, first, next } = uncounted;
    const { ledger } = this.#buffers;
    const earliest = writeLedger(stream, uncounted, ledger);
    const reach = this.#ledgerInDoubt.has(stream) ? await store.findReach(stream) : undefined;
    const isIn = reach?.epoch === epoch && reach.next === next;
    if (!isIn) {
      const rows = ledger.rows();
      const deduplicationToken = this.#tokenOf(`${stream}:${first}-${next}:ledger`);
      this.#ledgerInDoubt.add(stream);
      try {
        await store.insert({ kind: 'ledger', rows, count: ledger.count, deduplicationToken });
      } catch (error) {
        // Numbers alone: it is the store that is unwell.
        throw error instanceof BlockRefused ? new StoreUnavailable(error.message, { cause: error }) : error;
      }
    }
    passKillPoint('loader.ledger');
    this.#ledgerInDoubt.delete(stream);
    this.#uncounted.set(stream, uncountedFrom(epoch, next));
    onLedger?.(earliest);
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
    const repaired = await writeRows(range, fate, this.#buffers, { stream, part, rawOnly, timers: this.#timers });
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
      const deduplicationToken = this.#tokenOf(`${place}:${kind.replace('_', '-')}`);
      try {
        await store.insert({ kind, rows, count, deduplicationToken });
        passKillPoint(`loader.${kind}`);
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
    for (const stream of await reader.streams()) {
      const end = (await reader.durableEnd(stream)).sequence;
      // After a start, until the first pass has come by, from where the store was.
      const waiting = end - (this.#next.get(stream) ?? (await reader.committed(stream)).sequence);
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
    if (ms > 0) await pause(this.#timers, ms, this.#signal);
  }
}

interface Todo {
  readonly stream: StreamId;
  readonly range: BlockRange;
  readonly fate: Uint8Array;
  readonly tally: BlockTally;
}

function uncountedFrom(epoch: number, next: number): Uncounted {
  return { epoch, first: next, next, tally: new LedgerTally(), lastRequestId: new Uint8Array(16) };
}

/** @param fate as the store was before the first attempt */
function loadedBlock(stream: StreamId, fate: Uint8Array, rest: BlockTally & { durationMs: number }): LoadedBlock {
  const count = (wanted: number): number => fate.reduce((sum, each) => (each === wanted ? sum + 1 : sum), 0);
  return {
    stream,
    stored: count(fates.load),
    duplicates: count(fates.duplicate),
    replayed: count(fates.replayed),
    rejections: count(fates.rejection),
    ...rest,
  };
}
