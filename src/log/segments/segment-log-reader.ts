/**
 * Reads all streams of a folder, in whatever process: only what is durable, in order, each frame checked.
 *
 * Guarantees
 *   G1  Never past the watermark, so an offset that is stored never lies ahead of what a power cut leaves.
 *   G2  What should be there and does not check is LogDamaged, never skipped.
 *   G3  A commit is on the medium before anything is let go of.
 * Bounds   One buffer of what was read a stream, reused; it grows to the largest batch, or to `maxBytes`.
 *          Waiting costs one read of 40 bytes from the page cache a stream each `pollMs`, less often when all is quiet.
 * Order    watermark -> list of segments, when the place is behind the one that is open -> frames.
 * Failure  A stream without a writer is recovered here once, under its lock: after a power cut its watermark may lag.
 *          A writer that starts at that moment takes another stream.
 * Source   docs/decisions/0003-segment-log.md
 */
import { join } from 'node:path';
import { systemClock, systemTimers, type Timers } from '../../event/clock.ts';
import type { LogOffset, LogReader, ReadRecords, StreamId } from '../log.ts';
import { nodeDisk, type Disk } from './disk.ts';
import { listStreams } from './stream-folders.ts';
import { StreamReader } from './stream-reader.ts';

// A bare timer of 25 ms takes 0.5 % of a core here: when all is quiet it may come less often.
const QUIET_AFTER_MS = 1000;
const QUIET_FACTOR = 4;

export interface SegmentLogReaderSettings {
  /** The folder that the writers were given. Need not exist yet. */
  readonly dir: string;
  /** How often to look at the watermarks while waiting, ms; a quarter as often after a quiet second. Default 25. */
  readonly pollMs?: number | undefined;
  /** How often to look for new streams and for streams without a writer, ms. Default 1000. */
  readonly discoverMs?: number | undefined;
  /** As the writers': how long committed segments of a stream without a writer are kept, ms. Default 0. */
  readonly retentionMs?: number | undefined;
  readonly disk?: Disk | undefined;
  readonly timers?: Timers | undefined;
}

export class SegmentLogReader implements LogReader {
  readonly #disk: Disk;
  readonly #timers: Timers;
  readonly #dir: string;
  readonly #pollMs: number;
  readonly #discoverMs: number;
  readonly #retentionMs: number;
  readonly #streams = new Map<StreamId, StreamReader>();
  /** What `waitForMore` last told of, by stream. */
  readonly #told = new Map<StreamId, number>();
  readonly #waiters = new Set<() => void>();
  #isPoked = false;
  /** For how long no watermark has moved, by ticks. */
  #quietMs = 0;
  #discovery: Promise<void> | undefined;
  #isClosed = false;

  private constructor(settings: SegmentLogReaderSettings) {
    this.#disk = settings.disk ?? nodeDisk;
    this.#timers = settings.timers ?? systemTimers;
    this.#dir = settings.dir;
    this.#pollMs = settings.pollMs ?? 25;
    this.#discoverMs = settings.discoverMs ?? 1000;
    this.#retentionMs = settings.retentionMs ?? 0;
  }

  /** @throws LogDamaged, LogFormatTooNew: a stream without a writer does not check */
  static async open(settings: SegmentLogReaderSettings): Promise<SegmentLogReader> {
    const reader = new SegmentLogReader(settings);
    await reader.#disk.makeFolder(settings.dir);
    await reader.#discover();
    return reader;
  }

