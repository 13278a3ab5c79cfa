import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { FaultyDisk } from '../../../test/harness/faulty-disk.ts';
import { SeededRandom } from '../../../test/harness/random.ts';
import { systemClock } from '../../event/clock.ts';
import { RandomIds } from '../../event/id-source.ts';
import { asStreamId, LogDamaged, type RecordBatch } from '../log.ts';
import { FrameScanner } from './frame-scanner.ts';
import { FRAME_HEADER_BYTES, frameBytesFor, SEGMENT_HEADER_BYTES } from './layout.ts';
import { inspectStream, repairStream, type SetAside } from './repair.ts';
import { listStreamFiles, readSegmentHeader, segmentPath } from './segment-file.ts';
import { SegmentLogReader } from './segment-log-reader.ts';
import { SegmentLogWriter } from './segment-log-writer.ts';
import { tryStreamLock } from './stream-lock.ts';

const stream = asStreamId('s');
const FOLDER = '/log/s';
const ASIDE = '/damaged/s';
const SEGMENT_BYTES = 64 * 1024;

function batchOf(...texts: readonly string[]): RecordBatch {
  const parts = texts.map((text) => {
    const bytes = Buffer.alloc(4 + text.length);
    bytes.writeUInt32LE(text.length);
    bytes.write(text, 4, 'latin1');
    return bytes;
  });
  return { count: texts.length, bytes: Buffer.concat(parts) };
}

function openWriter(disk: FaultyDisk): Promise<SegmentLogWriter> {
  const settings = { dir: '/log', stream, clock: systemClock, ids: new RandomIds(), segmentBytes: SEGMENT_BYTES };
  return SegmentLogWriter.open({ ...settings, disk, retryMs: 1 });
}

/** What a consumer gets, by sequence number; `gaps` are those that it is led past. */
async function readAll(disk: FaultyDisk): Promise<{ texts: Map<number, string>; gaps: number[] }> {
  const reader = await SegmentLogReader.open({ dir: '/log', disk });
  const texts = new Map<number, string>();
  const gaps: number[] = [];
  let from = await reader.committed(stream);
  for (;;) {
    const read = await reader.read(from, 2000);
    if (read === undefined) break;
    for (let gap = from.sequence; gap < read.firstSequence; gap++) gaps.push(gap);
    const bytes = Buffer.from(read.bytes);
    let sequence = read.firstSequence;
    for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32LE(at)) {
      texts.set(sequence, bytes.toString('latin1', at + 4, at + 4 + bytes.readUInt32LE(at)));
      sequence += 1;
    }
    expect(sequence).toBe(read.nextSequence);
    from = { stream, sequence: read.nextSequence };
    await reader.commit(from);
  }
  expect(from).toEqual(await reader.durableEnd(stream));
  await reader.close();
  return { texts, gaps };
}

async function repair(disk: FaultyDisk): Promise<readonly SetAside[]> {
  const lock = await tryStreamLock(disk, FOLDER, 'create');
  if (lock === undefined) throw new Error('somebody holds the lock');
  const settings = { disk, folder: FOLDER, asideFolder: ASIDE, clock: systemClock, ids: new RandomIds() };
  const kept = await repairStream(settings);
  await lock.release();
  return kept;
}

/** Each inner list is the life of one writer, and so one segment; each of its lists is a group, of one frame a text. */
async function diskWith(lives: readonly (readonly (readonly string[])[])[]): Promise<FaultyDisk> {
  const disk = new FaultyDisk(new SeededRandom(1));
  for (const groups of lives) {
    const writer = await openWriter(disk);
    for (const group of groups) {
      const outcomes = await Promise.all(group.map((text) => writer.append(batchOf(text))));
      expect(outcomes.map(({ kind }) => kind)).toEqual(group.map(() => 'receipt'));
    }
    await writer.close();
  }
  return disk.reboot('kill');
}

