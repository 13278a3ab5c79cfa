/**
 * Recovery finds where a stream ends after its writer died, by `kill -9` or by a power cut, and proves the rest whole.
 *
 * Guarantees
 *   G1  Every acknowledged record is kept, or recovery stops with LogDamaged: it never skips what does not check.
 *   G2  No refused record is kept: the next header, or the watermark, says where the good ones end.
 *   G3  What it keeps is on the medium before anybody is told: a group that reached the page cache alone, and of which
 *       nobody was told, is written again with O_DSYNC first. A reader that went past it could lose its place otherwise.
 * Bounds   Reads each segment that is not consumed once; one frame at a time in memory.
 * Order    take lock -> check all segments -> rewrite the last group if it was not acknowledged -> sync the watermark.
 * Failure  LogDamaged names file, byte and what to do. A disk error is thrown as it came.
 * Source   docs/decisions/0003-segment-log.md; the decisions are the table in recovery-cases.ts.
 */
import { passKillPoint } from '../../config/kill-point.ts';
import { LogDamaged } from '../log.ts';
import { readCommitted } from './committed-offset.ts';
import { readAll, writeAll, type Disk } from './disk.ts';
import { FrameScanner } from './frame-scanner.ts';
import { FORMAT_VERSION, SEGMENT_HEADER_BYTES, type SegmentHeader, type Watermark } from './layout.ts';
import { judgeSegment, type SegmentFindings } from './recovery-cases.ts';
import { listStreamFiles, readSegmentHeader, type NumberedFile } from './segment-file.ts';
import { WatermarkFile } from './watermark.ts';

export interface HeldSegment {
  readonly path: string;
  readonly ordinal: number;
  readonly firstSequence: number;
  readonly segmentBytes: number;
  /** When it began, so when the one before ended; wall clock. */
  readonly createdAtMs: number;
}

export interface RecoveredStream {
  /** By ordinal, ascending; consumed ones included. */
  readonly segments: readonly HeldSegment[];
  readonly spares: readonly NumberedFile[];
  /** First sequence number that is free. */
  readonly endSequence: number;
  readonly committed: number;
}

/** The log was written by a later release. */
export class LogFormatTooNew extends Error {
  override readonly name = 'LogFormatTooNew';
}

export function damagedAt(path: string, position: number, what: string): LogDamaged {
  return new LogDamaged(
    `${path}: byte ${position}: ${what}. Acknowledged records may be gone. Keep a copy of the folder, then run ` +
      '"hedgerow doctor --repair" to set the damaged part aside, or restore a backup.',
  );
}

interface Opened {
  readonly file: NumberedFile;
  readonly header: SegmentHeader;
}

/** The caller holds the stream's lock. */
export async function recoverStream(disk: Disk, folder: string): Promise<RecoveredStream> {
  const files = await listStreamFiles(disk, folder);
  const committed = await readCommitted(disk, folder);
  const watermarkFile = await WatermarkFile.create(disk, folder);
  try {
    const watermark = watermarkFile.read();
    const opened = await checkHeaders(disk, files.segments);
    const end = await checkFrames(disk, opened, { committed, watermark });
    if (end.tailToRewrite !== undefined) {
      await rewrite(disk, end.tailToRewrite);
      passKillPoint('start.tail_rewritten');
    }
    watermarkFile.note({ sequence: end.sequence, ordinal: end.ordinal, position: end.position, tail: end.tail });
    await watermarkFile.sync();
    await disk.syncFolder(folder);
    const segments = opened.map(({ file, header }) => ({
      path: file.path,
      ordinal: header.ordinal,
      firstSequence: header.firstSequence,
      segmentBytes: header.segmentBytes,
      createdAtMs: header.createdAtMs,
    }));
    return { segments, spares: files.spares, endSequence: end.sequence, committed };
  } finally {
    await watermarkFile.close();
  }
}

const fine = { header: 'good', place: 'middle', frames: 'exact', behind: 'nothing', noted: 'reached' } as const;

async function checkHeaders(disk: Disk, files: readonly NumberedFile[]): Promise<Opened[]> {
  const opened: Opened[] = [];
  for (const file of files) {
    const fd = await disk.open(file.path, 'read');
    try {
      const found = await readSegmentHeader(disk, fd);
      const fileBytes = await disk.sizeOf(fd);
      if (found.kind === 'newer') {
        act({ ...fine, header: 'newer' }, file.path, { position: 8, what: `format version ${found.version}` });
      }
      const isSound =
        found.kind === 'good' && found.header.ordinal === file.number && found.header.segmentBytes === fileBytes;
      if (!isSound)
        act({ ...fine, header: 'bad' }, file.path, { position: 0, what: 'the segment header does not check' });
      else opened.push({ file, header: found.header });
    } finally {
      await disk.close(fd);
    }
  }
  return opened;
}

/** Stops for what the table calls damage. */
function act(findings: SegmentFindings, path: string, at: { position: number; what: string }): 'keep' | 'skip' {
  const { then, why } = judgeSegment(findings);
  switch (then) {
    case 'keep':
    case 'skip':
      return then;
    case 'newer_format':
      throw new LogFormatTooNew(
        `${path} has ${at.what}; this release reads version ${FORMAT_VERSION}. Start the release that wrote it, or a ` +
          'later one. If no later release ever ran here, the file is damaged: restore a backup.',
      );
    case 'damaged':
      throw damagedAt(path, at.position, `${at.what} (${why})`);
  }
}

