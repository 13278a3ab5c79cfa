/**
 * Sets the damaged part of a stream aside, so that its writer starts again: what recovery refuses, it makes whole.
 *
 * Guarantees
 *   P1  Nothing is deleted: damaged bytes are copied to `asideFolder`, synced, before their place is written over.
 *   P2  Every frame before and behind the damage that checks is kept, under its own sequence number.
 *   P3  In the place of the damage stands a gap frame (layout.ts), which takes the sequence numbers of what is gone: reader,
 *       recovery and the store's offset go on as if the records had been consumed.
 *   P4  An undamaged stream is left as it is, byte for byte; so is any stream by `inspectStream`.
 * Order    copy, synced -> a line in `set-aside.ndjson`, synced -> the place itself -> recovery, which proves the result.
 *          Ended in between, it can be run again.
 * Bounds   One damaged part in memory, at most a segment.
 * Failure  LogFormatTooNew, LogDamaged where even this does not make it whole, or what the disk says.
 * Limits   Where the last segment is lost as a whole, a group that had been refused before it was begun may come back; its
 *          client was told to send it again, and the uuid tells the copies apart. A missing oldest segment is not noticed.
 * Source   docs/decisions/0003-segment-log.md. Proof: repair.test.ts, test/blackbox/doctor.test.ts.
 */
import { basename, join } from 'node:path';
import type { Clock } from '../../event/clock.ts';
import type { IdSource } from '../../event/id-source.ts';
import { readCommitted } from './committed-offset.ts';
import { errnoOf, readAll, writeAll, type Disk } from './disk.ts';
import { FrameScanner } from './frame-scanner.ts';
import {
  BLOCK_BYTES,
  encodeSegmentHeader,
  FRAME_HEADER_BYTES,
  frameKeyOf,
  looksLikeFrame,
  sealGap,
  SEGMENT_HEADER_BYTES,
  type FoundFrame,
  type SegmentHeader,
  type Watermark,
} from './layout.ts';
import { LogFormatTooNew, recoverStream } from './recovery.ts';
import { listStreamFiles, readSegmentHeader, segmentPath, type NumberedFile } from './segment-file.ts';
import { WatermarkFile } from './watermark.ts';

/** One damaged part. */
export interface Damage {
  /** `frames`: a part of a segment. `header`: a page that could be made again. `segment`: a whole file. */
  readonly kind: 'frames' | 'header' | 'segment';
  readonly path: string;
  /** Where it begins in the file, and how long it is. */
  readonly position: number;
  readonly bytes: number;
  readonly why: string;
  /** Places in it that look like the head of a frame, at least 1; requests that were acknowledged, as far as can be told. */
  readonly frames: number;
  /** Sequence numbers of the records that are gone: `[firstSequence, endSequence)`. */
  readonly firstSequence: number;
  readonly endSequence: number;
  /** Those of them that the consumer had not committed. */
  readonly lostRecords: number;
}

/** Damage that was set aside. */
export interface SetAside extends Damage {
  /** The copy; undefined where there were no bytes to keep. */
  readonly keptAs: string | undefined;
}

export interface RepairSettings {
  readonly disk: Disk;
  /** Of the stream. The caller holds its lock. */
  readonly folder: string;
  /** Takes what is set aside; made when it is needed. */
  readonly asideFolder: string;
  readonly clock: Clock;
  readonly ids: IdSource;
}

export interface StreamHealth {
  readonly damage: readonly Damage[];
  /** First sequence number that the consumer still needs. */
  readonly committed: number;
  /** First sequence number that is free. */
  readonly endSequence: number;
}

/** Looks, and changes nothing. While a writer lives, what it is writing may look torn. */
export async function inspectStream(disk: Disk, folder: string): Promise<StreamHealth> {
  return new Mender(disk, folder, undefined).run();
}

