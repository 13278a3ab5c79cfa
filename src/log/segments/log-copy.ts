/**
 * Copies what the consumer still needs of each stream, while its writer goes on.
 *
 * Guarantees
 *   G1  What was durable when it began is in the copy, or was committed before.
 *   G2  The copy is a log of its own: it checks, and goes on at the same sequence number. Recovery runs over it.
 * Needs    Nothing is committed meanwhile; so no segment that is copied is let go of, save an empty or just finished one,
 *          which is noticed (it loses its name before its bytes change) and the stream is copied again.
 * Bounds   One chunk in memory. The last segment is cut behind its last durable frame.
 */
import { constants } from 'node:fs';
import { copyFile, mkdir, open, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { StreamId } from '../log.ts';
import { readCommitted } from './committed-offset.ts';
import { errnoOf, nodeDisk } from './disk.ts';
import {
  BLOCK_BYTES,
  COMMITTED_SLOT_STRIDE,
  decodeSegmentHeader,
  encodeCommittedSlot,
  encodeSegmentHeader,
  encodeWatermark,
  SEGMENT_HEADER_BYTES,
  WATERMARK_BYTES,
  type SegmentHeader,
  type Watermark,
} from './layout.ts';
import { damagedAt, recoverStream } from './recovery.ts';
import { listStreamFiles, openIfThere, readSegmentHeader } from './segment-file.ts';
import { listStreams } from './stream-folders.ts';
import { WatermarkFile } from './watermark.ts';

const MAX_TRIES = 20;
const CHUNK_BYTES = 1 << 20;

export interface StreamCopy {
  readonly stream: StreamId;
  /** First record that the consumer has not committed. */
  readonly committed: number;
  /** First sequence number behind the copy. */
  readonly end: number;
}

interface StreamToCopy {
  /** Folders. */
  readonly from: string;
  readonly to: string;
  readonly stream: StreamId;
  readonly signal: AbortSignal;
}

interface Source {
  readonly path: string;
  readonly header: SegmentHeader;
}

/** @param to made; must not exist. @throws LogDamaged, or what the disk says */
export async function copyLog(from: string, to: string, signal: AbortSignal): Promise<StreamCopy[]> {
  await mkdir(to, { mode: 0o700 });
  const copies: StreamCopy[] = [];
  for (const stream of await listStreams(nodeDisk, from)) {
    for (let attempt = 1; ; attempt++) {
      const copy = await tryCopyStream({ from: join(from, stream), to: join(to, stream), stream, signal });
      if (copy === 'has_nothing') break;
      if (copy !== 'overtaken') {
        copies.push(copy);
        break;
      }
      if (attempt === MAX_TRIES)
        throw damagedAt(join(from, stream), 0, 'its segments change faster than they are copied');
    }
  }
  return copies;
}

async function tryCopyStream({
  from,
  to,
  stream,
  signal,
}: StreamToCopy): Promise<StreamCopy | 'overtaken' | 'has_nothing'> {
  const read = await readWatermark(from);
  if (read === undefined) return 'has_nothing'; // its writer has only begun to make it
  const noted = await readCommitted(nodeDisk, from);
  const segments = await sources(from);
  if (segments.length === 0) return read.sequence === 0 ? 'has_nothing' : 'overtaken';
  const mark = endIn(segments, read);
  const committed = Math.max(noted, segments[0]?.header.firstSequence ?? 0);
  const upTo = segments.filter(({ header }) => header.ordinal <= mark.ordinal);
  if (upTo.at(-1)?.header.ordinal !== mark.ordinal) return 'overtaken';
  const wanted = upTo.filter((_, index) => {
    const next = upTo[index + 1];
    return next === undefined || next.header.firstSequence > committed;
  });
  await rm(to, { recursive: true, force: true });
  await mkdir(to, { mode: 0o700 });
  for (const source of wanted) {
    signal.throwIfAborted();
    const isLast = source.header.ordinal === mark.ordinal;
    const target = join(to, basename(source.path));
    const isCopied = isLast ? await copyLast(source, target, mark.position) : await copyWhole(source, target);
    if (!isCopied) return 'overtaken';
  }
  await writeNotes(to, { committed, mark });
  const found = await recoverStream(nodeDisk, to);
  if (found.endSequence !== mark.sequence) {
    throw damagedAt(from, 0, `the copy ends at record ${found.endSequence}, and ${mark.sequence} were durable`);
  }
  return { stream, committed, end: mark.sequence };
}

/** Walks each stream of a copy, to its end. @throws LogDamaged */
export async function checkLogCopy(dir: string): Promise<StreamCopy[]> {
  const found: StreamCopy[] = [];
  for (const stream of await listStreams(nodeDisk, dir)) {
    const { segments, committed, endSequence } = await recoverStream(nodeDisk, join(dir, stream));
    found.push({ stream, committed: Math.max(committed, segments[0]?.firstSequence ?? 0), end: endSequence });
  }
  return found;
}

/** A segment that has just begun is not in the watermark yet, and the one before it may be gone already. */
function endIn([oldest]: readonly Source[], mark: Watermark): Watermark {
  if (oldest === undefined || oldest.header.ordinal <= mark.ordinal || oldest.header.firstSequence !== mark.sequence) {
    return mark;
  }
  return { ...mark, ordinal: oldest.header.ordinal, position: SEGMENT_HEADER_BYTES };
}

/** Undefined: there is none yet, or it is torn. */
export async function readWatermark(folder: string): Promise<Watermark | undefined> {
  const file = await WatermarkFile.openToRead(nodeDisk, folder);
  if (file === undefined) return undefined;
  try {
    for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
      const mark = file.read();
      if (mark !== undefined) return mark; // else caught while it was written
    }
    return undefined;
  } finally {
    await file.close();
  }
}

