/**
 * Lengthens a copied log by what the log that it was copied from has kept since.
 *
 * Guarantees
 *   G1  A record has the sequence number that it had, so that the store knows what it holds already.
 *   G2  A batch that is left out becomes a gap of as many sequence numbers, and none of its bytes is kept; behind the last
 *       batch that is kept the log ends.
 * Bounds   One segment in memory.
 * Failure  LogTooShort where records between the copy and what is kept are gone; LogDamaged as recovery has it.
 */
import { readFile, writeFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { StreamId } from '../log.ts';
import { nodeDisk } from './disk.ts';
import {
  BLOCK_BYTES,
  decodeSegmentHeader,
  doesCrcHold,
  encodeSegmentHeader,
  FRAME_HEADER_BYTES,
  frameBytesFor,
  frameKeyOf,
  looksLikeFrame,
  readFrameHeader,
  sealGap,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  type Watermark,
} from './layout.ts';
import { readWatermark, writeNotes } from './log-copy.ts';
import { damagedAt, recoverStream } from './recovery.ts';
import { listStreamFiles, segmentPath } from './segment-file.ts';
import { listStreams } from './stream-folders.ts';
import { tryStreamLock } from './stream-lock.ts';

/** The log has let go of records that the copy lacks. */
export class LogTooShort extends Error {
  override readonly name = 'LogTooShort';
}

export interface Replayed {
  /** Records that were added. */
  readonly records: number;
}

/**
 * @param keeps asked for each batch beyond the copy, with its bytes as they were appended
 * @throws LogTooShort, LogDamaged; Error when a server writes one of the streams
 */
export async function replayLog(from: string, to: string, keeps: (batch: Uint8Array) => boolean): Promise<Replayed> {
  let records = 0;
  for (const stream of await listStreams(nodeDisk, from)) {
    const folder = join(from, stream);
    const lock = await tryStreamLock(nodeDisk, folder, 'create');
    if (lock === undefined) throw new Error(`a server writes the log in ${from}; stop it first`);
    try {
      records += await replayStream({ from: folder, to: join(to, stream), stream, keeps });
    } finally {
      await lock.release();
    }
  }
  return { records };
}

interface StreamReplay {
  readonly from: string;
  readonly to: string;
  readonly stream: StreamId;
  readonly keeps: (batch: Uint8Array) => boolean;
}

/** A segment of the lengthened log, as it will be written. */
interface Lengthened {
  readonly header: SegmentHeader;
  /** Its frames up to `keptBytes` are kept. */
  readonly frames: Buffer;
  readonly keptBytes: number;
  readonly keptSequence: number;
}

async function replayStream({ from, to, stream, keeps }: StreamReplay): Promise<number> {
  const segments = await readableSegments(from);
  const [oldest] = segments;
  if (oldest === undefined) return 0;
  await mkdir(to, { recursive: true, mode: 0o700 });
  const before = await recoverStream(nodeDisk, to);
  const committed = before.committed;
  let at = before.endSequence;
  if (oldest.header.firstSequence > at) {
    throw new LogTooShort(
      `the log in ${from} begins at record ${oldest.header.firstSequence}, and the backup ends at record ${at} of ${stream}: ` +
        'what lies between is gone. Take a later backup; a longer log-retention keeps more',
    );
  }
  const end = await endOf(from);
  const last = before.segments.at(-1);
  let records = 0;
  /** Not written yet: the newest of which something is kept, and those behind it, which perhaps nothing follows. */
  let waiting: Lengthened[] = [];
  let newest: Lengthened | undefined;
  for (const [index, { path, header }] of segments.entries()) {
    const bound = segments[index + 1]?.header.firstSequence;
    if (bound !== undefined && bound <= at) continue;
    const bytes = await readFile(path);
    const kept = last?.ordinal === header.ordinal ? 'all_before' : 'none_before';
    const walk = walkSegment({ path, header, bytes, at, bound, end, keeps, kept });
    at = walk.nextSequence;
    records += walk.keptRecords;
    const lengthened = { header, frames: walk.frames, keptBytes: walk.keptBytes, keptSequence: walk.keptSequence };
    if (walk.keptRecords > 0) {
      for (const each of waiting) await writeSegment(to, each, each.frames.length);
      waiting = [];
      newest = lengthened;
    }
    waiting.push(lengthened);
  }
  if (newest === undefined) return 0;
  await writeSegment(to, newest, newest.keptBytes);
  const mark: Watermark = {
    sequence: newest.keptSequence,
    ordinal: newest.header.ordinal,
    position: SEGMENT_HEADER_BYTES + newest.keptBytes,
    tail: 'open',
  };
  await writeNotes(to, { committed, mark });
  const found = await recoverStream(nodeDisk, to);
  if (found.endSequence !== mark.sequence) {
    throw damagedAt(to, 0, `the replayed log ends at record ${found.endSequence} instead of ${mark.sequence}`);
  }
  return records;
}

async function readableSegments(folder: string): Promise<{ path: string; header: SegmentHeader }[]> {
  const found: { path: string; header: SegmentHeader }[] = [];
  for (const { path, number } of (await listStreamFiles(nodeDisk, folder)).segments) {
    const finding = decodeSegmentHeader((await readFile(path)).subarray(0, SEGMENT_HEADER_BYTES));
    if (finding.kind !== 'good' || finding.header.ordinal !== number) {
      throw damagedAt(path, 0, 'the segment header does not check');
    }
    found.push({ path, header: finding.header });
  }
  return found;
}

/** Where the frames end that were not refused, where the log says so; recovery judges the same way. */
async function endOf(folder: string): Promise<{ ordinal: number; sequence: number } | undefined> {
  const mark = await readWatermark(folder);
  return mark?.tail === 'refused' ? { ordinal: mark.ordinal, sequence: mark.sequence } : undefined;
}

interface Walk {
  readonly path: string;
  readonly header: SegmentHeader;
  readonly bytes: Buffer;
  /** First sequence number that the copy lacks. */
  readonly at: number;
  /** Where the next segment begins; undefined: this is the last. */
  readonly bound: number | undefined;
  readonly end: { readonly ordinal: number; readonly sequence: number } | undefined;
  readonly keeps: (batch: Uint8Array) => boolean;
  /** The copy has this segment as well: its frames before `at` go in again. */
  readonly kept: 'all_before' | 'none_before';
}

interface Walked {
  readonly frames: Buffer;
  readonly keptBytes: number;
  readonly keptSequence: number;
  readonly keptRecords: number;
  readonly nextSequence: number;
}

function walkSegment({ path, header, bytes, at, bound, end, keeps, kept }: Walk): Walked {
  const key = frameKeyOf(header.nonce);
  const stopAt = end?.ordinal === header.ordinal ? end.sequence : bound;
  const parts: Buffer[] = [];
  let usedBytes = 0;
  let keptBytes = 0;
  let keptSequence = header.firstSequence;
  let keptRecords = 0;
  let sequence = header.firstSequence;
  let position = SEGMENT_HEADER_BYTES;
  while (sequence < (stopAt ?? Number.MAX_SAFE_INTEGER)) {
    if (position + FRAME_HEADER_BYTES > bytes.length || !looksLikeFrame(bytes, position, key)) break;
    const frame = readFrameHeader(bytes, position);
    const frameBytes = frameBytesFor(frame.payloadBytes);
    if (position + frameBytes > bytes.length || frame.firstSequence !== sequence || !doesCrcHold(bytes, position, key))
      break;
    sequence += frame.count;
    const whole = bytes.subarray(position, position + frameBytes);
    position += frameBytes;
    const isBefore = sequence <= at;
    if (isBefore && kept === 'none_before') continue;
    const payload = whole.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + frame.payloadBytes);
    const isKept = isBefore || frame.isGap || keeps(payload);
    if (isKept) parts.push(whole);
    else {
      const gap = Buffer.alloc(FRAME_HEADER_BYTES);
      sealGap(gap, 0, { ...frame, payloadBytes: 0 }, key);
      parts.push(gap);
    }
    usedBytes += isKept ? frameBytes : FRAME_HEADER_BYTES;
    if (!isKept || (frame.isGap && !isBefore)) continue;
    keptBytes = usedBytes;
    keptSequence = sequence;
    if (!isBefore) keptRecords += frame.count;
  }
  if (stopAt !== undefined && sequence !== stopAt) {
    throw damagedAt(path, 0, `records up to ${stopAt} should be here, and they end at ${sequence}`);
  }
  return { frames: Buffer.concat(parts), keptBytes, keptSequence, keptRecords, nextSequence: Math.max(at, sequence) };
}

/** @param usedBytes of the frames: all of them, since the next segment counts on their gaps, or those that are kept */
async function writeSegment(folder: string, { header, frames }: Lengthened, usedBytes: number): Promise<void> {
  const segmentBytes = Math.ceil((SEGMENT_HEADER_BYTES + usedBytes) / BLOCK_BYTES) * BLOCK_BYTES;
  const file = Buffer.alloc(segmentBytes);
  encodeSegmentHeader({ ...header, segmentBytes }).copy(file, 0);
  frames.copy(file, SEGMENT_HEADER_BYTES, 0, usedBytes);
  await writeFile(segmentPath(folder, header.ordinal), file, { mode: 0o600, flush: true });
}
