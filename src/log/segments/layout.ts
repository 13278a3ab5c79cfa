/**
 * The bytes of the segment log. All numbers are little endian; a u64 is two u32, low one first, and stays below 2^53.
 *
 * Guarantees
 *   G1  A frame of a recycled segment never checks: tag and CRC seed come from the segment's nonce.
 *   G2  Nor do bytes that a client put into an event: the nonce never leaves the file.
 *   G3  The CRC of a frame covers everything in it but the CRC itself, length included.
 * Order    A layout table, then the code that writes it, in the same order. layout.test.ts compares both with bytes.
 * Failure  A format version above ours is told apart from damage, so that a downgrade says what it is.
 * Source   docs/decisions/0003-segment-log.md
 */
import { crc32 } from 'node:zlib';

export interface Field {
  readonly name: string;
  readonly offset: number;
  readonly bytes: number;
}

export const FORMAT_VERSION = 1;

/** What is written at once, and where it begins, is a multiple of this: O_DIRECT asks for it, on every disk we know. */
export const BLOCK_BYTES = 4096;

/** A segment begins with a header of one page, then frames without gaps, each padded to 8 bytes. */
export const SEGMENT_HEADER_BYTES = 4096;
const SEGMENT_MAGIC = Buffer.from('HGSEGMNT', 'latin1');

export const segmentHeaderLayout: readonly Field[] = [
  { name: 'magic', offset: 0, bytes: 8 },
  { name: 'formatVersion', offset: 8, bytes: 2 },
  { name: 'reserved', offset: 10, bytes: 6 },
  { name: 'ordinal', offset: 16, bytes: 8 },
  { name: 'firstSequence', offset: 24, bytes: 8 },
  { name: 'segmentBytes', offset: 32, bytes: 8 },
  { name: 'createdAtMs', offset: 40, bytes: 8 },
  { name: 'nonce', offset: 48, bytes: 16 },
  { name: 'crc', offset: 64, bytes: 4 }, // over [0, 64)
];

export interface SegmentHeader {
  /** Grows by one with each segment that was tried; gaps are allowed. */
  readonly ordinal: number;
  /** Where this segment begins and the one before ends: frames there at or behind it were refused. */
  readonly firstSequence: number;
  /** Size of the file. */
  readonly segmentBytes: number;
  readonly createdAtMs: number;
  /** 16 random bytes. */
  readonly nonce: Uint8Array;
}

export type HeaderFinding =
  | { readonly kind: 'good'; readonly header: SegmentHeader }
  | { readonly kind: 'newer'; readonly version: number }
  | { readonly kind: 'bad' };

/** @returns a page. */
export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const page = Buffer.alloc(SEGMENT_HEADER_BYTES);
  SEGMENT_MAGIC.copy(page, 0);
  page.writeUInt16LE(FORMAT_VERSION, 8);
  writeU64(page, 16, header.ordinal);
  writeU64(page, 24, header.firstSequence);
  writeU64(page, 32, header.segmentBytes);
  writeU64(page, 40, header.createdAtMs);
  page.set(header.nonce, 48);
  page.writeUInt32LE(crc32(page.subarray(0, 64)), 64);
  return page;
}

export function decodeSegmentHeader(page: Buffer): HeaderFinding {
  if (page.length < 68 || !page.subarray(0, 8).equals(SEGMENT_MAGIC)) return { kind: 'bad' };
  const version = page.readUInt16LE(8);
  if (version > FORMAT_VERSION) return { kind: 'newer', version }; // before the CRC, which it may have moved
  if (version !== FORMAT_VERSION || page.readUInt32LE(64) !== crc32(page.subarray(0, 64))) return { kind: 'bad' };
  const header = {
    ordinal: readU64(page, 16),
    firstSequence: readU64(page, 24),
    segmentBytes: readU64(page, 32),
    createdAtMs: readU64(page, 40),
    nonce: Uint8Array.from(page.subarray(48, 64)),
  };
  return { kind: 'good', header };
}

/** What only the frames of one segment know. */
export interface FrameKey {
  readonly tag: number;
  readonly seed: number;
}

export function frameKeyOf(nonce: Uint8Array): FrameKey {
  // Never 0: a page of zeros must not look like a frame to the pre-check.
  const tag = Buffer.from(nonce).readUInt32LE(0);
  return { tag: tag === 0 ? 1 : tag, seed: crc32(nonce) };
}

