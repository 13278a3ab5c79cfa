/**
 * Group commit: appends that wait while one write is under way share the next, synced one.
 *
 * Guarantees
 *   G1  `append` resolves with a receipt only after the O_DSYNC write that holds its frame has returned.
 *   G2  Sequence numbers follow the order of `append` calls and leave no gap: a refused group's are used again.
 *   G3  A frame is whole or absent after a crash: its CRC covers length, version, sequence and records. Frames of one
 *       group may survive in part and in any order; recovery keeps a prefix, and none of it was acknowledged.
 *   G4  What was refused is never read: the next segment's header, and until there is one the watermark, says where
 *       the good frames end; one of them does before the refusal goes out. (Where the disk refuses to sync the watermark
 *       and to make a segment as well, and then the power fails, such frames can come back.)
 * Bounds   queuedBytes <= maxQueueBytes, by default two requests of the largest size once inflated (2 x 105 MiB with
 *          what the records add), so that one full-size batch never shuts out the next. A full queue refuses with
 *          `overloaded`. Who waited longer than `maxQueueAgeMs` for a write to begin is refused instead of written; while a
 *          write takes that long nobody is let in. What is being written waits for its end: nobody knows its outcome
 *          before. A group ends at 4 MiB or a quarter of a segment, or holds one larger frame. A frame larger
 *          than a segment gets a segment of its own size.
 * Order    copy -> number and seal -> write -> watermark -> receipts -> readers -> next group. One write in flight a
 *          stream: with two, the later could be whole on disk and the earlier torn, and recovery, which stops at the
 *          first bad frame, would drop acknowledged data.
 * Failure  No space or a failed write: the group is refused (`disk_full`, `log_unavailable`), reads go on, and the next
 *          group tries a new segment, since nobody knows which pages of the old one reached the disk. Where there is
 *          none to be had everything is refused at once, and a timer tries again each second. So is what has not been
 *          read yet while less than `reserveBytes` are free, though the segment may have room.
 * Source   docs/decisions/0003-segment-log.md. Proof: segment-log.sim.test.ts, test/crash/power-cut.test.ts.
 */
import { passKillPoint } from '../../config/kill-point.ts';
import { systemTimers, type Clock, type Timer, type Timers } from '../../event/clock.ts';
import type { AppendReadiness, AppendReceipt, AppendRefusal, LogWriter, RecordBatch, StreamId } from '../log.ts';
import { readCommitted } from './committed-offset.ts';
import { nodeDisk, writeAll, type Disk } from './disk.ts';
import type { FrameGroup } from './frame-group.ts';
import { GroupPool } from './group-pool.ts';
import { BLOCK_BYTES, FRAME_HEADER_BYTES, frameBytesFor, SEGMENT_HEADER_BYTES } from './layout.ts';
import { recoverStream } from './recovery.ts';
import { diskFull, draining, overloaded, refusalFor, type OutageRefusal } from './refusals.ts';
import { ReserveWatch } from './reserve-watch.ts';
import { SegmentShelf, type ActiveSegment } from './segment-shelf.ts';
import type { StreamLock } from './stream-lock.ts';
import { takeStream } from './take-stream.ts';
import { WatermarkFile } from './watermark.ts';
import {
  DEFAULT_MAX_QUEUE_AGE_MS,
  DEFAULT_MAX_QUEUE_BYTES,
  DEFAULT_RESERVE_BYTES,
  DEFAULT_SEGMENT_BYTES,
  type LogFault,
  type SegmentLogWriterSettings,
  type WrittenGroup,
} from './writer-settings.ts';

const MIB = 1 << 20;
const MAX_GROUP_BYTES = 4 * MIB;
const MAX_PAYLOAD_BYTES = 0xffff_ffff - FRAME_HEADER_BYTES;
/** From this mean size on, what a group costs is its bytes: measured, 2 MiB cost 20 times what 64 KiB do. */
const BURST_GROUP_BYTES = 256 * 1024;
const MEAN_OVER_GROUPS = 8;

const ready: AppendReadiness = { kind: 'ready' };