/** By ordinal; a file that its writer lets go of meanwhile is left out. */
async function sources(folder: string): Promise<Source[]> {
  const found: Source[] = [];
  for (const { path, number } of (await listStreamFiles(nodeDisk, folder)).segments) {
    const fd = await openIfThere(nodeDisk, path, 'read');
    if (fd === undefined) continue;
    try {
      const finding = await readSegmentHeader(nodeDisk, fd);
      if (finding.kind === 'good' && finding.header.ordinal === number) found.push({ path, header: finding.header });
    } finally {
      await nodeDisk.close(fd);
    }
  }
  return found;
}

/** @returns false when the file was let go of meanwhile: then its bytes may be another's */
async function copyWhole(source: Source, target: string): Promise<boolean> {
  try {
    await copyFile(source.path, target, constants.COPYFILE_FICLONE);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
  return isStill(source);
}

/** Up to `position`, with a header that says so: the rest of the file is zeros, or not durable. */
async function copyLast(source: Source, target: string, position: number): Promise<boolean> {
  const endBytes = Math.ceil(position / BLOCK_BYTES) * BLOCK_BYTES;
  const from = await open(source.path, 'r').catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (from === undefined) return false;
  try {
    const into = await open(target, 'w', 0o600);
    try {
      await into.truncate(endBytes);
      await into.write(encodeSegmentHeader({ ...source.header, segmentBytes: endBytes }), 0, SEGMENT_HEADER_BYTES, 0);
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      for (let at = SEGMENT_HEADER_BYTES; at < position;) {
        const { bytesRead } = await from.read(chunk, 0, Math.min(CHUNK_BYTES, position - at), at);
        if (bytesRead === 0) return false;
        await into.write(chunk, 0, bytesRead, at);
        at += bytesRead;
      }
    } finally {
      await into.close();
    }
  } finally {
    await from.close();
  }
  return isStill(source);
}

/** Whether the file still has its name and header: it loses the name before anything in it changes. */
async function isStill({ path, header }: Source): Promise<boolean> {
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined) return false;
  try {
    const page = Buffer.alloc(SEGMENT_HEADER_BYTES);
    await file.read(page, 0, SEGMENT_HEADER_BYTES, 0);
    const finding = decodeSegmentHeader(page);
    const [byName, byHandle] = [await stat(path).catch(() => undefined), await file.stat()];
    return (
      finding.kind === 'good' &&
      Buffer.from(finding.header.nonce).equals(header.nonce) &&
      byName !== undefined &&
      byName.ino === byHandle.ino
    );
  } finally {
    await file.close();
  }
}

/** What readers and recovery need beside the segments. */
export async function writeNotes(
  folder: string,
  { committed, mark }: { committed: number; mark: Watermark },
): Promise<void> {
  const slots = Buffer.alloc(2 * COMMITTED_SLOT_STRIDE);
  encodeCommittedSlot({ generation: 1, sequence: committed }).copy(slots, COMMITTED_SLOT_STRIDE);
  await writeFile(join(folder, 'committed'), slots, { mode: 0o600 });
  const durable = Buffer.alloc(WATERMARK_BYTES);
  encodeWatermark({ ...mark, tail: 'open' }, durable);
  await writeFile(join(folder, 'durable'), durable, { mode: 0o600 });
  await writeFile(join(folder, 'lock'), '', { mode: 0o600 });
}
