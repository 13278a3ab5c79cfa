import { describe, expect, it } from 'vitest';
import { largestWindow } from './zstd-frames.ts';

const MAGIC = [0x28, 0xb5, 0x2f, 0xfd];
const LAST_RAW_A = [0x09, 0x00, 0x00, 0x61]; // the last block, stored, one byte
const KIB = 1024;

describe('the window that zstd frames ask for (RFC 8878 3.1)', () => {
  it.each<[string, readonly number[], number | undefined]>([
    ['a window descriptor', [...MAGIC, 0x00, 0x38, ...LAST_RAW_A], 128 * KIB],
    ['one with a mantissa', [...MAGIC, 0x00, 0x3f, ...LAST_RAW_A], (128 + 7 * 16) * KIB],
    ['the largest', [...MAGIC, 0x00, 0xff, ...LAST_RAW_A], 2 ** 41 + 7 * 2 ** 38],
    ['a single segment of one byte', [...MAGIC, 0x20, 0x01, ...LAST_RAW_A], 1],
    ['a single segment of two bytes', [...MAGIC, 0x60, 0x01, 0x00, ...LAST_RAW_A], 257],
    ['a single segment of four bytes', [...MAGIC, 0xa0, 0x00, 0x00, 0x10, 0x00, ...LAST_RAW_A], 1 << 20],
    ['a single segment of eight bytes', [...MAGIC, 0xe0, 0, 0, 0, 0, 1, 0, 0, 0, ...LAST_RAW_A], 2 ** 32],
    ['a size beside the window', [...MAGIC, 0x40, 0x38, 0x01, 0x00, ...LAST_RAW_A], 128 * KIB],
    ['a dictionary id', [...MAGIC, 0x03, 0x38, 1, 2, 3, 4, ...LAST_RAW_A], 128 * KIB],
    ['a checksum', [...MAGIC, 0x04, 0x38, ...LAST_RAW_A, 1, 2, 3, 4], 128 * KIB],
    ['a run of one byte', [...MAGIC, 0x00, 0x38, 0x03, 0x00, 0x10, 0x61], 128 * KIB],
    ['two frames: the larger', [...MAGIC, 0, 0x38, ...LAST_RAW_A, ...MAGIC, 0, 0x50, ...LAST_RAW_A], 1 << 20],
    ['a skippable frame alone', [0x5f, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2], 0],
    [
      'a skippable frame before another',
      [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0, ...MAGIC, 0, 0x38, ...LAST_RAW_A],
      128 * KIB,
    ],
    ['nothing', [], undefined],
    ['another magic', [1, 2, 3, 4, 5, 6, 7, 8, 9], undefined],
    ['a header that is cut short', [...MAGIC, 0x00, 0x38], undefined],
    ['a block that is cut short', [...MAGIC, 0x00, 0x38, 0x11, 0x00, 0x00, 0x61], undefined],
    ['no last block', [...MAGIC, 0x00, 0x38, 0x08, 0x00, 0x00, 0x61], undefined],
    ['a reserved block', [...MAGIC, 0x00, 0x38, 0x0f, 0x00, 0x00, 0x61], undefined],
    ['a checksum that is cut short', [...MAGIC, 0x04, 0x38, ...LAST_RAW_A, 1, 2], undefined],
    ['bytes behind the last frame', [...MAGIC, 0x00, 0x38, ...LAST_RAW_A, 1], undefined],
    ['a skippable frame that is cut short', [0x50, 0x2a, 0x4d, 0x18, 9, 0, 0, 0, 1], undefined],
  ])('%s', (_name, bytes, expected) => {
    expect(largestWindow(Buffer.from(bytes))).toBe(expected);
  });
});