function bytesOf(disk: FaultyDisk, path: string): Buffer {
  const bytes = disk.contents(path);
  if (bytes === undefined) throw new Error(`no ${path}`);
  return bytes;
}

function sumsOf(disk: FaultyDisk): (readonly [string, number])[] {
  return disk.paths().map((path) => [path, crc32(bytesOf(disk, path))]);
}

function flip(disk: FaultyDisk, path: string, at: number): void {
  const bytes = bytesOf(disk, path);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at);
}

const frameAt = (index: number): number => SEGMENT_HEADER_BYTES + index * frameBytesFor(4 + 1);
const first = segmentPath(FOLDER, 1);
const second = segmentPath(FOLDER, 2);
const third = segmentPath(FOLDER, 3);
const single = [[['a'], ['b'], ['c'], ['d']]] as const;
const three = [
  [['a'], ['b']],
  [['c'], ['d']],
  [['e'], ['f']],
] as const;

interface Case {
  readonly name: string;
  readonly lives: readonly (readonly (readonly string[])[])[];
  readonly damage: (disk: FaultyDisk) => void | Promise<void>;
  /** Sequence numbers that are gone. */
  readonly lost: readonly number[];
  readonly kinds: readonly SetAside['kind'][];
}

const cases: readonly Case[] = [
  {
    name: 'a flipped byte in a record',
    lives: single,
    damage: (disk) => flip(disk, first, frameAt(1) + FRAME_HEADER_BYTES + 4),
    lost: [1],
    kinds: ['frames'],
  },
  {
    name: 'a flipped byte in the length of a frame',
    lives: single,
    damage: (disk) => flip(disk, first, frameAt(1) + 5),
    lost: [1],
    kinds: ['frames'],
  },
  {
    name: 'flipped bytes in two frames that do not touch',
    lives: single,
    damage: (disk) => {
      flip(disk, first, frameAt(0) + 24);
      flip(disk, first, frameAt(2) + 8);
    },
    lost: [0, 2],
    kinds: ['frames', 'frames'],
  },
  {
    name: 'the last group',
    lives: single,
    damage: (disk) => flip(disk, first, frameAt(3) + FRAME_HEADER_BYTES + 4),
    lost: [3],
    kinds: ['frames'],
  },
  {
    name: 'one frame of a last group of three',
    lives: [[['a'], ['b', 'c', 'd']]],
    damage: (disk) => flip(disk, first, frameAt(2) + FRAME_HEADER_BYTES),
    lost: [2],
    kinds: ['frames'],
  },
  {
    name: 'all that was written, as zeros: a write that the disk lost',
    lives: single,
    damage: (disk) => void bytesOf(disk, first).fill(0, SEGMENT_HEADER_BYTES),
    lost: [0, 1, 2, 3],
    kinds: ['frames'],
  },
  {
    name: 'the end of a segment that others follow',
    lives: three,
    damage: (disk) => flip(disk, second, frameAt(1)),
    lost: [3],
    kinds: ['frames'],
  },
  {
    name: 'a header of which the nonce is whole',
    lives: three,
    damage: (disk) => flip(disk, second, 25),
    lost: [],
    kinds: ['header'],
  },
  {
    name: 'the nonce of a segment in the middle: nothing in it can be checked',
    lives: three,
    damage: (disk) => flip(disk, second, 50),
    lost: [2, 3],
    kinds: ['segment', 'frames'],
  },
  {
    name: 'the nonce of the last segment',
    lives: three,
    damage: (disk) => flip(disk, third, 50),
    lost: [4, 5],
    kinds: ['segment', 'frames'],
  },
  {
    name: 'the nonce of the only segment',
    lives: single,
    damage: (disk) => flip(disk, first, 50),
    lost: [0, 1, 2, 3],
    kinds: ['segment', 'frames'],
  },
  {
    name: 'a segment that is missing in the middle',
    lives: three,
    damage: (disk) => disk.unlink(second),
    lost: [2, 3],
    kinds: ['frames'],
  },
  {
    name: 'a segment that is missing at the end',
    lives: three,
    damage: (disk) => disk.unlink(third),
    lost: [4, 5],
    kinds: ['frames'],
  },
  {
    name: 'all segments missing',
    lives: three,
    damage: async (disk) => {
      for (const path of [first, second, third]) await disk.unlink(path);
    },
    lost: [0, 1, 2, 3, 4, 5],
    kinds: ['frames'],
  },
  {
    name: 'a segment cut short within a frame',
    lives: three,
    damage: (disk) => disk.cut(second, frameAt(1) + 10),
    lost: [3],
    kinds: ['header', 'frames'],
  },
  {
    name: 'a segment cut short within its header',
    lives: three,
    damage: (disk) => disk.cut(second, 100),
    lost: [2, 3],
    kinds: ['header', 'frames'],
  },
];