export async function repairStream(settings: RepairSettings): Promise<readonly SetAside[]> {
  const { disk, folder } = settings;
  const aside = new AsideFolder(settings);
  await new Mender(disk, folder, aside).run();
  if (aside.kept.length > 0) await recoverStream(disk, folder);
  return aside.kept;
}

interface OpenedSegment {
  readonly file: NumberedFile;
  header: SegmentHeader;
}

interface Bounds {
  /** Frames at or behind it were refused. */
  readonly stopAt: number;
  /** Records before it were acknowledged. */
  readonly mustReach: number;
  /** Whether what lies behind `mustReach` counts only when a group was written after it (recovery-cases.ts). */
  readonly isOpenEnd: boolean;
}

class Mender {
  readonly #disk: Disk;
  readonly #folder: string;
  /** Undefined: only look. */
  readonly #aside: AsideFolder | undefined;
  readonly #found: Damage[] = [];
  #committed = 0;
  #end = 0;
  #watermark: Watermark | undefined;

  constructor(disk: Disk, folder: string, aside: AsideFolder | undefined) {
    this.#disk = disk;
    this.#folder = folder;
    this.#aside = aside;
  }

  async run(): Promise<StreamHealth> {
    this.#committed = await readCommitted(this.#disk, this.#folder);
    this.#watermark = await readWatermark(this.#disk, this.#folder);
    const held: OpenedSegment[] = [];
    const { segments } = await listStreamFiles(this.#disk, this.#folder);
    for (const file of segments) {
      const header = await this.#headerOf(file);
      if (header !== undefined) held.push({ file, header });
    }
    if (held.length === 0) await this.#beginAnew(segments.at(-1)?.number ?? this.#watermark?.ordinal ?? 0);
    for (const [index, segment] of held.entries()) {
      const next = held[index + 1]?.header.firstSequence;
      if (next !== undefined && next <= this.#committed) continue; // the store has all of it
      await this.#mendFrames(segment, next);
    }
    return { damage: this.#found, committed: this.#committed, endSequence: this.#end };
  }

  get #notedSequence(): number {
    return Math.max(this.#committed, this.#watermark?.sequence ?? 0);
  }

  /** @returns undefined where the file is lost as a whole */
  async #headerOf(file: NumberedFile): Promise<SegmentHeader | undefined> {
    const fd = await this.#disk.open(file.path, 'read');
    try {
      const found = await readSegmentHeader(this.#disk, fd);
      const fileBytes = await this.#disk.sizeOf(fd);
      if (found.kind === 'newer') {
        throw new LogFormatTooNew(`${file.path} has format version ${found.version}: a later release wrote it`);
      }
      const isOurs = found.kind === 'good' && found.header.ordinal === file.number;
      if (isOurs && found.header.segmentBytes === fileBytes) return found.header;
      const revived = isOurs
        ? { ...found.header, segmentBytes: Math.max(fileBytes, SEGMENT_HEADER_BYTES) }
        : found.kind === 'bad' && (await reviveHeader(this.#disk, fd, file.number));
      const page = await readPart(this.#disk, fd, { start: 0, end: revived === false ? fileBytes : BLOCK_BYTES });
      const why = isOurs
        ? `the segment should be ${found.header.segmentBytes} bytes long, and is ${fileBytes}`
        : 'the segment header does not check';
      const part = { path: file.path, position: 0, bytes: page.length, why, ...noRecords };
      if (revived === false) {
        await this.#note({ kind: 'segment', ...part, frames: 1 }, page);
        if (this.#aside !== undefined) {
          await this.#disk.unlink(file.path);
          await this.#disk.syncFolder(this.#folder);
        }
        return undefined;
      }
      await this.#note({ kind: 'header', ...part, frames: 0 }, page);
      await this.#overwrite(file.path, 0, encodeSegmentHeader(revived));
      return revived;
    } finally {
      await this.#disk.close(fd);
    }
  }

  async #mendFrames(segment: OpenedSegment, nextFirst: number | undefined): Promise<void> {
    const fd = await this.#disk.open(segment.file.path, 'read');
    try {
      const { header } = segment;
      const bounds = this.#boundsOf(header, nextFirst);
      const scanner = new FrameScanner(this.#disk, fd, header);
      while (scanner.sequence < bounds.stopAt) {
        const step = await scanner.peek();
        if (step.kind === 'frame' && scanner.sequence + step.frame.count <= bounds.stopAt) {
          scanner.pass(step.frame);
          continue;
        }
        const why = step.kind === 'bad' ? step.why : 'the frames end early, or reach into the next segment';
        const { position, sequence } = scanner;
        const behind = await scanner.findFrame(position + FRAME_HEADER_BYTES, (frame) =>
          isKept(frame, sequence, bounds),
        );
        this.#end = Math.max(sequence, bounds.mustReach);
        if (behind === undefined && sequence >= bounds.mustReach) return; // the end, or a group that nobody was told of
        const end = behind?.position ?? (await this.#usedEnd(fd, header, position));
        const endSequence = behind?.frame.firstSequence ?? bounds.mustReach;
        await this.#putGap({ fd, segment }, { position, end, sequence, endSequence, why });
        if (behind === undefined) return;
        scanner.jumpTo(behind);
      }
      this.#end = scanner.sequence;
    } finally {
      await this.#disk.close(fd);
    }
  }

  #boundsOf(header: SegmentHeader, nextFirst: number | undefined): Bounds {
    if (nextFirst !== undefined) return { stopAt: nextFirst, mustReach: nextFirst, isOpenEnd: false };
    const watermark = this.#watermark;
    if (watermark?.tail === 'refused' && watermark.ordinal === header.ordinal) {
      return { stopAt: watermark.sequence, mustReach: watermark.sequence, isOpenEnd: false };
    }
    return { stopAt: Number.MAX_SAFE_INTEGER, mustReach: this.#notedSequence, isOpenEnd: true };
  }

  async #putGap(place: { readonly fd: number; readonly segment: OpenedSegment }, gap: Gap): Promise<void> {
    const { fd, segment } = place;
    const { path } = segment.file;
    const { position, sequence, endSequence } = gap;
    const key = frameKeyOf(segment.header.nonce);
    const damaged = await readPart(this.#disk, fd, { start: position, end: gap.end });
    let frames = 0;
    for (let at = 0; at + FRAME_HEADER_BYTES <= damaged.length; at += 8) {
      if (looksLikeFrame(damaged, at, key)) frames += 1;
    }
    await this.#note(
      {
        kind: 'frames',
        path,
        position,
        bytes: damaged.length,
        why: gap.why,
        frames: Math.max(1, frames),
        firstSequence: sequence,
        endSequence,
        lostRecords: Math.max(0, endSequence - Math.max(sequence, this.#committed)),
      },
      damaged,
    );
    // As long as the damage, and at least a frame's head. Zeros, written over all of it: a medium may need that to heal.
    const bytes = Buffer.alloc(Math.max(FRAME_HEADER_BYTES, Math.ceil((gap.end - position) / 8) * 8));
    const payloadBytes = bytes.length - FRAME_HEADER_BYTES;
    const count = endSequence - sequence;
    sealGap(bytes, 0, { payloadBytes, count, firstSequence: sequence, groupFirstSequence: sequence }, key);
    await this.#makeRoom(segment, position + bytes.length);
    await this.#overwrite(path, position, bytes);
  }

  /** A segment that is full, or was cut short, is made longer for the gap. */
  async #makeRoom(segment: OpenedSegment, neededBytes: number): Promise<void> {
    if (neededBytes <= segment.header.segmentBytes) return;
    const segmentBytes = Math.ceil(neededBytes / BLOCK_BYTES) * BLOCK_BYTES;
    segment.header = { ...segment.header, segmentBytes };
    if (this.#aside === undefined) return;
    const fd = await this.#disk.open(segment.file.path, 'update_synced');
    try {
      await this.#disk.extend(fd, segmentBytes);
      await this.#disk.sync(fd);
      await writeAll(this.#disk, fd, encodeSegmentHeader(segment.header), 0);
    } finally {
      await this.#disk.close(fd);
    }
  }

  /** No segment is left: an empty one, which says where the sequence numbers go on. */
  async #beginAnew(lastOrdinal: number): Promise<void> {
    const endSequence = this.#notedSequence;
    this.#end = endSequence;
    if (endSequence === 0) return; // nothing was ever written, or nobody knows of it
    const path = segmentPath(this.#folder, lastOrdinal + 1);
    await this.#note(
      {
        kind: 'frames',
        path,
        position: SEGMENT_HEADER_BYTES,
        bytes: 0,
        why: 'all segments are missing',
        frames: 0,
        firstSequence: this.#committed,
        endSequence,
        lostRecords: endSequence - this.#committed,
      },
      Buffer.alloc(0),
    );
    await this.#aside?.makeSegment(path, { ordinal: lastOrdinal + 1, firstSequence: this.#committed, endSequence });
  }

  /** Where what was written ends: what the watermark says, else the last byte that is not zero. */
  async #usedEnd(fd: number, header: SegmentHeader, from: number): Promise<number> {
    const watermark = this.#watermark;
    if (watermark?.ordinal === header.ordinal && watermark.tail === 'open' && watermark.position > from) {
      return Math.min(watermark.position, header.segmentBytes);
    }
    const rest = await readPart(this.#disk, fd, { start: from, end: header.segmentBytes });
    let end = rest.length;
    while (end > 0 && rest[end - 1] === 0) end -= 1;
    return Math.min(from + Math.ceil(end / 8) * 8, header.segmentBytes);
  }

  async #note(damage: Damage, bytes: Buffer): Promise<void> {
    this.#found.push(damage);
    await this.#aside?.keep(damage, bytes);
  }

  async #overwrite(path: string, position: number, bytes: Buffer): Promise<void> {
    if (this.#aside === undefined) return;
    const fd = await this.#disk.open(path, 'update_synced');
    try {
      await writeAll(this.#disk, fd, bytes, position);
    } finally {
      await this.#disk.close(fd);
    }
  }
}

interface Gap {
  readonly position: number;
  readonly end: number;
  readonly sequence: number;
  readonly endSequence: number;
  readonly why: string;
}

const noRecords = { firstSequence: 0, endSequence: 0, lostRecords: 0 };
const NOTES = 'set-aside.ndjson';

/** Where damage is kept, and what is written down about it: one line of JSON each. */
class AsideFolder {
  readonly #settings: RepairSettings;
  readonly kept: SetAside[] = [];

  constructor(settings: RepairSettings) {
    this.#settings = settings;
  }

  async keep(damage: Damage, bytes: Buffer): Promise<void> {
    const { disk, asideFolder } = this.#settings;
    await disk.makeFolder(asideFolder);
    const keptAs = bytes.length === 0 ? undefined : await this.#copy(damage, bytes);
    const setAside: SetAside = { ...damage, keptAs };
    await this.#writeDown(setAside);
    await disk.syncFolder(asideFolder);
    this.kept.push(setAside);
  }

  /** A segment of one gap, or of nothing. */
  async makeSegment(path: string, place: SegmentPlace): Promise<void> {
    const { disk, folder, clock, ids } = this.#settings;
    const nonce = Buffer.from(ids.secret(16), 'base64url');
    const header = { ...place, segmentBytes: 2 * BLOCK_BYTES, createdAtMs: clock.nowMs(), nonce };
    const bytes = Buffer.alloc(header.segmentBytes);
    encodeSegmentHeader(header).copy(bytes);
    const { firstSequence, endSequence } = place;
    if (endSequence > firstSequence) {
      const frame = {
        payloadBytes: 0,
        count: endSequence - firstSequence,
        firstSequence,
        groupFirstSequence: firstSequence,
      };
      sealGap(bytes, SEGMENT_HEADER_BYTES, frame, frameKeyOf(nonce));
    }
    const fd = await disk.open(path, 'create_new');
    try {
      await writeAll(disk, fd, bytes, 0);
      await disk.sync(fd);
    } finally {
      await disk.close(fd);
    }
    await disk.syncFolder(folder);
  }

  async #copy(damage: Damage, bytes: Buffer): Promise<string> {
    const { disk, asideFolder } = this.#settings;
    const name = `${basename(damage.path)}.${damage.position}-${damage.position + bytes.length}`;
    for (let attempt = 1; ; attempt++) {
      const path = join(asideFolder, attempt === 1 ? name : `${name}.${attempt}`);
      let fd: number;
      try {
        fd = await disk.open(path, 'create_new');
      } catch (error) {
        if (errnoOf(error) === 'EEXIST') continue; // of a repair that was ended: perhaps not whole
        throw error;
      }
      try {
        await writeAll(disk, fd, bytes, 0);
        await disk.sync(fd);
      } finally {
        await disk.close(fd);
      }
      return path;
    }
  }

  async #writeDown(setAside: SetAside): Promise<void> {
    const { disk, asideFolder, clock } = this.#settings;
    const at = new Date(clock.nowMs()).toISOString();
    const line = Buffer.from(`${JSON.stringify({ at, ...setAside })}\n`);
    const fd = await disk.open(join(asideFolder, NOTES), 'create');
    try {
      await writeAll(disk, fd, line, await disk.sizeOf(fd));
      await disk.sync(fd);
    } finally {
      await disk.close(fd);
    }
  }
}

interface SegmentPlace {
  readonly ordinal: number;
  readonly firstSequence: number;
  readonly endSequence: number;
}

/** Whether a frame behind damage at `sequence` is one that was acknowledged. */
function isKept(frame: FoundFrame, sequence: number, { stopAt, mustReach, isOpenEnd }: Bounds): boolean {
  const end = frame.firstSequence + frame.count;
  if (frame.count === 0 || frame.firstSequence <= sequence || end > stopAt) return false;
  return !isOpenEnd || frame.groupFirstSequence > sequence || end <= mustReach;
}

/**
 * A header that does not check, made again from what does: the nonce, when the first frame holds with it, and that
 * frame's number. @returns false where that fails
 */
async function reviveHeader(disk: Disk, fd: number, ordinal: number): Promise<SegmentHeader | false> {
  const page = await readPart(disk, fd, { start: 0, end: SEGMENT_HEADER_BYTES });
  const segmentBytes = await disk.sizeOf(fd);
  if (page.length < SEGMENT_HEADER_BYTES) return false;
  const nonce = Uint8Array.from(page.subarray(48, 64));
  const header: SegmentHeader = { ordinal, firstSequence: 0, segmentBytes, createdAtMs: 0, nonce };
  const first = await new FrameScanner(disk, fd, header).findFrame(SEGMENT_HEADER_BYTES, () => true);
  if (first?.position !== SEGMENT_HEADER_BYTES) return false;
  return { ...header, firstSequence: first.frame.firstSequence };
}

async function readWatermark(disk: Disk, folder: string): Promise<Watermark | undefined> {
  const file = await WatermarkFile.openToRead(disk, folder);
  if (file === undefined) return undefined;
  try {
    return file.read();
  } finally {
    await file.close();
  }
}

async function readPart(disk: Disk, fd: number, part: { start: number; end: number }): Promise<Buffer> {
  const bytes = Buffer.alloc(Math.max(0, part.end - part.start));
  return bytes.subarray(0, await readAll(disk, fd, bytes, part.start));
}