export class SegmentLogWriter implements LogWriter {
  readonly stream: StreamId;
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #lock: StreamLock;
  readonly #shelf: SegmentShelf;
  readonly #watermark: WatermarkFile;
  readonly #reserve: ReserveWatch;
  readonly #maxQueueBytes: number;
  readonly #maxQueueAgeMs: number;
  readonly #maxGroupBytes: number;
  readonly #retryMs: number;
  readonly #onDurable: () => void;
  readonly #onGroup: ((group: WrittenGroup) => void) | undefined;
  readonly #onFault: (fault: LogFault) => void;
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #start = (): void => this.#startNext();

  /** Oldest first; the last one fills. */
  readonly #queue: FrameGroup[] = [];
  readonly #pool: GroupPool;
  /** Taken out of the queue and not settled yet. */
  #leaving: FrameGroup | undefined;
  #queuedBytes = 0;
  /** From the decision to start a group until nothing waits. */
  #isBusy = false;
  #sequence: number;
  #segment: ActiveSegment | undefined;
  #position = SEGMENT_HEADER_BYTES;
  /** What the file has of the block that `#position` lies in. */
  readonly #tail = Buffer.alloc(BLOCK_BYTES);
  #meanGroupBytes = 0;
  /** Why there is no segment to be had, since the last attempt. */
  #outage: OutageRefusal | undefined;
  /** Something waits longer than it may, as of the last look. */
  #isLate = false;
  #isWatermarkBehind = false;
  #isDraining = false;
  #retryTimer: Timer | undefined;
  /** The last call of `#begin`; never rejects. */
  #beginning: Promise<void> = Promise.resolve();
  readonly #tidyTimer: Timer;
  readonly #watchTimer: Timer;
  #whenIdle: (() => void) | undefined;
  #closed: Promise<void> | undefined;
  /** Work beside the appends; never rejects. One at a time: a slow disk must not pile it up. */
  #chore: Promise<void> | undefined;

