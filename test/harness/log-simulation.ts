/**
 * One life of a segment log on a bad disk: some machines, each ended in the middle of a call, then a calm one that reads
 * all of it. The model is two maps: what was acknowledged, by sequence number, and what was refused, by text.
 */
import { asStreamId, LogDamaged, type LogReader, type RecordBatch } from '../../src/log/log.ts';
import type { Disk } from '../../src/log/segments/disk.ts';
import { SegmentLogReader } from '../../src/log/segments/segment-log-reader.ts';
import { SegmentLogWriter } from '../../src/log/segments/segment-log-writer.ts';
import { FaultyDisk, type EndOfMachine, type Misbehaviour } from './faulty-disk.ts';
import { PromiseBroken } from './promise-broken.ts';
import { SeededRandom } from './random.ts';
import { RefusalDoubt } from './refusal-doubt.ts';
import { SeededIds } from './seeded-ids.ts';
import { VirtualTime, type SimulatedProcess } from './virtual-time.ts';

const DIR = '/log';
const stream = asStreamId('s');

export interface SimulationSummary {
  readonly acknowledged: number;
  readonly refused: number;
  /** Of the refused ones those that came back by the gap of docs/decisions/0003. */
  readonly returned: number;
  readonly steps: number;
  /** Of all steps: the same for the same seed. */
  readonly hash: string;
}

/** Something that the log's promises rest on, taken away, to see that the simulation finds it. */
export interface LogMutation {
  readonly behaviour?: Misbehaviour;
  /** What the reader reads from. */
  readonly readerDisk?: (disk: FaultyDisk) => Disk;
}

interface Model {
  /** Text of each record that was acknowledged or read, by sequence number. */
  readonly known: Map<number, string>;
  readonly acknowledged: Set<number>;
  readonly refused: Set<string>;
  /**
   * Refused while the disk took neither the note of it nor a new segment, and then the power failed: the gap that
   * docs/decisions/0003 names. These alone may come back.
   */
  readonly mayReturn: Set<string>;
  returned: number;
  committed: number;
  texts: number;
}

interface World {
  readonly random: SeededRandom;
  readonly time: VirtualTime;
  readonly model: Model;
  readonly mutation: LogMutation;
}

/** @throws PromiseBroken when the log breaks a promise */
export async function simulate(seed: number, mutation: LogMutation = {}): Promise<SimulationSummary> {
  const random = new SeededRandom(seed);
  const time = new VirtualTime(random);
  const model: Model = {
    known: new Map(),
    acknowledged: new Set(),
    refused: new Set(),
    mayReturn: new Set(),
    returned: 0,
    committed: 0,
    texts: 0,
  };
  try {
    await time.run(allMachines({ random, time, model, mutation }));
  } catch (error) {
    throw new PromiseBroken(seed, error, time.trace);
  }
  return {
    acknowledged: model.acknowledged.size,
    refused: model.refused.size,
    returned: model.returned,
    steps: time.steps,
    hash: time.hash,
  };
}

async function allMachines(world: World): Promise<void> {
  const { random, time, model, mutation } = world;
  let process = time.spawn('machine 1');
  const later = (run: () => void): void => {
    time.after(2 * random.next() ** 3, run, { what: 'disk', owner: process });
  };
  let disk = new FaultyDisk(random, { later });
  const doubt = new RefusalDoubt<readonly string[]>();
  const machines = 1 + random.below(5);
  for (let i = 0; i < machines; i++) {
    disk.behaviour = {
      endsAtCall: 1 + random.below(random.chance(0.3) ? 60 : 500),
      failureRate: random.chance(0.4) ? (random.chance(0.25) ? 0.2 : 0.02) : 0,
      shortWriteRate: random.chance(0.3) ? 0.2 : 0,
      ...mutation.behaviour,
    };
    await Promise.race([disk.ended, live(disk, process, world, doubt)]);
    process.end();
    doubt.restart();
    const how: EndOfMachine = random.chance(0.6) ? 'power_cut' : 'kill';
    if (how === 'power_cut') for (const texts of doubt.items) for (const text of texts) model.mayReturn.add(text);
    time.note(how);
    process = time.spawn(`machine ${i + 2}`);
    disk = disk.reboot(how);
  }
  disk.behaviour = {} satisfies Misbehaviour;
  const { writer, reader } = await openBoth(disk, process, world, new RefusalDoubt());
  const first = await writer.append(batchOf(['the end']));
  if (first.kind === 'refused') throw new Error('a calm disk was refused');
  note(model, first.firstSequence, 'the end', 'acknowledged');
  const read = await consume(reader, model, random);
  for (const sequence of model.acknowledged) {
    if (sequence >= read) throw new Error(`record ${sequence} was acknowledged, and reading ended at ${read}`);
  }
  await writer.close();
  await reader.close();
}

async function openBoth(
  disk: FaultyDisk,
  process: SimulatedProcess,
  { time, random, mutation }: World,
  doubt: RefusalDoubt<readonly string[]>,
): Promise<{ writer: SegmentLogWriter; reader: LogReader }> {
  const { timers } = process;
  for (;;) {
    try {
      const readerDisk = mutation.readerDisk?.(disk) ?? disk;
      const reader = await SegmentLogReader.open({ dir: DIR, disk: readerDisk, timers, pollMs: 1, discoverMs: 5 });
      const writer = await SegmentLogWriter.open({
        dir: DIR,
        stream,
        disk,
        timers,
        clock: time.clock,
        ids: new SeededIds(random),
        segmentBytes: 64 * 1024,
        retryMs: 1,
        tidyMs: 3,
        onFault: doubt.onFault,
      });
      return { writer, reader };
    } catch (error) {
      if (error instanceof LogDamaged || disk.behaviour.failureRate === undefined || disk.behaviour.failureRate === 0)
        throw error;
    }
  }
}

async function live(
  disk: FaultyDisk,
  process: SimulatedProcess,
  world: World,
  doubt: RefusalDoubt<readonly string[]>,
): Promise<void> {
  const { random, model, time } = world;
  const { writer, reader } = await openBoth(disk, process, world, doubt);
  const clients = Array.from({ length: 1 + random.below(6) }, async () => {
    while (!disk.hasEnded) {
      const texts = Array.from({ length: 1 + random.below(4) }, () => textFor(random, model));
      doubt.begin(texts);
      const outcome = await writer.append(batchOf(texts));
      doubt.end(texts, outcome.kind);
      if (outcome.kind === 'refused') {
        for (const text of texts) model.refused.add(text);
        await time.sleep(1);
      } else {
        texts.forEach((text, i) => note(model, outcome.firstSequence + i, text, 'acknowledged'));
      }
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

async function consume(reader: LogReader, model: Model, random: SeededRandom): Promise<number> {
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
  if (how === 'read' && known === undefined && model.refused.has(text)) {
    if (!model.mayReturn.has(text)) throw new Error(`record ${sequence} was refused: ${text.slice(0, 20)}`);
    model.returned += 1;
  }
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