  async streams(): Promise<readonly StreamId[]> {
    await this.#discover();
    return [...this.#streams.keys()].sort();
  }

  async committed(stream: StreamId): Promise<LogOffset> {
    return { stream, sequence: await (await this.#reader(stream)).committed() };
  }

  async durableEnd(stream: StreamId): Promise<LogOffset> {
    return { stream, sequence: (await this.#reader(stream)).durableSequence() };
  }

  async read(from: LogOffset, maxBytes: number): Promise<ReadRecords | undefined> {
    const reader = await this.#reader(from.stream);
    return reader.read(from.sequence, maxBytes);
  }

  async commit(upTo: LogOffset): Promise<void> {
    await (await this.#reader(upTo.stream)).commit(upTo.sequence);
  }

  /** Something became durable: for the writer in this process. Cheap when nobody waits. */
  poke(): void {
    this.#isPoked = true;
    for (const wake of this.#waiters) wake();
  }

  /** An abort resolves it. @throws LogDamaged, LogFormatTooNew: a stream that appeared does not check */
  async waitForMore(timeoutMs: number, signal: AbortSignal): Promise<void> {
    for (let leftMs = timeoutMs; ; leftMs -= this.#discoverMs) {
      if (signal.aborted || this.#isClosed || this.#isPoked || this.#hasNews() || leftMs <= 0) break;
      const hasMore = await this.#pause(Math.min(leftMs, this.#discoverMs), signal);
      if (hasMore || leftMs <= this.#discoverMs) break;
      await this.#discover();
    }
    this.#isPoked = false;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.poke();
    await this.#discovery?.catch(() => undefined);
    for (const reader of this.#streams.values()) await reader.close();
    this.#streams.clear();
  }

  /** Whether a watermark moved since this last said so. */
  #hasNews(): boolean {
    let hasNews = false;
    for (const [stream, reader] of this.#streams) {
      const sequence = reader.durableSequence();
      if (sequence <= (this.#told.get(stream) ?? 0)) continue;
      this.#told.set(stream, sequence);
      hasNews = true;
      this.#quietMs = 0;
    }
    return hasNews;
  }

  /** One promise and one timer a pause, since it is most of what an idle process does. @returns whether to look */
  #pause(ms: number, signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const finish = (hasMore: boolean): void => {
        this.#timers.clear(timer);
        signal.removeEventListener('abort', wake);
        this.#waiters.delete(wake);
        resolve(hasMore);
      };
      const wake = (): void => finish(true);
      const tickMs = this.#quietMs < QUIET_AFTER_MS ? this.#pollMs : this.#pollMs * QUIET_FACTOR;
      let leftTicks = Math.max(1, Math.round(ms / tickMs));
      const timer = this.#timers.setInterval(() => {
        leftTicks -= 1;
        this.#quietMs += tickMs;
        try {
          if (this.#hasNews()) finish(true);
          else if (leftTicks === 0) finish(false);
        } catch (error) {
          reject(error); // before `finish`, which then only clears up
          finish(true);
        }
      }, tickMs);
      signal.addEventListener('abort', wake, { once: true });
      this.#waiters.add(wake);
    });
  }

  async #reader(stream: StreamId): Promise<StreamReader> {
    if (this.#isClosed) throw new Error('the log reader is closed');
    const known = this.#streams.get(stream);
    if (known !== undefined) return known;
    await this.#discover();
    const found = this.#streams.get(stream);
    if (found === undefined) throw new RangeError(`there is no stream ${stream} in ${this.#dir}`);
    return found;
  }

  /** New streams are opened; those without a writer recovered, and relieved of what is committed. One at a time. */
  #discover(): Promise<void> {
    this.#discovery ??= this.#look().finally(() => {
      this.#discovery = undefined;
    });
    return this.#discovery;
  }

  async #look(): Promise<void> {
    for (const stream of await listStreams(this.#disk, this.#dir)) {
      if (this.#isClosed) return;
      let reader = this.#streams.get(stream);
      if (reader === undefined) {
        reader = await StreamReader.open(this.#disk, join(this.#dir, stream), stream);
        if (reader === undefined) continue; // its writer has only begun to make it
        this.#streams.set(stream, reader);
      }
      const keptFromMs = this.#retentionMs === 0 ? Number.POSITIVE_INFINITY : systemClock.nowMs() - this.#retentionMs;
      await reader.tendOrphan(keptFromMs);
    }
  }
}