/** One append is one frame: this header, then `RecordBatch.bytes`, then zeros up to the next multiple of 8. */
export const FRAME_HEADER_BYTES = 40;

export const frameLayout: readonly Field[] = [
  { name: 'crc', offset: 0, bytes: 4 }, // over [4, 40 + payloadBytes), seeded with the CRC of the nonce
  { name: 'payloadBytes', offset: 4, bytes: 4 },
  { name: 'tag', offset: 8, bytes: 4 }, // first bytes of the nonce
  { name: 'version', offset: 12, bytes: 2 },
  { name: 'flags', offset: 14, bytes: 2 }, // 1: a gap, see `sealGap`
  { name: 'count', offset: 16, bytes: 4 }, // records
  { name: 'reserved', offset: 20, bytes: 4 }, // 0
  { name: 'firstSequence', offset: 24, bytes: 8 },
  { name: 'groupFirstSequence', offset: 32, bytes: 8 },
];

const FLAG_GAP = 1;

export interface FrameHeader {
  readonly payloadBytes: number;
  readonly count: number;
  readonly firstSequence: number;
  readonly groupFirstSequence: number;
}

/** A frame that was found in a file. */
export interface FoundFrame extends FrameHeader {
  /** It holds no records: it stands where a repair set damaged frames aside, and takes their sequence numbers. */
  readonly isGap: boolean;
}

/** Bytes of the frame in the file, padding included. */
export function frameBytesFor(payloadBytes: number): number {
  return FRAME_HEADER_BYTES + Math.ceil(payloadBytes / 8) * 8;
}

/** Writes the header before the payload, which lies at `at + 40` already. Hot: allocates only a view for the CRC. */
export function sealFrame(bytes: Buffer, at: number, frame: FrameHeader, key: FrameKey): void {
  bytes.writeUInt32LE(frame.payloadBytes, at + 4);
  bytes.writeUInt32LE(key.tag, at + 8);
  bytes.writeUInt16LE(FORMAT_VERSION, at + 12);
  bytes.writeUInt16LE(0, at + 14);
  bytes.writeUInt32LE(frame.count, at + 16);
  bytes.writeUInt32LE(0, at + 20);
  writeU64(bytes, at + 24, frame.firstSequence);
  writeU64(bytes, at + 32, frame.groupFirstSequence);
  bytes.writeUInt32LE(crc32(bytes.subarray(at + 4, at + FRAME_HEADER_BYTES + frame.payloadBytes), key.seed), at);
}

/**
 * As `sealFrame`, for a frame without records: `count` sequence numbers whose records are gone, in the place of the bytes
 * that held them. So what lies behind keeps its numbers, and nobody who walks the frames needs to know of the damage.
 */
export function sealGap(bytes: Buffer, at: number, frame: FrameHeader, key: FrameKey): void {
  sealFrame(bytes, at, frame, key);
  bytes.writeUInt16LE(FLAG_GAP, at + 14);
  bytes.writeUInt32LE(crc32(bytes.subarray(at + 4, at + FRAME_HEADER_BYTES + frame.payloadBytes), key.seed), at);
}

/** Cheap: may the 40 bytes at `at` begin a frame of this segment? Its CRC is still to be checked. */
export function looksLikeFrame(bytes: Buffer, at: number, key: FrameKey): boolean {
  return bytes.readUInt32LE(at + 8) === key.tag && bytes.readUInt16LE(at + 12) === FORMAT_VERSION;
}

export function readFrameHeader(bytes: Buffer, at: number): FoundFrame {
  return {
    payloadBytes: bytes.readUInt32LE(at + 4),
    count: bytes.readUInt32LE(at + 16),
    firstSequence: readU64(bytes, at + 24),
    groupFirstSequence: readU64(bytes, at + 32),
    isGap: (bytes.readUInt16LE(at + 14) & FLAG_GAP) !== 0,
  };
}

/** The whole frame lies in `bytes` at `at`. */
export function doesCrcHold(bytes: Buffer, at: number, key: FrameKey): boolean {
  const end = at + FRAME_HEADER_BYTES + bytes.readUInt32LE(at + 4);
  return bytes.readUInt32LE(at) === crc32(bytes.subarray(at + 4, end), key.seed);
}

