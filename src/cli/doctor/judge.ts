/** From what was measured to what to say about it. Pure. */
import { ok, type Finding } from './finding.ts';

const MIB = 1 << 20;
const GIB = 1 << 30;
const MIN_NODE = [20, 15] as const;
/** The log leaves that much free, and holds two segments from its first start (docs/decisions/0003). */
const RESERVE_BYTES = 64 * MIB;
const LOW_DISK_BYTES = 2 * GIB;
const SLOW_SYNC_MS = 20;
/** No medium takes a write in less; a system that answers sooner keeps it in memory. */
const IMPOSSIBLE_SYNC_MS = 0.005;
const MIN_YEAR = 2025;
const MAX_YEAR = 2100;
const MAX_CLOCK_STEP_MS = 50;

export function judgeVersions(node: string, segmentFormat: number): Finding {
  const [major = 0, minor = 0] = node.split('.').map(Number);
  const isOld = major < MIN_NODE[0] || (major === MIN_NODE[0] && minor < MIN_NODE[1]);
  const text = `Node.js ${node}, log format ${segmentFormat}`;
  if (!isOld) return ok('versions', text);
  return { check: 'versions', status: 'fail', text, todo: `Install Node.js ${MIN_NODE.join('.')} or later.` };
}

export function judgeSpace(space: { readonly freeBytes: number; readonly segmentBytes: number }): Finding {
  const { freeBytes, segmentBytes } = space;
  const neededBytes = RESERVE_BYTES + 2 * segmentBytes;
  const text = `${sizeText(freeBytes)} free`;
  if (freeBytes < neededBytes) {
    const todo = `Make room: below ${sizeText(neededBytes)} events are refused with 503 disk_full. Nothing stored is lost.`;
    return { check: 'disk_space', status: 'fail', text, todo };
  }
  if (freeBytes >= LOW_DISK_BYTES) return ok('disk_space', text);
  return {
    check: 'disk_space',
    status: 'warn',
    text,
    todo: 'Make room soon, or move the data folder to a larger disk.',
  };
}

export interface SyncReading {
  readonly medianMs: number;
  readonly slowestMs: number;
  /** A filesystem that forgets all when the machine stops. */
  readonly isInMemory: boolean;
}

export function judgeSync({ medianMs, slowestMs, isInMemory }: SyncReading): Finding {
  const text = `a synced write of 4 KiB takes ${timeText(medianMs)} in the median, ${timeText(slowestMs)} at most`;
  if (isInMemory || medianMs < IMPOSSIBLE_SYNC_MS) {
    const todo = 'The folder lies in memory: a power cut takes all of it. Put it on a disk, unless this is a test.';
    return { check: 'sync_latency', status: 'warn', text, todo };
  }
  if (medianMs <= SLOW_SYNC_MS) return ok('sync_latency', text);
  const todo =
    'Each answer waits for such a write: the disk is slow or busy. Put the folder on a local SSD, and not on a network volume.';
  return { check: 'sync_latency', status: 'warn', text, todo };
}

export interface ClockReading {
  readonly nowMs: number;
  /** How much the wall clock gained on the monotonic one while both were watched, ms; may be negative. */
  readonly stepMs: number;
}

export function judgeClock({ nowMs, stepMs }: ClockReading): Finding {
  const now = new Date(nowMs);
  const text = `it is ${now.toISOString()}`;
  const year = now.getUTCFullYear();
  if (year < MIN_YEAR || year > MAX_YEAR) {
    const todo = `Set the machine's clock: events without a time of their own, or with a client's, are dated by it.`;
    return { check: 'clock', status: 'fail', text, todo };
  }
  if (Math.abs(stepMs) <= MAX_CLOCK_STEP_MS) return ok('clock', text);
  const stepText = `${text}, and it jumped by ${Math.round(stepMs)} ms meanwhile`;
  return {
    check: 'clock',
    status: 'warn',
    text: stepText,
    todo: 'Look at the time service (chrony, ntpd): let it slew.',
  };
}

export type PortReading = 'free' | 'any' | 'ours' | 'taken' | 'forbidden' | 'no_such_address';

export function judgePort(host: string, port: number, reading: PortReading): Finding {
  const place = `${host}:${port}`;
  switch (reading) {
    case 'free':
      return ok('port', `${place} is free`);
    case 'any':
      return ok('port', 'any free port is taken');
    case 'ours':
      return ok('port', `the server of this folder listens on ${place}`);
    case 'taken':
      return {
        check: 'port',
        status: 'fail',
        text: `${place} is in use by another program`,
        todo: 'Stop it, or choose another port with --port (0 takes any free one).',
      };
    case 'forbidden':
      return {
        check: 'port',
        status: 'fail',
        text: `this user may not listen on ${place}`,
        todo: 'Choose a port from 1024 with --port, or let a reverse proxy listen there.',
      };
    case 'no_such_address':
      return {
        check: 'port',
        status: 'fail',
        text: `this machine has no address ${host}`,
        todo: 'Choose one of its own with --host, or 0.0.0.0 for all.',
      };
    default:
      throw new TypeError('a reading that its type rules out', { cause: reading satisfies never });
  }
}

/** One stream: how far the log came, and how far the store. */
export interface StreamAgreement {
  readonly stream: string;
  /** First record that the log still holds for the store. */
  readonly committed: number;
  /** First sequence number that is free. */
  readonly end: number;
  /** First sequence number behind the newest record in the store; 0 when it has none. */
  readonly stored: number;
}

export function judgeAgreement(streams: readonly StreamAgreement[]): Finding {
  const ahead = streams.find(({ stored, end }) => stored > end);
  if (ahead !== undefined) {
    return {
      check: 'store',
      status: 'fail',
      text: `the store has records of ${ahead.stream} up to ${ahead.stored}, and the log ends at ${ahead.end}: the log is older than the store`,
      todo: 'Put the log folder and the store folder back from the same moment: restore both from one backup.',
    };
  }
  const behind = streams.find(({ stored, committed }) => stored < committed);
  if (behind !== undefined) {
    return {
      check: 'store',
      status: 'warn',
      text: `the log let go of ${behind.stream} up to ${behind.committed}, and the newest record of it in the store is ${behind.stored}`,
      todo: 'Fine when newer events were deleted. Otherwise the store is older than the log: restore both from one backup.',
    };
  }
  const waiting = streams.reduce((sum, { committed, end }) => sum + end - committed, 0);
  const rest = waiting === 0 ? 'all of it is stored' : `${waiting} records wait to be stored`;
  return ok('store', `log and store agree; ${rest}`);
}

/** How far the log came, as `inspectStream` has it. */
export interface LogPlace {
  readonly stream: string;
  readonly committed: number;
  readonly endSequence: number;
}

/** Sequence numbers whose records a repair set aside: the store will never get them. */
export interface SequenceGap {
  readonly firstSequence: number;
  readonly endSequence: number;
}

/** The store's end, moved over the gaps that begin there. */
export function pastGaps(stored: number, gaps: readonly SequenceGap[]): number {
  let end = stored;
  for (const { firstSequence, endSequence } of gaps.toSorted((a, b) => a.firstSequence - b.firstSequence)) {
    if (firstSequence <= end && endSequence > end) end = endSequence;
  }
  return end;
}

export function sizeText(bytes: number): string {
  return bytes >= GIB ? `${(bytes / GIB).toFixed(1)} GiB` : `${Math.round(bytes / MIB)} MiB`;
}

function timeText(ms: number): string {
  return `${ms < 10 ? ms.toFixed(2) : Math.round(ms)} ms`;
}