  private constructor(settings: SegmentLogWriterSettings, parts: WriterParts) {
    this.stream = parts.stream;
    this.#disk = parts.disk;
    this.#pool = new GroupPool(parts.disk);
    this.#folder = parts.folder;
    this.#lock = parts.lock;
    this.#shelf = parts.shelf;
    this.#watermark = parts.watermark;
    this.#sequence = parts.sequence;
    this.#maxQueueBytes = settings.maxQueueBytes ?? DEFAULT_MAX_QUEUE_BYTES;
    this.#maxQueueAgeMs = settings.maxQueueAgeMs ?? DEFAULT_MAX_QUEUE_AGE_MS;
    this.#maxGroupBytes = Math.min(MAX_GROUP_BYTES, Math.floor(parts.segmentBytes / 4));
    this.#retryMs = settings.retryMs ?? 1000;
    this.#onDurable = settings.onDurable ?? ((): void => undefined);
    this.#onGroup = settings.onGroup;
    this.#onFault = settings.onFault ?? ((): void => undefined);
    this.#clock = settings.clock;
    this.#timers = settings.timers ?? systemTimers;
    this.#tidyTimer = this.#timers.setInterval(() => this.#startChore(() => this.#tidy()), settings.tidyMs ?? 5000);
    this.#tidyTimer.unref();
    this.#reserve = new ReserveWatch(parts, (cause) => this.#report('reserve', cause));
    this.#watchTimer = this.#timers.setInterval(() => {
      this.#refuseLate();
      void this.#reserve.look();
    }, this.#retryMs);
    this.#watchTimer.unref();
  }

  /**
   * Takes a stream, recovers it, and begins a segment. Without room for one it opens all the same, and refuses.
   *
   * @throws LogDamaged, LogFormatTooNew, or what the disk says; Error when `stream` is written by somebody else.
   */
  static async open(settings: SegmentLogWriterSettings): Promise<SegmentLogWriter> {
    const disk = settings.disk ?? nodeDisk;
    const segmentBytes = settings.segmentBytes ?? DEFAULT_SEGMENT_BYTES;
    if (!Number.isInteger(segmentBytes / 4096) || segmentBytes < 64 * 1024) {
      throw new RangeError(`segmentBytes is ${segmentBytes}; expected a multiple of 4096 from 65536`);
    }
    await disk.makeFolder(settings.dir);
    const taken = await takeStream(disk, settings);
    passKillPoint('start.locked');
    const { folder, stream, lock } = taken;
    let watermark: WatermarkFile | undefined;
    try {
      const { clock, ids, reserveBytes = DEFAULT_RESERVE_BYTES, retentionMs = 0 } = settings;
      const found = await recoverStream(disk, folder);
      passKillPoint('start.recovered');
      const shelf = await SegmentShelf.open(
        { disk, folder, clock, ids, segmentBytes, reserveBytes, retentionMs },
        found,
      );
      watermark = await WatermarkFile.create(disk, folder);
      const sequence = found.endSequence;
      const parts = { disk, folder, stream, lock, shelf, watermark, sequence, segmentBytes, reserveBytes };
      const writer = new SegmentLogWriter(settings, parts);
      await writer.#openSegment();
      await writer.#reserve.look();
      writer.#startChore(() => writer.#tidy());
      return writer;
    } catch (error) {
      await watermark?.close();
      await lock.release();
      throw error;
    }
  }

  append(batch: RecordBatch): Promise<AppendReceipt | AppendRefusal> {
    if (batch.count < 1 || batch.bytes.length > MAX_PAYLOAD_BYTES) {
      throw new RangeError(`a batch of ${batch.count} records and ${batch.bytes.length} bytes cannot be appended`);
    }
    if (this.#isDraining) return Promise.resolve(draining);
    if (this.#outage !== undefined) return Promise.resolve(this.#outage);
    const frameBytes = frameBytesFor(batch.bytes.length);
    if (this.#queuedBytes + frameBytes > this.#maxQueueBytes) return Promise.resolve(overloaded);
    let group = this.#queue.at(-1);
    if (group === undefined || (group.usedBytes > 0 && group.usedBytes + frameBytes > this.#maxGroupBytes)) {
      group = this.#pool.take(frameBytes);
      group.firstAtMs = this.#clock.monotonicMs();
      group.expect(this.#position + this.#queuedBytes);
      this.#queue.push(group);
    }
    this.#queuedBytes += frameBytes;
    const outcome = group.add(batch);
    if (!this.#isBusy) {
      this.#isBusy = true;
      // At the end of this turn of the event loop: requests that arrived together share the write.
      this.#timers.setImmediate(this.#start);
    }
    return outcome;
  }

  readiness(): AppendReadiness {
    if (this.#isDraining) return draining;
    if (this.#outage !== undefined) return this.#outage;
    if (this.#reserve.isShort) return diskFull;
    if (this.#isLate) return overloaded;
    // Half: what is asked for now arrives later, and may be as large as all of the other half.
    return this.#queuedBytes > this.#maxQueueBytes / 2 ? overloaded : ready;
  }

  /** Appends that are neither durable nor refused yet. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  get maxQueueBytes(): number {
    return this.#maxQueueBytes;
  }

  /** How long the oldest of them waits; 0 when nothing does. */
  oldestWaitMs(): number {
    const oldest = this.#leaving ?? this.#queue[0];
    return oldest === undefined ? 0 : this.#clock.monotonicMs() - oldest.firstAtMs;
  }

  close(): Promise<void> {
    this.#closed ??= this.#drain();
    return this.#closed;
  }

  async #drain(): Promise<void> {
    this.#isDraining = true;
    passKillPoint('drain.begun');
    if (this.#isBusy) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve;
      });
    }
    this.#timers.clear(this.#tidyTimer);
    this.#timers.clear(this.#watchTimer);
    this.#timers.clear(this.#retryTimer);
    await this.#chore;
    passKillPoint('drain.idle');
    try {
      if (this.#isWatermarkBehind) this.#note('open');
      await this.#watermark.sync();
    } catch (error) {
      this.#report('watermark', error); // recovery finds the end without it
    }
    passKillPoint('drain.synced');
    // All is synced: a failing close loses nothing, and must not keep the lock.
    if (this.#segment !== undefined) await this.#disk.close(this.#segment.fd).catch(() => undefined);
    await this.#watermark.close().catch(() => undefined);
    await this.#lock.release();
  }

  #startNext(): void {
    this.#leaving = undefined;
    if (this.#isLate) this.#refuseLate();
    const group = this.#queue.shift();
    this.#leaving = group;
    if (group === undefined) {
      this.#isBusy = false;
      this.#whenIdle?.();
      return;
    }
    const segment = this.#segment;
    if (segment !== undefined && this.#position + group.usedBytes <= segment.segmentBytes) this.#write(group, segment);
    else void this.#roll(group);
  }

  /** A group as a whole: those who joined it last are refused with the one who waits longest. */
  #refuseLate(): void {
    const latestMs = this.#clock.monotonicMs() - this.#maxQueueAgeMs;
    for (let oldest = this.#queue[0]; oldest !== undefined && oldest.firstAtMs <= latestMs; oldest = this.#queue[0]) {
      this.#queue.shift();
      this.#refuse(oldest, overloaded);
    }
    this.#isLate = this.oldestWaitMs() >= this.#maxQueueAgeMs;
  }

  #write(group: FrameGroup, segment: ActiveSegment): void {
    group.seal(this.#sequence, segment.key, this.#tail.subarray(0, this.#position % BLOCK_BYTES));
    const { blocks } = group;
    const start = this.#position - (this.#position % BLOCK_BYTES);
    const startedMs = this.#clock.monotonicMs();
    if (group.use === 'once') {
      void this.#writeCached(group, segment, start);
      return;
    }
    let doneBytes = 0;
    const done = (error: Error | null, written: number): void => {
      if (error !== null || written <= 0) {
        void this.#failWrite(group, error ?? new Error('the disk wrote nothing'));
        return;
      }
      doneBytes += written;
      if (doneBytes < blocks.length) this.#disk.write(segment.fd, blocks.subarray(doneBytes), start + doneBytes, done);
      else this.#finish(group, this.#clock.monotonicMs() - startedMs);
    };
    passKillPoint('group.before_write');
    this.#disk.write(segment.fd, blocks, start, done);
  }

  /** Through the page cache, from memory that need not be aligned. */
  async #writeCached(group: FrameGroup, segment: ActiveSegment, start: number): Promise<void> {
    const startedMs = this.#clock.monotonicMs();
    try {
      const fd = await this.#disk.open(segment.path, 'update_synced');
      try {
        await writeAll(this.#disk, fd, group.blocks, start);
      } finally {
        await this.#disk.close(fd);
      }
    } catch (error) {
      await this.#failWrite(group, error);
      return;
    }
    this.#finish(group, this.#clock.monotonicMs() - startedMs);
  }

  #finish(group: FrameGroup, writeMs: number): void {
    this.#onGroup?.({ frames: group.frameCount, bytes: group.usedBytes, writeMs });
    const firstSequence = this.#sequence;
    this.#sequence += group.recordCount;
    this.#position += group.usedBytes;
    this.#queuedBytes -= group.usedBytes;
    group.tail.copy(this.#tail);
    passKillPoint('group.written');
    this.#meanGroupBytes += (group.usedBytes - this.#meanGroupBytes) / MEAN_OVER_GROUPS;
    this.#note('open');
    passKillPoint('group.noted');
    group.acknowledge(this.stream, firstSequence);
    passKillPoint('group.receipts');
    this.#pool.giveBack(group);
    this.#onDurable();
    this.#startNext();
  }

  async #failWrite(group: FrameGroup, cause: unknown): Promise<void> {
    const segment = this.#segment;
    this.#segment = undefined;
    this.#report('write', cause);
    if (segment !== undefined) {
      this.#shelf.markSuspect(segment.ordinal);
      const isNoted = await this.#noteRefusal(segment.ordinal);
      await this.#disk.close(segment.fd).catch(() => undefined);
      // The header of the next segment says the same: one of them must, before anybody hears of the refusal.
      if (!isNoted) await this.#openSegment();
    }
    this.#refuse(group, refusalFor(cause));
    this.#startNext();
  }

  /** @returns whether it is on the medium that what lies behind the watermark was refused */
  async #noteRefusal(ordinal: number): Promise<boolean> {
    try {
      this.#watermark.note({ sequence: this.#sequence, ordinal, position: this.#position, tail: 'refused' });
      await this.#watermark.sync();
      return true;
    } catch (error) {
      this.#report('watermark', error);
      return false;
    }
  }

  /** Goes on in a new segment, with `group` first. */
  async #roll(group: FrameGroup): Promise<void> {
    const full = this.#segment;
    this.#segment = undefined;
    if (full !== undefined) await this.#disk.close(full.fd).catch(() => undefined);
    try {
      // What the store already has makes room, and saves filling a new file.
      if (!this.#shelf.hasSpare) await this.#shelf.letGo(await readCommitted(this.#disk, this.#folder));
      await this.#begin(group.usedBytes, this.#isBurst ? 'sparse' : 'fill');
    } catch (error) {
      this.#declareOutage(error);
      this.#refuse(group, refusalFor(error));
      for (const waiting of this.#queue.splice(0)) this.#refuse(waiting, refusalFor(error));
      this.#startNext();
      return;
    }
    if (this.#segment !== undefined) this.#write(group, this.#segment);
    this.#startChore(() => this.#tidy());
  }

  /** One at a time, and none while there is a segment: a look for room and a group that rolls may both come here. */
  #begin(atLeastBytes: number, ifNone: 'fill' | 'sparse'): Promise<void> {
    const begun = this.#beginning.then(async () => {
      const known = this.#segment;
      if (known === undefined || this.#position + atLeastBytes > known.segmentBytes) {
        this.#segment = undefined;
        if (known !== undefined) await this.#disk.close(known.fd).catch(() => undefined);
        this.#segment = await this.#shelf.activate(this.#sequence, atLeastBytes, ifNone);
        this.#position = SEGMENT_HEADER_BYTES;
      }
      this.#outage = undefined;
    });
    this.#beginning = begun.catch(() => undefined);
    return begun;
  }

  #declareOutage(cause: unknown): void {
    this.#outage = refusalFor(cause);
    this.#report('new_segment', cause);
    this.#armRetry();
  }

  #armRetry(): void {
    this.#timers.clear(this.#retryTimer);
    this.#retryTimer = this.#timers.setTimeout(() => {
      const isStarted = this.#startChore(() => this.#probe());
      if (!isStarted) this.#armRetry();
    }, this.#retryMs);
    this.#retryTimer.unref();
  }

  /** Tries for a segment while nobody is let in; never throws. */
  async #probe(): Promise<void> {
    await this.#openSegment();
    await this.#tidy();
  }

  async #openSegment(): Promise<void> {
    try {
      await this.#shelf.letGo(await readCommitted(this.#disk, this.#folder));
      await this.#begin(0, 'fill');
    } catch (error) {
      this.#declareOutage(error);
    }
  }

  #startChore(work: () => Promise<void>): boolean {
    if (this.#chore !== undefined || this.#isDraining) return false;
    this.#chore = work().finally(() => {
      this.#chore = undefined;
    });
    return true;
  }

  /** Lets go of what the store has, and prepares the next segment; never throws. */
  async #tidy(): Promise<void> {
    if (this.#isDraining) return;
    try {
      if (this.#isWatermarkBehind) this.#note('open');
      await this.#shelf.letGo(await readCommitted(this.#disk, this.#folder));
    } catch (error) {
      this.#report('tidy', error);
    }
    if (this.#isDraining || this.#outage !== undefined || (this.#isBurst && this.#isBusy)) return;
    await this.#shelf.prepareSpare().catch((error: unknown) => this.#report('spare', error));
  }

  /** Filling a segment would write everything twice, and large groups bear a change of metadata each. */
  get #isBurst(): boolean {
    return this.#meanGroupBytes >= Math.min(BURST_GROUP_BYTES, this.#maxGroupBytes / 2);
  }

  #note(tail: 'open'): void {
    const segment = this.#segment;
    if (segment === undefined) return;
    try {
      const { ordinal } = segment;
      this.#watermark.note({ sequence: this.#sequence, ordinal, position: this.#position, tail });
      this.#isWatermarkBehind = false;
    } catch (error) {
      // The group is durable all the same: its receipts are true, and readers get it once this succeeds.
      this.#isWatermarkBehind = true;
      this.#report('watermark', error);
    }
  }

  #refuse(group: FrameGroup, refusal: AppendRefusal): void {
    this.#queuedBytes -= group.usedBytes;
    group.refuse(refusal);
    this.#pool.giveBack(group);
  }

  #report(during: LogFault['during'], cause: unknown): void {
    this.#onFault({ during, code: refusalFor(cause).code, cause });
  }
}

interface WriterParts {
  readonly stream: StreamId;
  readonly disk: Disk;
  readonly folder: string;
  readonly lock: StreamLock;
  readonly shelf: SegmentShelf;
  readonly watermark: WatermarkFile;
  readonly sequence: number;
  readonly segmentBytes: number;
  readonly reserveBytes: number;
}