interface Noted {
  readonly committed: number;
  readonly watermark: Watermark | undefined;
}

interface StreamEnd extends Watermark {
  /** The last group, where nobody was told of it: see G3. */
  readonly tailToRewrite: { readonly path: string; readonly start: number; readonly end: number } | undefined;
}

async function checkFrames(disk: Disk, opened: readonly Opened[], noted: Noted): Promise<StreamEnd> {
  let end: StreamEnd | undefined;
  for (const [index, segment] of opened.entries()) {
    const next = opened[index + 1];
    const isConsumed = next !== undefined && next.header.firstSequence <= noted.committed;
    if (isConsumed && act({ ...fine, place: 'consumed' }, segment.file.path, { position: 0, what: '' }) === 'skip')
      continue;
    const fd = await disk.open(segment.file.path, 'read');
    try {
      if (next === undefined) end = await checkLast(disk, fd, segment, noted);
      else await checkMiddle(disk, fd, segment, next.header.firstSequence);
    } finally {
      await disk.close(fd);
    }
  }
  if (end !== undefined) return end;
  const noteSequence = Math.max(noted.committed, noted.watermark?.sequence ?? 0);
  if (noteSequence > 0) {
    throw damagedAt('the stream', 0, `all segments are missing, though ${noteSequence} records were written`);
  }
  return { sequence: 0, ordinal: 0, position: SEGMENT_HEADER_BYTES, tail: 'open', tailToRewrite: undefined };
}

async function checkMiddle(disk: Disk, fd: number, segment: Opened, nextFirst: number): Promise<void> {
  const scanner = new FrameScanner(disk, fd, segment.header);
  const walk = await walkFrames(scanner, nextFirst);
  act({ ...fine, frames: compared(scanner.sequence, nextFirst) }, segment.file.path, {
    position: scanner.position,
    what: `${walk.why}; records up to ${nextFirst} should be here, and they end at ${scanner.sequence}`,
  });
}

async function checkLast(disk: Disk, fd: number, segment: Opened, noted: Noted): Promise<StreamEnd> {
  const { watermark, committed } = noted;
  const isTailRefused = watermark?.tail === 'refused' && watermark.ordinal === segment.header.ordinal;
  const stopAt = isTailRefused ? watermark.sequence : Number.MAX_SAFE_INTEGER;
  const scanner = new FrameScanner(disk, fd, segment.header);
  const walk = await walkFrames(scanner, stopAt);
  const frames = isTailRefused ? compared(scanner.sequence, stopAt) : 'exact';
  const later = isTailRefused ? undefined : await scanner.findLaterGroup();
  const notedSequence = Math.max(watermark?.sequence ?? 0, committed);
  const laterText = later === undefined ? '' : `; a later group lies at byte ${later}`;
  act(
    {
      header: 'good',
      place: 'last',
      frames,
      behind: later === undefined ? 'nothing' : 'later_group',
      noted: notedSequence <= scanner.sequence ? 'reached' : 'missing',
    },
    segment.file.path,
    {
      position: scanner.position,
      what: `${walk.why}; records end at ${scanner.sequence}, ${notedSequence} were durable${laterText}`,
    },
  );
  const isAcknowledged = watermark !== undefined && watermark.sequence === scanner.sequence;
  return {
    sequence: scanner.sequence,
    ordinal: segment.header.ordinal,
    position: scanner.position,
    tail: isTailRefused ? 'refused' : 'open',
    tailToRewrite:
      isAcknowledged || walk.groupStart === scanner.position
        ? undefined
        : { path: segment.file.path, start: walk.groupStart, end: scanner.position },
  };
}

/** Walks until `stopAt` or the first frame that does not check. */
async function walkFrames(scanner: FrameScanner, stopAt: number): Promise<{ why: string; groupStart: number }> {
  let groupStart = scanner.position;
  let group = -1;
  while (scanner.sequence < stopAt) {
    const step = await scanner.peek();
    if (step.kind === 'end') return { why: 'the segment is full', groupStart };
    if (step.kind === 'bad') return { why: step.why, groupStart };
    if (step.frame.groupFirstSequence !== group) {
      group = step.frame.groupFirstSequence;
      groupStart = scanner.position;
    }
    scanner.pass(step.frame);
  }
  return { why: 'the frames end', groupStart };
}

function compared(sequence: number, expected: number): SegmentFindings['frames'] {
  if (sequence === expected) return 'exact';
  return sequence < expected ? 'short' : 'straddling';
}

async function rewrite(disk: Disk, tail: { path: string; start: number; end: number }): Promise<void> {
  const fd = await disk.open(tail.path, 'update_synced');
  try {
    const bytes = Buffer.allocUnsafe(tail.end - tail.start);
    await readAll(disk, fd, bytes, tail.start);
    await writeAll(disk, fd, bytes, tail.start);
  } finally {
    await disk.close(fd);
  }
}