describe('a repair', () => {
  for (const { name, lives, damage, lost, kinds } of cases) {
    it(`keeps everything beside ${name}`, async () => {
      const disk = await diskWith(lives);
      await damage(disk);
      await expect(openWriter(disk)).rejects.toThrow(LogDamaged);

      const before = sumsOf(disk);
      const found = await inspectStream(disk, FOLDER);
      const all = lives.flat(2);
      expect(found.endSequence).toBe(all.length);
      expect(sumsOf(disk)).toEqual(before);
      const kept = await repair(disk);
      expect(kept.map(({ kind }) => kind)).toEqual(kinds);
      expect(kept).toMatchObject(found.damage);
      expect(kept.reduce((sum, { lostRecords }) => sum + lostRecords, 0)).toBe(lost.length);

      const writer = await openWriter(disk);
      const receipt = await writer.append(batchOf('behind'));
      await writer.close();
      expect(receipt).toMatchObject({ kind: 'receipt', firstSequence: all.length });
      const { texts, gaps } = await readAll(disk);
      expect(gaps).toEqual(lost);
      const expected = all.flatMap((text, i) => (lost.includes(i) ? [] : [[i, text] as const]));
      expect([...texts]).toEqual([...expected, [all.length, 'behind']]);
    });
  }

  it('keeps the damaged bytes, and writes down what they were', async () => {
    const disk = await diskWith(single);
    flip(disk, first, frameAt(1) + FRAME_HEADER_BYTES + 4);
    const damaged = Buffer.from(bytesOf(disk, first).subarray(frameAt(1), frameAt(2)));
    const [kept] = await repair(disk);
    expect(kept).toMatchObject({ position: frameAt(1), bytes: damaged.length, frames: 1, firstSequence: 1 });
    expect(bytesOf(disk, kept?.keptAs ?? '')).toEqual(damaged);
    const notes = bytesOf(disk, `${ASIDE}/set-aside.ndjson`).toString().trimEnd().split('\n');
    expect(notes.map((line): unknown => JSON.parse(line))).toMatchObject([{ ...kept }]);
  });

  it('leads a consumer past a gap at the very end, so that it does not wait for it', async () => {
    const disk = await diskWith(single);
    flip(disk, first, frameAt(3));
    await repair(disk);
    expect((await readAll(disk)).gaps).toEqual([3]);
    expect((await readAll(disk)).texts.size).toBe(0);
  });

  it('says which of the records the store had already', async () => {
    const disk = await diskWith(three);
    const reader = await SegmentLogReader.open({ dir: '/log', disk });
    await reader.commit({ stream, sequence: 3 });
    await reader.close();
    await disk.unlink(second);
    expect(await repair(disk)).toMatchObject([{ firstSequence: 2, endSequence: 4, lostRecords: 1 }]);
  });

  it('leaves a consumed segment alone, whatever its frames look like', async () => {
    const disk = await diskWith(three);
    const reader = await SegmentLogReader.open({ dir: '/log', disk });
    await reader.commit({ stream, sequence: 2 });
    await reader.close();
    flip(disk, first, frameAt(0));
    expect((await inspectStream(disk, FOLDER)).damage).toEqual([]);
    await (await openWriter(disk)).close();
  });

  it('of an undamaged stream with a torn tail changes nothing', async () => {
    const disk = await diskWith(single);
    bytesOf(disk, first).fill(0x55, frameAt(4), frameAt(4) + 500);
    const before = sumsOf(disk);
    expect(await repair(disk)).toEqual([]);
    expect(sumsOf(disk)).toEqual(before);
  });
});