/** The file `durable`: how far readers may go. Rewritten in place after each group, without a sync. */
export const WATERMARK_BYTES = 40;
const WATERMARK_MAGIC = 0x574d_4748; // "HGMW"
const FLAG_REFUSED_BEHIND = 1;

export const watermarkLayout: readonly Field[] = [
  { name: 'magic', offset: 0, bytes: 4 },
  { name: 'flags', offset: 4, bytes: 4 }, // 1: what lies behind `position` in segment `ordinal` was refused
  { name: 'sequence', offset: 8, bytes: 8 },
  { name: 'ordinal', offset: 16, bytes: 8 },
  { name: 'position', offset: 24, bytes: 8 },
  { name: 'reserved', offset: 32, bytes: 4 },
  { name: 'crc', offset: 36, bytes: 4 }, // over [0, 36)
];

export interface Watermark {
  /** First sequence number that is not durable. */
  readonly sequence: number;
  /** The segment that holds the last durable frame, or will hold the next. */
  readonly ordinal: number;
  /** Where in that segment the durable frames end, bytes. */
  readonly position: number;
  /** Whether frames behind `position` were refused and must never be read. */
  readonly tail: 'open' | 'refused';
}

export function encodeWatermark(watermark: Watermark, into: Buffer): void {
  into.writeUInt32LE(WATERMARK_MAGIC, 0);
  into.writeUInt32LE(watermark.tail === 'refused' ? FLAG_REFUSED_BEHIND : 0, 4);
  writeU64(into, 8, watermark.sequence);
  writeU64(into, 16, watermark.ordinal);
  writeU64(into, 24, watermark.position);
  into.writeUInt32LE(0, 32);
  into.writeUInt32LE(crc32(into.subarray(0, 36)), 36);
}

/** @returns undefined when it does not check. */
export function decodeWatermark(bytes: Buffer): Watermark | undefined {
  if (bytes.readUInt32LE(0) !== WATERMARK_MAGIC) return undefined;
  if (bytes.readUInt32LE(36) !== crc32(bytes.subarray(0, 36))) return undefined;
  return {
    sequence: readU64(bytes, 8),
    ordinal: readU64(bytes, 16),
    position: readU64(bytes, 24),
    tail: (bytes.readUInt32LE(4) & FLAG_REFUSED_BEHIND) === 0 ? 'open' : 'refused',
  };
}

/** The file `committed`: two slots a page apart, written in turn, so that a torn write leaves the other. */
export const COMMITTED_SLOT_STRIDE = 4096;
export const COMMITTED_SLOT_BYTES = 32;
const COMMITTED_MAGIC = 0x4d43_4748; // "HGCM"

export const committedSlotLayout: readonly Field[] = [
  { name: 'magic', offset: 0, bytes: 4 },
  { name: 'reserved', offset: 4, bytes: 4 },
  { name: 'generation', offset: 8, bytes: 8 }, // the higher one counts
  { name: 'sequence', offset: 16, bytes: 8 },
  { name: 'reserved2', offset: 24, bytes: 4 },
  { name: 'crc', offset: 28, bytes: 4 }, // over [0, 28)
];

export interface CommittedSlot {
  readonly generation: number;
  readonly sequence: number;
}

export function encodeCommittedSlot(slot: CommittedSlot): Buffer {
  const bytes = Buffer.alloc(COMMITTED_SLOT_BYTES);
  bytes.writeUInt32LE(COMMITTED_MAGIC, 0);
  writeU64(bytes, 8, slot.generation);
  writeU64(bytes, 16, slot.sequence);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 28)), 28);
  return bytes;
}

/** @returns undefined when it does not check. */
export function decodeCommittedSlot(bytes: Buffer): CommittedSlot | undefined {
  if (bytes.length < COMMITTED_SLOT_BYTES || bytes.readUInt32LE(0) !== COMMITTED_MAGIC) return undefined;
  if (bytes.readUInt32LE(28) !== crc32(bytes.subarray(0, 28))) return undefined;
  return { generation: readU64(bytes, 8), sequence: readU64(bytes, 16) };
}

function writeU64(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32LE(value >>> 0, at);
  bytes.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}

function readU64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 4) * 0x1_0000_0000 + bytes.readUInt32LE(at);
}
