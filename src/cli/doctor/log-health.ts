/** A data folder's log, looked at or repaired while no server runs on it, and the store beside it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../event/clock.ts';
import { RandomIds } from '../../event/id-source.ts';
import { nodeDisk } from '../../log/segments/disk.ts';
import { FORMAT_VERSION } from '../../log/segments/layout.ts';
import { LogFormatTooNew } from '../../log/segments/recovery.ts';
import {
  inspectStream,
  repairStream,
  type Damage,
  type SetAside,
  type StreamHealth,
} from '../../log/segments/repair.ts';
import { listStreams } from '../../log/segments/stream-folders.ts';
import { tryStreamLock } from '../../log/segments/stream-lock.ts';
import { CommandFailure } from '../command-failure.ts';
import { ok, type Finding } from './finding.ts';
import { examineStore } from './store-health.ts';

export const logFormatVersion = FORMAT_VERSION;

interface StreamState extends StreamHealth {
  readonly stream: string;
}

export interface StreamRepair {
  readonly stream: string;
  readonly setAside: readonly SetAside[];
}

/** `streams` undefined: somebody writes one of them, or it cannot be read, and `finding` says so. */
interface LogExamination {
  readonly finding: Finding;
  readonly streams: readonly StreamState[] | undefined;
}

/** The log, and, where that can be read, whether the store agrees with it. */
export async function examineData(dataDir: string): Promise<readonly Finding[]> {
  const { finding, streams } = await examineLog(dataDir);
  if (streams === undefined || finding.status === 'fail') return [finding];
  return [finding, await examineStore(dataDir, streams)];
}

async function examineLog(dataDir: string): Promise<LogExamination> {
  const streams: StreamState[] = [];
  try {
    await withEachStream(dataDir, async (stream, folder) => {
      streams.push({ stream, ...(await inspectStream(nodeDisk, folder)) });
    });
  } catch (error) {
    if (error instanceof StreamInUse) {
      const text = `another process writes the stream ${error.stream}`;
      return {
        finding: { check: 'log', status: 'warn', text, todo: 'Stop it to have the log checked.' },
        streams: undefined,
      };
    }
    if (!(error instanceof LogFormatTooNew)) throw error;
    const todo = 'Start the release that wrote it, or a later one.';
    return { finding: { check: 'log', status: 'fail', text: error.message, todo }, streams: undefined };
  }
  return { finding: judgeStreams(streams), streams };
}

function judgeStreams(streams: readonly StreamState[]): Finding {
  const damage = streams.flatMap((each) => each.damage);
  if (damage.length === 0) {
    const waiting = streams.reduce((sum, { endSequence, committed }) => sum + endSequence - committed, 0);
    return ok(
      'log',
      `${counted(streams.length, 'stream')}, undamaged; ${counted(waiting, 'record')} not yet in the store`,
    );
  }
  return {
    check: 'log',
    status: 'fail',
    text: damage.map(damageText).join('; '),
    todo:
      'The server does not start like this. Restore a backup; or keep a copy of the folder, then run ' +
      '"hedgerow doctor --repair", which sets the damaged parts aside and keeps everything else.',
  };
}

/** @throws CommandFailure when a process writes one of the streams */
export async function repairLog(dataDir: string): Promise<readonly StreamRepair[]> {
  const repairs: StreamRepair[] = [];
  try {
    await withEachStream(dataDir, async (stream, folder) => {
      const asideFolder = join(dataDir, 'damaged', stream);
      const settings = { disk: nodeDisk, folder, asideFolder, clock: systemClock, ids: new RandomIds() };
      repairs.push({ stream, setAside: await repairStream(settings) });
    });
  } catch (error) {
    if (!(error instanceof StreamInUse)) throw error;
    throw new CommandFailure(`Another process writes the stream ${error.stream} of ${dataDir}. Stop it first.`);
  }
  return repairs;
}

function damageText(damage: Damage): string {
  const { kind, path, position, bytes, why, firstSequence, endSequence, lostRecords } = damage;
  const place = `${path}: byte ${position}: ${why}`;
  switch (kind) {
    case 'header':
      return `${place}; it can be made again, without loss`;
    case 'segment':
      return `${place}; none of its ${bytes} bytes can be checked any more`;
    case 'frames': {
      const had = endSequence - firstSequence - lostRecords;
      const stored = had === 0 ? '' : ` (${had} of them are in the store)`;
      return `${place}; the records ${firstSequence} to ${endSequence - 1} cannot be read${stored}`;
    }
    default:
      throw new TypeError('a kind that its type rules out', { cause: kind satisfies never });
  }
}

/** What a repair did, for a person. */
export function repairText(repairs: readonly StreamRepair[]): string {
  const all = repairs.flatMap(({ setAside }) => setAside);
  if (all.length === 0) return 'The log is undamaged; nothing was changed.\n';
  const total = (count: (each: SetAside) => number): number => all.reduce((sum, each) => sum + count(each), 0);
  const lost = total((each) => each.lostRecords);
  const lines = all.map(
    (each) => `  ${damageText(each)}${each.keptAs === undefined ? '' : `\n    kept as ${each.keptAs}`}`,
  );
  const summary =
    lost === 0
      ? 'No event was lost.'
      : `Lost from the log: ${counted(lost, 'event')} or rejections that had been acknowledged. What the damage left of them ` +
        'is in the files above; clients that still have them may send them again, by the same uuids.';
  return (
    `Set aside: ${counted(all.length, 'damaged part')}, ${counted(
      total((each) => each.bytes),
      'byte',
    )}, ` +
    `${counted(
      total((each) => each.frames),
      'frame',
    )} as far as can be told.\n${lines.join('\n')}\n${summary}\n`
  );
}

class StreamInUse extends Error {
  readonly stream: string;

  constructor(stream: string) {
    super(`the stream ${stream} is in use`);
    this.stream = stream;
  }
}

/** Under each stream's lock: no writer begins meanwhile. */
async function withEachStream(dataDir: string, work: (stream: string, folder: string) => Promise<void>): Promise<void> {
  const logDir = join(dataDir, 'log');
  if (!existsSync(logDir)) return;
  for (const stream of await listStreams(nodeDisk, logDir)) {
    const folder = join(logDir, stream);
    const lock = await tryStreamLock(nodeDisk, folder, 'create');
    if (lock === undefined) throw new StreamInUse(stream);
    try {
      await work(stream, folder);
    } finally {
      await lock.release();
    }
  }
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
