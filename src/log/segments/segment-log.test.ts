import { describe, expect, it } from 'vitest';
import { FaultyDisk } from '../../../test/harness/faulty-disk.ts';
import { SeededRandom } from '../../../test/harness/random.ts';
import { systemClock } from '../../event/clock.ts';
import { RandomIds } from '../../event/id-source.ts';
import { asStreamId, LogDamaged, type RecordBatch } from '../log.ts';
import { FRAME_HEADER_BYTES, frameBytesFor, SEGMENT_HEADER_BYTES } from './layout.ts';
import { LogFormatTooNew } from './recovery.ts';
import { SegmentLogReader } from './segment-log-reader.ts';
import { SegmentLogWriter } from './segment-log-writer.ts';
import { DEFAULT_RESERVE_BYTES } from './writer-settings.ts';

const stream = asStreamId('s');
const FIRST = '/log/s/segment-0000000000000001.hgs';
const SEGMENT_BYTES = 64 * 1024;

function batchOf(text: string): RecordBatch {
  const bytes = Buffer.alloc(4 + text.length);
  bytes.writeUInt32LE(text.length);
  bytes.write(text, 4, 'latin1');
  return { count: 1, bytes };
}

function openWriter(disk: FaultyDisk, maxQueueBytes = 1 << 20): Promise<SegmentLogWriter> {
  const settings = { dir: '/log', stream, clock: systemClock, ids: new RandomIds(), segmentBytes: SEGMENT_BYTES };
  return SegmentLogWriter.open({ ...settings, disk, maxQueueBytes, retryMs: 1 });
}

async function texts(disk: FaultyDisk): Promise<string[]> {
  const reader = await SegmentLogReader.open({ dir: '/log', disk });
  const found: string[] = [];
  let from = await reader.committed(stream);
  for (;;) {
    const read = await reader.read(from, 1 << 20);
    if (read === undefined) break;
    const bytes = Buffer.from(read.bytes);
    for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32LE(at)) {
      found.push(bytes.toString('latin1', at + 4, at + 4 + bytes.readUInt32LE(at)));
    }
    from = { stream, sequence: read.nextSequence };
  }
  await reader.close();
  return found;
}

/** Three groups of one record each, then the machine is switched off. */
async function diskWith(...records: readonly string[]): Promise<FaultyDisk> {
  const disk = new FaultyDisk(new SeededRandom(1));
  const writer = await openWriter(disk);
  for (const record of records) expect((await writer.append(batchOf(record))).kind).toBe('receipt');
  await writer.close();
  return disk.reboot('kill');
}

function flip(disk: FaultyDisk, path: string, at: number): void {
  const bytes = disk.contents(path);
  if (bytes === undefined) throw new Error(`no ${path}`);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
}

const frameAt = (index: number): number => SEGMENT_HEADER_BYTES + index * frameBytesFor(4 + 1);

describe('damage', () => {
  it('in a group that a later one follows stops the start and names file and byte', async () => {
    const disk = await diskWith('a', 'b', 'c');
    flip(disk, FIRST, frameAt(1) + FRAME_HEADER_BYTES);
    await expect(openWriter(disk)).rejects.toThrow(LogDamaged);
    await expect(openWriter(disk)).rejects.toThrow(
      `${FIRST}: byte ${frameAt(1)}: the checksum of the frame does not hold`,
    );
    await expect(openWriter(disk)).rejects.toThrow('hedgerow doctor --repair');
  });

  it('in the last group, which the watermark knows, stops the start', async () => {
    const disk = await diskWith('a', 'b', 'c');
    flip(disk, FIRST, frameAt(2) + FRAME_HEADER_BYTES);
    await expect(openWriter(disk)).rejects.toThrow('records end at 2, 3 were durable');
  });

  it('in a header stops the start', async () => {
    const disk = await diskWith('a');
    flip(disk, FIRST, 17);
    await expect(openWriter(disk)).rejects.toThrow(`${FIRST}: byte 0: the segment header does not check`);
  });

  it('met while reading throws, and is not skipped', async () => {
    const disk = new FaultyDisk(new SeededRandom(1));
    const writer = await openWriter(disk);
    for (const record of ['a', 'b', 'c']) await writer.append(batchOf(record));
    flip(disk, FIRST, frameAt(1) + FRAME_HEADER_BYTES);
    const reader = await SegmentLogReader.open({ dir: '/log', disk });
    expect((await reader.read({ stream, sequence: 0 }, 1))?.count).toBe(1);
    await expect(reader.read({ stream, sequence: 1 }, 1)).rejects.toThrow(LogDamaged);
    await writer.close();
    await reader.close();
  });

  it('is told apart from a later format, which names the version and what to do', async () => {
    const disk = await diskWith('a');
    disk.contents(FIRST)?.writeUInt16LE(9, 8);
    await expect(openWriter(disk)).rejects.toThrow(LogFormatTooNew);
    await expect(openWriter(disk)).rejects.toThrow('format version 9; this release reads version 1');
  });
});

