/**
 * One life of a segment log on a bad disk: some machines, each ended in the middle of a call, then a calm one that reads
 * all of it. The model is two maps: what was acknowledged, by sequence number, and what was refused, by text.
 */
import { systemClock } from '../../src/event/clock.ts';
import { RandomIds } from '../../src/event/id-source.ts';
import { asStreamId, LogDamaged, type RecordBatch } from '../../src/log/log.ts';
import { SegmentLogReader } from '../../src/log/segments/segment-log-reader.ts';
import { SegmentLogWriter } from '../../src/log/segments/segment-log-writer.ts';
import { FaultyDisk, type Misbehaviour } from './faulty-disk.ts';
import { SeededRandom } from './random.ts';

const DIR = '/log';
const stream = asStreamId('s');

export interface SimulationSummary {
  readonly acknowledged: number;
  readonly refused: number;
}

interface Model {
  /** Text of each record that was acknowledged or read, by sequence number. */
  readonly known: Map<number, string>;
  readonly acknowledged: Set<number>;
  readonly refused: Set<string>;
  committed: number;
  texts: number;
}

/** @throws when the log breaks a promise */
export async function simulate(seed: number): Promise<SimulationSummary> {
  const random = new SeededRandom(seed);
  const model: Model = { known: new Map(), acknowledged: new Set(), refused: new Set(), committed: 0, texts: 0 };
  let disk = new FaultyDisk(random);
  const machines = 1 + random.below(5);
  for (let i = 0; i < machines; i++) {
    disk.behaviour = {
      endsAtCall: 1 + random.below(random.chance(0.3) ? 60 : 500),
      failureRate: random.chance(0.4) ? 0.02 : 0,
      shortWriteRate: random.chance(0.3) ? 0.2 : 0,
    };
    await Promise.race([disk.ended, live(disk, random, model)]);
    disk = disk.reboot(random.chance(0.6) ? 'power_cut' : 'kill');
  }
  disk.behaviour = {} satisfies Misbehaviour;
  const { writer, reader } = await openBoth(disk);
  const first = await writer.append(batchOf(['the end']));
  if (first.kind === 'refused') throw new Error('a calm disk was refused');
  note(model, first.firstSequence, 'the end', 'acknowledged');
  const read = await consume(reader, model, random);
  for (const sequence of model.acknowledged) {
    if (sequence >= read) throw new Error(`record ${sequence} was acknowledged, and reading ended at ${read}`);
  }
  await writer.close();
  await reader.close();
  return { acknowledged: model.acknowledged.size, refused: model.refused.size };
}

async function openBoth(disk: FaultyDisk): Promise<{ writer: SegmentLogWriter; reader: SegmentLogReader }> {
  for (;;) {
    try {
      const reader = await SegmentLogReader.open({ dir: DIR, disk, pollMs: 1, discoverMs: 5 });
      const writer = await SegmentLogWriter.open({
        dir: DIR,
        stream,
        disk,
        clock: systemClock,
        ids: new RandomIds(),
        segmentBytes: 64 * 1024,
        retryMs: 1,
        tidyMs: 3,
      });
      return { writer, reader };
    } catch (error) {
      if (error instanceof LogDamaged || disk.behaviour.failureRate === undefined || disk.behaviour.failureRate === 0)
        throw error;
    }
  }
}

async function live(disk: FaultyDisk, random: SeededRandom, model: Model): Promise<void> {
  const { writer, reader } = await openBoth(disk);
  const clients = Array.from({ length: 1 + random.below(6) }, async () => {
    while (!disk.hasEnded) {
      const texts = Array.from({ length: 1 + random.below(4) }, () => textFor(random, model));
      const outcome = await writer.append(batchOf(texts));
      if (outcome.kind === 'refused') {
        for (const text of texts) model.refused.add(text);
        await new Promise((resolve) => setTimeout(resolve, 1));
      } else texts.forEach((text, i) => note(model, outcome.firstSequence + i, text, 'acknowledged'));
    }
  });
  const consumer = (async () => {
    while (!disk.hasEnded) {
      try {
        await consume(reader, model, random);
      } catch (error) {
        if (isFault(error)) continue;
        throw error;
      }
      await reader.waitForMore(50, new AbortController().signal).catch((error: unknown) => {
        if (!isFault(error)) throw error;
      });
    }
  })();
  await Promise.all([...clients, consumer]);
}

/** What the disk was told to do, and no broken promise. */
function isFault(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EIO' || error.code === 'ENOSPC');
}

async function consume(reader: SegmentLogReader, model: Model, random: SeededRandom): Promise<number> {
  const streams = await reader.streams();
  if (!streams.includes(stream)) return 0;
  let from = await reader.committed(stream);
  if (from.sequence < model.committed) throw new Error(`commit of ${model.committed} was lost: ${from.sequence}`);
  for (;;) {
    const found = await reader.read(from, 1 + random.below(20_000));
    if (found === undefined) return from.sequence;
    if (found.firstSequence !== from.sequence)
      throw new Error(`read ${found.firstSequence} instead of ${from.sequence}`);
    const bytes = Buffer.from(found.bytes);
    let sequence = found.firstSequence;
    for (let at = 0; at < bytes.length; sequence++) {
      const length = bytes.readUInt32LE(at);
      note(model, sequence, bytes.toString('latin1', at + 4, at + 4 + length), 'read');
      at += 4 + length;
    }
    if (sequence !== found.nextSequence) throw new Error(`${found.count} records promised, ${sequence} is the next`);
    from = { stream, sequence: found.nextSequence };
    if (random.chance(0.5)) {
      await reader.commit(from);
      model.committed = Math.max(model.committed, from.sequence);
    }
  }
}

function note(model: Model, sequence: number, text: string, how: 'acknowledged' | 'read'): void {
  const known = model.known.get(sequence);
  if (known !== undefined && known !== text) {
    throw new Error(`record ${sequence} was ${known.slice(0, 20)} and is now ${text.slice(0, 20)} (${how})`);
  }
  if (how === 'read' && model.refused.has(text))
    throw new Error(`record ${sequence} was refused: ${text.slice(0, 20)}`);
  if (how === 'acknowledged') model.acknowledged.add(sequence);
  model.known.set(sequence, text);
}

function textFor(random: SeededRandom, model: Model): string {
  model.texts += 1;
  const bytes = random.chance(0.02) ? 90_000 : random.below(random.chance(0.1) ? 20_000 : 300);
  return `${model.texts}:`.padEnd(bytes, 'x');
}

function batchOf(texts: readonly string[]): RecordBatch {
  const parts: Buffer[] = [];
  for (const text of texts) {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(text.length);
    parts.push(length, Buffer.from(text, 'latin1'));
  }
  return { count: texts.length, bytes: Buffer.concat(parts) };
}
