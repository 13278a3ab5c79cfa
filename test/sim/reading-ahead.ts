/** A disk on which a reader sees the watermark ahead of what is durable: as far as whole frames lie in the page cache. */
import { basename, dirname } from 'node:path';
import type { Disk } from '../../src/log/segments/disk.ts';
import {
  decodeSegmentHeader,
  decodeWatermark,
  doesCrcHold,
  encodeWatermark,
  FRAME_HEADER_BYTES,
  frameBytesFor,
  frameKeyOf,
  looksLikeFrame,
  readFrameHeader,
  SEGMENT_HEADER_BYTES,
  type Watermark,
} from '../../src/log/segments/layout.ts';
import { segmentPath } from '../../src/log/segments/segment-file.ts';
import { delegatingDisk } from '../harness/delegating-disk.ts';
import type { FaultyDisk } from '../harness/faulty-disk.ts';

export function readingAhead(disk: FaultyDisk): Disk {
  const folders = new Map<number, string>();
  return delegatingDisk(disk, {
    open: async (path, mode) => {
      const fd = await disk.open(path, mode);
      if (basename(path) === 'durable' && mode === 'read') folders.set(fd, dirname(path));
      return fd;
    },
    readNow: (fd, into, position) => {
      const read = disk.readNow(fd, into, position);
      const folder = folders.get(fd);
      const bytes = Buffer.from(into.buffer, into.byteOffset, into.byteLength);
      const watermark = folder === undefined ? undefined : decodeWatermark(bytes);
      if (folder !== undefined && watermark !== undefined) encodeWatermark(aheadOf(disk, folder, watermark), bytes);
      return read;
    },
  });
}

function aheadOf(disk: FaultyDisk, folder: string, watermark: Watermark): Watermark {
  const bytes = disk.contents(segmentPath(folder, watermark.ordinal));
  const found = bytes === undefined ? undefined : decodeSegmentHeader(bytes.subarray(0, SEGMENT_HEADER_BYTES));
  if (bytes === undefined || found?.kind !== 'good') return watermark;
  const key = frameKeyOf(found.header.nonce);
  let { position, sequence } = watermark;
  while (position + FRAME_HEADER_BYTES <= bytes.length && looksLikeFrame(bytes, position, key)) {
    const frame = readFrameHeader(bytes, position);
    const end = position + frameBytesFor(frame.payloadBytes);
    if (end > bytes.length || !doesCrcHold(bytes, position, key) || frame.firstSequence !== sequence) break;
    position = end;
    sequence += frame.count;
  }
  return { ...watermark, position, sequence };
}
