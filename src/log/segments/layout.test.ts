import { describe, expect, it } from 'vitest';
import * as layout from './layout.ts';

const nonce = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
const header = { ordinal: 3, firstSequence: 2 ** 40 + 5, segmentBytes: 1 << 20, createdAtMs: 1_764_000_000_000, nonce };

/** The number in a field of the table; 16 bytes as hex. */
function field(fields: readonly layout.Field[], bytes: Buffer, name: string): number | bigint | string {
  const found = fields.find((entry) => entry.name === name);
  if (found === undefined) throw new Error(`no field ${name}`);
  if (found.bytes === 2) return bytes.readUInt16LE(found.offset);
  if (found.bytes === 4) return bytes.readUInt32LE(found.offset);
  if (found.bytes === 8) return bytes.readBigUInt64LE(found.offset);
  return bytes.subarray(found.offset, found.offset + found.bytes).toString('hex');
}

describe('layout tables', () => {
  it.each([
    ['segment header', layout.segmentHeaderLayout, 68],
    ['frame', layout.frameLayout, layout.FRAME_HEADER_BYTES],
    ['watermark', layout.watermarkLayout, layout.WATERMARK_BYTES],
    ['committed slot', layout.committedSlotLayout, layout.COMMITTED_SLOT_BYTES],
  ])('of the %s cover all of its bytes, in order', (_, fields, totalBytes) => {
    let next = 0;
    for (const entry of fields) {
      expect(entry.offset).toBe(next);
      next += entry.bytes;
    }
    expect(next).toBe(totalBytes);
  });

  it('of the segment header say where the encoder puts things', () => {
    const page = layout.encodeSegmentHeader(header);
    expect(page).toHaveLength(4096);
    expect(page.toString('latin1', 0, 8)).toBe('HGSEGMNT');
    expect(field(layout.segmentHeaderLayout, page, 'formatVersion')).toBe(1);
    expect(field(layout.segmentHeaderLayout, page, 'ordinal')).toBe(3n);
    expect(field(layout.segmentHeaderLayout, page, 'firstSequence')).toBe(2n ** 40n + 5n);
    expect(field(layout.segmentHeaderLayout, page, 'segmentBytes')).toBe(1n << 20n);
    expect(field(layout.segmentHeaderLayout, page, 'createdAtMs')).toBe(1_764_000_000_000n);
    expect(field(layout.segmentHeaderLayout, page, 'nonce')).toBe('0102030405060708090a0b0c0d0e0f10');
    expect(layout.decodeSegmentHeader(page)).toEqual({ kind: 'good', header });
  });

  it('of a frame say where the encoder puts things', () => {
    const bytes = Buffer.alloc(layout.frameBytesFor(3));
    bytes.write('abc', layout.FRAME_HEADER_BYTES);
    const key = layout.frameKeyOf(nonce);
    const frame = { payloadBytes: 3, count: 2, firstSequence: 2 ** 33, groupFirstSequence: 2 ** 33 - 1 };
    layout.sealFrame(bytes, 0, frame, key);
    expect(bytes.subarray(4).toString('hex')).toBe(
      '03000000' +
        '01020304' +
        '0100' +
        '0000' +
        '02000000' +
        '00000000' +
        '0000000002000000' +
        'ffffffff01000000' +
        '6162630000000000',
    );
    expect(field(layout.frameLayout, bytes, 'tag')).toBe(key.tag);
    expect(field(layout.frameLayout, bytes, 'firstSequence')).toBe(2n ** 33n);
    expect(layout.looksLikeFrame(bytes, 0, key)).toBe(true);
    expect(layout.doesCrcHold(bytes, 0, key)).toBe(true);
    expect(layout.readFrameHeader(bytes, 0)).toEqual({ ...frame, isGap: false });
  });

  it('of a gap differ from a frame in one flag and the checksum', () => {
    const key = layout.frameKeyOf(nonce);
    const frame = { payloadBytes: 8, count: 2, firstSequence: 5, groupFirstSequence: 5 };
    const plain = Buffer.alloc(layout.frameBytesFor(8));
    const gap = Buffer.alloc(layout.frameBytesFor(8));
    layout.sealFrame(plain, 0, frame, key);
    layout.sealGap(gap, 0, frame, key);
    expect([gap.readUInt16LE(14), plain.readUInt16LE(14)]).toEqual([1, 0]);
    expect(layout.doesCrcHold(gap, 0, key)).toBe(true);
    expect(layout.readFrameHeader(gap, 0)).toEqual({ ...frame, isGap: true });
    gap.writeUInt16LE(0, 14);
    expect(gap.subarray(4)).toEqual(plain.subarray(4));
  });

  it('of watermark and committed slot say where the encoder puts things', () => {
    const mark = { sequence: 7, ordinal: 2, position: 4136, tail: 'refused' } as const;
    const bytes = Buffer.alloc(layout.WATERMARK_BYTES);
    layout.encodeWatermark(mark, bytes);
    expect(
      ['flags', 'sequence', 'ordinal', 'position'].map((name) => field(layout.watermarkLayout, bytes, name)),
    ).toEqual([1, 7n, 2n, 4136n]);
    expect(layout.decodeWatermark(bytes)).toEqual(mark);
    const slot = layout.encodeCommittedSlot({ generation: 9, sequence: 8 });
    expect(['generation', 'sequence'].map((name) => field(layout.committedSlotLayout, slot, name))).toEqual([9n, 8n]);
    expect(layout.decodeCommittedSlot(slot)).toEqual({ generation: 9, sequence: 8 });
  });
});

describe('checks', () => {
  it('notice each single flipped bit of a frame and of a header', () => {
    const key = layout.frameKeyOf(nonce);
    const bytes = Buffer.alloc(layout.frameBytesFor(8) + 64);
    layout.sealFrame(bytes, 0, { payloadBytes: 8, count: 1, firstSequence: 5, groupFirstSequence: 5 }, key);
    for (let bit = 0; bit < (layout.FRAME_HEADER_BYTES + 8) * 8; bit++) {
      bytes.writeUInt8(bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      const fits = layout.readFrameHeader(bytes, 0).payloadBytes <= 64;
      expect(fits && layout.looksLikeFrame(bytes, 0, key) && layout.doesCrcHold(bytes, 0, key), `bit ${bit}`).toBe(
        false,
      );
      bytes.writeUInt8(bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    }
    const page = layout.encodeSegmentHeader(header);
    for (let bit = 0; bit < 68 * 8; bit++) {
      page.writeUInt8(page.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(layout.decodeSegmentHeader(page).kind, `bit ${bit}`).not.toBe('good');
      page.writeUInt8(page.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
    }
  });

  it('refuse a frame of the segment that the file was before', () => {
    const bytes = Buffer.alloc(layout.frameBytesFor(8));
    layout.sealFrame(
      bytes,
      0,
      { payloadBytes: 8, count: 1, firstSequence: 5, groupFirstSequence: 5 },
      layout.frameKeyOf(nonce),
    );
    const later = layout.frameKeyOf(Uint8Array.from(nonce, (byte) => byte ^ 0xff));
    expect(layout.looksLikeFrame(bytes, 0, later)).toBe(false);
    expect(layout.doesCrcHold(bytes, 0, later)).toBe(false);
  });

  it('tell a later format from damage', () => {
    const page = layout.encodeSegmentHeader(header);
    page.writeUInt16LE(2, 8);
    expect(layout.decodeSegmentHeader(page)).toEqual({ kind: 'newer', version: 2 });
  });
});