describe('a torn tail', () => {
  it('that nobody was told of is dropped, and its numbers are used again', async () => {
    const disk = await diskWith('a', 'b', 'c');
    flip(disk, FIRST, frameAt(2) + FRAME_HEADER_BYTES);
    disk.contents('/log/s/durable')?.fill(0); // as after a power cut
    const writer = await openWriter(disk);
    expect(await writer.append(batchOf('d'))).toMatchObject({ kind: 'receipt', firstSequence: 2 });
    await writer.close();
    expect(await texts(disk)).toEqual(['a', 'b', 'd']);
  });
});

describe('a failing disk', () => {
  it('refuses the group, never reads it back, and goes on in a new segment', async () => {
    const disk = new FaultyDisk(new SeededRandom(3));
    const writer = await openWriter(disk);
    expect((await writer.append(batchOf('a'))).kind).toBe('receipt');
    disk.behaviour = { failureRate: 1 };
    expect((await writer.append(batchOf('refused'))).kind).toBe('refused');
    await expect.poll(() => writer.append(batchOf('refused')).then(() => writer.readiness().kind)).toBe('refused');
    disk.behaviour = {};
    await expect.poll(() => writer.readiness().kind).toBe('ready');
    expect(await writer.append(batchOf('b'))).toMatchObject({ kind: 'receipt', firstSequence: 1 });
    await writer.close();
    expect(await texts(disk)).toEqual(['a', 'b']);
  });

  it('that is full refuses with disk_full before the reserve is touched, and resumes by itself', async () => {
    const disk = new FaultyDisk(new SeededRandom(1));
    disk.free = SEGMENT_BYTES + DEFAULT_RESERVE_BYTES - 1;
    const writer = await openWriter(disk);
    expect(writer.readiness()).toEqual({ kind: 'refused', code: 'disk_full' });
    expect(await writer.append(batchOf('a'))).toEqual({ kind: 'refused', code: 'disk_full' });
    disk.free += 1;
    await expect.poll(() => writer.readiness().kind).toBe('ready');
    expect((await writer.append(batchOf('a'))).kind).toBe('receipt');
    await writer.close();
  });
});

describe('bounds', () => {
  it('of the queue hold at the limit - 1, the limit and the limit + 1', async () => {
    const one = frameBytesFor(batchOf('a').bytes.length);
    for (const [limit, second] of [
      [2 * one - 1, 'refused'],
      [2 * one, 'receipt'],
      [2 * one + 1, 'receipt'],
    ] as const) {
      const writer = await openWriter(new FaultyDisk(new SeededRandom(1)), limit);
      const outcomes = await Promise.all([writer.append(batchOf('a')), writer.append(batchOf('b'))]);
      expect(outcomes.map(({ kind }) => kind)).toEqual(['receipt', second]);
      if (second === 'refused') expect(outcomes[1]).toEqual({ kind: 'refused', code: 'overloaded' });
      await writer.close();
    }
  });

  it('of a segment: a larger frame gets a segment of its own size', async () => {
    const room = SEGMENT_BYTES - SEGMENT_HEADER_BYTES - FRAME_HEADER_BYTES - 4;
    for (const length of [room - 8, room, room + 1, 5 * SEGMENT_BYTES]) {
      const disk = new FaultyDisk(new SeededRandom(1));
      const writer = await openWriter(disk);
      const large = 'l'.repeat(length);
      for (const text of ['a', large, 'b']) expect((await writer.append(batchOf(text))).kind).toBe('receipt');
      await writer.close();
      expect(await texts(disk.reboot('power_cut'))).toEqual(['a', large, 'b']);
    }
  });

  it('of spares: what is committed is recycled, at most two files wait', async () => {
    const disk = new FaultyDisk(new SeededRandom(1));
    const writer = await openWriter(disk);
    const reader = await SegmentLogReader.open({ dir: '/log', disk });
    const text = 'x'.repeat(10_000);
    for (let i = 0; i < 60; i++) {
      await writer.append(batchOf(text));
      await reader.commit(await reader.durableEnd(stream));
    }
    await writer.close();
    await reader.close();
    const files = disk.paths().map((path) => path.replace(/.*\/(segment|spare).*/, '$1'));
    expect(files.filter((file) => file === 'spare').length).toBeLessThanOrEqual(2);
    expect(files.filter((file) => file === 'segment').length).toBeLessThanOrEqual(3);
  });
});

it('a stream that is being written is left alone: a second writer takes another', async () => {
  const disk = new FaultyDisk(new SeededRandom(1));
  const settings = { dir: '/log', clock: systemClock, ids: new RandomIds(), segmentBytes: SEGMENT_BYTES, disk };
  const first = await SegmentLogWriter.open(settings);
  const second = await SegmentLogWriter.open(settings);
  expect(second.stream).not.toBe(first.stream);
  await first.close();
  const third = await SegmentLogWriter.open(settings);
  expect(third.stream).toBe(first.stream);
  await second.close();
  await third.close();
});
