import type { LogDamaged } from '../log.ts';
import type { ReadRecords, StreamId } from '../log.ts';
import { CommittedOffset } from './committed-offset.ts';
import type { Disk } from './disk.ts';
import { FrameScanner } from './frame-scanner.ts';
import { SEGMENT_HEADER_BYTES, type SegmentHeader, type Watermark } from './layout.ts';
import { damagedAt, recoverStream, type HeldSegment } from './recovery.ts';
import { listStreamFiles, openIfThere, readSegmentHeader } from './segment-file.ts';
import { tryStreamLock } from './stream-lock.ts';
import { WatermarkFile } from './watermark.ts';

const MAX_KEPT_BYTES = 16 << 20;
const MAX_WATERMARK_TRIES = 10;
const MAX_LIST_TRIES = 5;

/** The place in the stream that was read last; its file stays open. */
interface Cursor {
  readonly path: string;
  readonly fd: number;
  readonly header: SegmentHeader;
  readonly scanner: FrameScanner;
  /** Where the next segment begins, if there was one when the list was made. */
  readonly endSequence: number | undefined;
}

/** One stream, as its consumer sees it. Calls for one stream may overlap: they take turns. */
export class StreamReader {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #stream: StreamId;
  readonly #watermarkFile: WatermarkFile;
  #watermark: Watermark = { sequence: 0, ordinal: 0, position: SEGMENT_HEADER_BYTES, tail: 'open' };
  #cursor: Cursor | undefined;
  #committed: CommittedOffset | undefined;
  #out: Buffer = Buffer.alloc(0);
  #isRecovered = false;
  /** Up to where an orphan was relieved of its segments. */
  #relievedUpTo = 0;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(disk: Disk, said: { folder: string; stream: StreamId; watermarkFile: WatermarkFile }) {
    this.#disk = disk;
    this.#folder = said.folder;
    this.#stream = said.stream;
    this.#watermarkFile = said.watermarkFile;
  }

  /** @returns undefined while the folder has no watermark and no lock that could be taken to make one */
  static async open(disk: Disk, folder: string, stream: StreamId): Promise<StreamReader | undefined> {
    let watermarkFile = await WatermarkFile.openToRead(disk, folder);
    if (watermarkFile === undefined) {
      // Perhaps the power was cut before the folder was synced: recovery makes the file, if nobody else is about to.
      if (!(await recoverOrphan(disk, folder))) return undefined;
      watermarkFile = await WatermarkFile.openToRead(disk, folder);
      if (watermarkFile === undefined) return undefined;
    }
    return new StreamReader(disk, { folder, stream, watermarkFile });
  }

  /** First sequence number that is not durable. Cheap; never goes back. */
  durableSequence(): number {
    return this.#look().sequence;
  }

  committed(): Promise<number> {
    return this.#alone(async () => {
      const noted = (await this.#openCommitted()).sequence;
      const [oldest] = await this.#segments();
      return Math.max(noted, oldest?.firstSequence ?? 0);
    });
  }

  commit(sequence: number): Promise<void> {
    return this.#alone(async () => {
      if (sequence > this.durableSequence()) {
        throw new RangeError(`commit of ${sequence} on ${this.#stream}: only ${this.durableSequence()} are durable`);
      }
      await (await this.#openCommitted()).commit(sequence);
    });
  }

  read(from: number, maxBytes: number): Promise<ReadRecords | undefined> {
    return this.#alone(() => this.#read(from, maxBytes));
  }

  /**
   * Where no writer lives: publishes the end once, and removes what is committed.
   *
   * @param keptFromMs wall clock: segments that ended later stay, until the stream has a writer again
   */
  tendOrphan(keptFromMs: number): Promise<void> {
    return this.#alone(async () => {
      const committed = this.#committed?.sequence ?? 0;
      if (this.#isRecovered && committed === this.#relievedUpTo) return;
      const lock = await tryStreamLock(this.#disk, this.#folder, 'leave');
      if (lock === undefined) return; // its writer does both
      try {
        if (!this.#isRecovered) await recoverStream(this.#disk, this.#folder);
        this.#isRecovered = true;
        await this.#relieve(committed, keptFromMs);
        this.#relievedUpTo = committed;
      } finally {
        await lock.release();
      }
    });
  }

  close(): Promise<void> {
    return this.#alone(async () => {
      await this.#leaveCursor();
      await this.#committed?.close();
      await this.#watermarkFile.close();
    });
  }

  async #read(from: number, maxBytes: number): Promise<ReadRecords | undefined> {
    const mark = this.#look();
    if (from >= mark.sequence) return undefined;
    let usedBytes = 0;
    let count = 0;
    let firstSequence = from;
    let doubted = -1;
    for (let sequence = from; sequence < mark.sequence;) {
      const cursor = await this.#seek(sequence, mark);
      const { scanner } = cursor;
      scanner.limitBytes = cursor.header.ordinal === mark.ordinal ? mark.position : cursor.header.segmentBytes;
      const end = Math.min(mark.sequence, cursor.endSequence ?? mark.sequence);
      let fault: string | undefined;
      while (scanner.sequence < end && fault === undefined) {
        const step = await scanner.peek();
        if (step.kind !== 'frame') {
          fault = step.kind === 'bad' ? step.why : 'the frames end early';
          break;
        }
        const { frame, payload } = step;
        if (scanner.sequence + frame.count > end) fault = 'the frame reaches into the next segment';
        else if (frame.isGap) {
          if (count > 0) return this.#records(firstSequence, count, usedBytes);
          firstSequence = Math.max(from, scanner.sequence + frame.count);
        } else if (scanner.sequence + frame.count > from) {
          if (count > 0 && usedBytes + payload.length > maxBytes) return this.#records(firstSequence, count, usedBytes);
          if (count === 0) firstSequence = scanner.sequence;
          this.#reserve(usedBytes, usedBytes + payload.length, maxBytes);
          payload.copy(this.#out, usedBytes);
          usedBytes += payload.length;
          count += frame.count;
        }
        if (fault === undefined) scanner.pass(frame);
      }
      sequence = count === 0 ? firstSequence : scanner.sequence;
      if (fault === undefined) continue;
      // Perhaps the list of segments was made while the writer renamed one: believe it when it comes out the same again.
      if (doubted === scanner.sequence) throw this.#damaged(cursor, fault, end);
      doubted = scanner.sequence;
      await this.#leaveCursor();
    }
    return this.#records(firstSequence, count, usedBytes);
  }

  #records(firstSequence: number, count: number, usedBytes: number): ReadRecords {
    const bytes = this.#out.subarray(0, usedBytes);
    if (this.#out.length > MAX_KEPT_BYTES) this.#out = Buffer.alloc(0); // the view keeps it until the caller is done
    return { stream: this.#stream, firstSequence, nextSequence: firstSequence + count, bytes, count };
  }

  #reserve(usedBytes: number, neededBytes: number, maxBytes: number): void {
    if (neededBytes <= this.#out.length) return;
    const larger = Buffer.allocUnsafeSlow(
      Math.max(neededBytes, Math.min(maxBytes, Math.max(1 << 16, this.#out.length * 2))),
    );
    this.#out.copy(larger, 0, 0, usedBytes);
    this.#out = larger;
  }

  /** The cursor at the frame that holds `sequence`, or before it in the right segment. */
  async #seek(sequence: number, mark: Watermark): Promise<Cursor> {
    const current = this.#cursor;
    if (current !== undefined && current.scanner.sequence <= sequence) {
      // Behind the watermark's segment a later one may have taken over at any record; in it, none has.
      if (current.header.ordinal === mark.ordinal) return current;
      if (current.endSequence !== undefined && sequence < current.endSequence) return current;
    }
    await this.#leaveCursor();
    for (let attempt = 0; attempt < MAX_LIST_TRIES; attempt++) {
      this.#cursor = await this.#locate(sequence, mark);
      if (this.#cursor !== undefined) return this.#cursor;
    }
    const needed = (await this.#openCommitted()).sequence;
    if (sequence < needed) throw new RangeError(`record ${sequence} of ${this.#stream} was committed, and let go of`);
    throw damagedAt(this.#folder, 0, `the segment with record ${sequence} is missing`);
  }

  /** @returns undefined where the list of segments does not hold the record: wrong, or overtaken by the writer */
  async #locate(sequence: number, mark: Watermark): Promise<Cursor | undefined> {
    const segments = await this.#segments();
    const index = segments.findLastIndex((segment) => segment.firstSequence <= sequence);
    const segment = segments[index];
    const endSequence = segments[index + 1]?.firstSequence;
    if (segment === undefined || (endSequence === undefined && segment.ordinal !== mark.ordinal)) return undefined;
    const fd = await openIfThere(this.#disk, segment.path, 'read');
    if (fd === undefined) return undefined;
    const found = await readSegmentHeader(this.#disk, fd);
    if (found.kind !== 'good' || found.header.ordinal !== segment.ordinal) {
      await this.#disk.close(fd);
      return undefined;
    }
    return {
      path: segment.path,
      fd,
      header: found.header,
      scanner: new FrameScanner(this.#disk, fd, found.header),
      endSequence,
    };
  }

  async #leaveCursor(): Promise<void> {
    const cursor = this.#cursor;
    this.#cursor = undefined;
    if (cursor !== undefined) await this.#disk.close(cursor.fd);
  }

  /** Headers by ordinal; a file that its writer lets go of meanwhile is left out. */
  async #segments(): Promise<HeldSegment[]> {
    const held: HeldSegment[] = [];
    const { segments } = await listStreamFiles(this.#disk, this.#folder);
    for (const file of segments) {
      const fd = await openIfThere(this.#disk, file.path, 'read');
      if (fd === undefined) continue;
      try {
        const found = await readSegmentHeader(this.#disk, fd);
        if (found.kind !== 'good' || found.header.ordinal !== file.number) {
          // Recycled between the open and the read: then its name is gone.
          const again = await openIfThere(this.#disk, file.path, 'read');
          if (again === undefined) continue;
          await this.#disk.close(again);
          throw damagedAt(file.path, 0, 'the segment header does not check');
        }
        const { ordinal, firstSequence, segmentBytes, createdAtMs } = found.header;
        held.push({ path: file.path, ordinal, firstSequence, segmentBytes, createdAtMs });
      } finally {
        await this.#disk.close(fd);
      }
    }
    return held;
  }

  /** The caller holds the lock. */
  async #relieve(committed: number, keptFromMs: number): Promise<void> {
    const segments = await this.#segments();
    let hasRemoved = false;
    for (const [index, segment] of segments.entries()) {
      const next = segments[index + 1];
      if (next === undefined || next.firstSequence > committed) break;
      if (next.createdAtMs > keptFromMs) break;
      await this.#disk.unlink(segment.path);
      hasRemoved = true;
    }
    if (hasRemoved) await this.#disk.syncFolder(this.#folder);
  }

  async #openCommitted(): Promise<CommittedOffset> {
    this.#committed ??= await CommittedOffset.open(this.#disk, this.#folder);
    return this.#committed;
  }

  #look(): Watermark {
    for (let attempt = 0; attempt < MAX_WATERMARK_TRIES; attempt++) {
      const found = this.#watermarkFile.read();
      if (found === undefined) continue; // caught while it was written
      if (found.sequence > this.#watermark.sequence) this.#watermark = found;
      break;
    }
    return this.#watermark; // torn by a power cut and not yet recovered: what was known before
  }

  #damaged(cursor: Cursor, why: string, end: number): LogDamaged {
    const { position, sequence } = cursor.scanner;
    return damagedAt(cursor.path, position, `${why}; record ${sequence} of ${end} should be here`);
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

/** @returns false when a writer holds it, or there is no lock file yet */
async function recoverOrphan(disk: Disk, folder: string): Promise<boolean> {
  const lock = await tryStreamLock(disk, folder, 'leave');
  if (lock === undefined) return false;
  try {
    await recoverStream(disk, folder);
    return true;
  } finally {
    await lock.release();
  }
}
