/**
 * Named places between two durable steps at which the crash tests end this process, as `kill -9` would.
 *
 * Armed    by the variable `KILL_HEDGEROW_AT=<point>:<n>:<mark>` alone: at its n-th passing the process makes the file
 *          `mark` and ends. Where the mark exists already nothing happens, so that a process that is started again, such as
 *          the store's, ends once. Not a setting: no name of ours, no flag, in no document for users.
 * Cost     when not armed: one comparison of a module constant with undefined, which the compiler inlines.
 * Proof    test/crash/kill-points.test.ts passes through every name of this list, and fails for one that is never hit.
 */
import { closeSync, openSync } from 'node:fs';
import { processEnv } from './process-env.ts';

/** In the order of an event's way. */
export const killPoints = [
  'request.decoded',
  'append.before',
  'group.before_write',
  'group.written',
  'group.noted',
  'group.receipts',
  'answer.before',
  'answer.after',
  'segment.before_make',
  'segment.made',
  'segment.header_written',
  'segment.renamed',
  'segment.named',
  'spare.filling',
  'spare.filled',
  'let_go.before',
  'let_go.renamed',
  'let_go.recycled',
  'let_go.unlinked',
  'commit.before',
  'commit.written',
  'commit.after',
  'loader.read',
  'loader.looked_up',
  'loader.event_columns',
  'loader.events',
  'loader.rejections',
  'loader.duplicates',
  'loader.ledger',
  'loader.before_commit',
  'loader.after_commit',
  'store.before_insert',
  'store.inserted',
  'store.answered',
  'migration.before',
  'migration.between_statements',
  'migration.before_note',
  'migration.after',
  'start.locked',
  'start.tail_rewritten',
  'start.recovered',
  'drain.begun',
  'drain.idle',
  'drain.synced',
] as const;
export type KillPoint = (typeof killPoints)[number];

interface ArmedPoint {
  readonly name: string;
  readonly nth: number;
  readonly mark: string;
}

function readArmed(text: string | undefined): ArmedPoint | undefined {
  const match = /^([a-z_.]+):(\d+):(.+)$/.exec(text ?? '');
  return match === null ? undefined : { name: match[1] ?? '', nth: Number(match[2]), mark: match[3] ?? '' };
}

export const KILL_VARIABLE = 'KILL_HEDGEROW_AT';
const armed = readArmed(processEnv()[KILL_VARIABLE]);
let passings = 0;

export function passKillPoint(name: KillPoint): void {
  if (armed === undefined) return;
  if (armed.name === name) countPassing(armed);
}

/** What a child process needs to be armed as well. */
export function killPointEnv(): Readonly<Record<string, string>> {
  return armed === undefined ? {} : { [KILL_VARIABLE]: `${armed.name}:${armed.nth}:${armed.mark}` };
}

function countPassing({ nth, mark }: ArmedPoint): void {
  passings += 1;
  if (passings !== nth) return;
  try {
    closeSync(openSync(mark, 'wx'));
  } catch {
    return; // ended here once before
  }
  process.kill(process.pid, 'SIGKILL');
}
