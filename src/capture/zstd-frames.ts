/**
 * Walks zstd frames (RFC 8878 3.1) by their headers alone, to learn before anything is decompressed how much memory they ask
 * for: a decoder may make a window as large as a header of a few bytes says.
 */
const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const RLE_BLOCK = 1;
const RESERVED_BLOCK = 3;
const DICTIONARY_BYTES = [0, 1, 2, 4] as const;

/** @returns the largest window of all frames, in bytes; undefined when they are cut short or no frames */
export function largestWindow(bytes: Buffer): number | undefined {
  let at = 0;
  let largest = 0;
  while (at < bytes.length) {
    if (at + 8 > bytes.length) return undefined;
    const magic = bytes.readUInt32LE(at);
    if ((magic & 0xfffffff0) === SKIPPABLE_MAGIC) {
      at += 8 + bytes.readUInt32LE(at + 4);
      continue;
    }
    if (magic !== FRAME_MAGIC) return undefined;
    const descriptor = bytes[at + 4] ?? 0;
    const isSingleSegment = (descriptor & 0x20) !== 0;
    const dictionaryBytes = DICTIONARY_BYTES[(descriptor & 3) as 0 | 1 | 2 | 3];
    const sizeFlag = descriptor >> 6;
    const sizeBytes = sizeFlag === 0 ? Number(isSingleSegment) : 1 << sizeFlag;
    const sizeAt = at + 5 + Number(!isSingleSegment) + dictionaryBytes;
    if (sizeAt + sizeBytes > bytes.length) return undefined;
    const window = isSingleSegment ? contentSize(bytes, sizeAt, sizeBytes) : windowOf(bytes[at + 5] ?? 0);
    largest = Math.max(largest, window);
    const end = blocksEnd(bytes, sizeAt + sizeBytes);
    if (end < 0) return undefined;
    at = end + ((descriptor & 4) === 0 ? 0 : 4);
  }
  return at === bytes.length && at > 0 ? largest : undefined;
}

/** @returns where the frame's last block ends; -1 when it is cut short */
function blocksEnd(bytes: Buffer, start: number): number {
  let at = start;
  for (;;) {
    if (at + 3 > bytes.length) return -1;
    const header = bytes.readUIntLE(at, 3);
    const type = (header >> 1) & 3;
    if (type === RESERVED_BLOCK) return -1;
    at += 3 + (type === RLE_BLOCK ? 1 : header >> 3);
    if (at > bytes.length) return -1;
    if ((header & 1) === 1) return at;
  }
}

function windowOf(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

function contentSize(bytes: Buffer, at: number, length: number): number {
  if (length === 8) return Number(bytes.readBigUInt64LE(at));
  return bytes.readUIntLE(at, length) + (length === 2 ? 256 : 0);
}