interface WrittenFrame {
  readonly path: string;
  readonly position: number;
  readonly end: number;
  readonly sequence: number;
  readonly texts: readonly string[];
}

async function framesOf(disk: FaultyDisk): Promise<WrittenFrame[]> {
  const frames: WrittenFrame[] = [];
  const { segments } = await listStreamFiles(disk, FOLDER);
  for (const { path } of segments) {
    const fd = await disk.open(path, 'read');
    const header = await readSegmentHeader(disk, fd);
    if (header.kind !== 'good') throw new Error(`${path} has no header`);
    const scanner = new FrameScanner(disk, fd, header.header);
    for (let step = await scanner.peek(); step.kind === 'frame'; step = await scanner.peek()) {
      const { position, sequence } = scanner;
      const bytes = Buffer.from(step.payload);
      const texts: string[] = [];
      for (let at = 0; at < bytes.length; at += 4 + bytes.readUInt32LE(at)) {
        texts.push(bytes.toString('latin1', at + 4, at + 4 + bytes.readUInt32LE(at)));
      }
      scanner.pass(step.frame);
      frames.push({ path, position, end: scanner.position, sequence, texts });
    }
    await disk.close(fd);
  }
  return frames;
}

/** A log of some segments, damaged at random behind the headers. */
async function damageAtRandom(seed: number): Promise<void> {
  const random = new SeededRandom(seed);
  const disk = await diskWith(
    Array.from({ length: 1 + random.below(4) }, (_, life) =>
      Array.from({ length: 1 + random.below(6) }, (__, group) =>
        Array.from({ length: 1 + random.below(4) }, (___, i) =>
          `${life}.${group}.${i}`.padEnd(random.below(3000), 'x'),
        ),
      ),
    ),
  );
  const frames = await framesOf(disk);
  const touched = new Set<WrittenFrame>();
  for (let times = 1 + random.below(4); times > 0; times--) {
    const target = frames[random.below(frames.length)];
    if (target === undefined) continue;
    const bytes = bytesOf(disk, target.path);
    const start = target.position + random.below(target.end - target.position);
    const end = Math.min(bytes.length, start + (random.chance(0.5) ? 1 : random.below(9000)));
    for (let at = start; at < end; at++) bytes[at] = random.chance(0.5) ? 0 : random.below(256);
    for (const frame of frames) {
      if (frame.path === target.path && frame.position < end && frame.end > start) touched.add(frame);
    }
  }
  await repair(disk);
  expect((await inspectStream(disk, FOLDER)).damage).toEqual([]);
  const writer = await openWriter(disk);
  await writer.append(batchOf('behind'));
  await writer.close();
  const { texts, gaps } = await readAll(disk);
  for (const { sequence, texts: written } of frames.filter((frame) => !touched.has(frame))) {
    written.forEach((text, i) => expect(texts.get(sequence + i)).toBe(text));
  }
  const total = frames.reduce((sum, frame) => sum + frame.texts.length, 0);
  expect(texts.get(total)).toBe('behind');
  expect(texts.size + gaps.length).toBe(total + 1);
}

it('whatever bytes of frames are damaged, all other frames stay, under their own numbers (60 seeds)', async () => {
  for (let seed = 1; seed <= 60; seed++) {
    await damageAtRandom(seed).catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });
  }
});
