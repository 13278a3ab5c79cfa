import type { QueryFault } from '../store.ts';
import { EngineError } from './engine-session.ts';

const TIMEOUT = new Set([159, 160]); // TIMEOUT_EXCEEDED, TOO_SLOW
const CANCELLED = new Set([394, 735]); // QUERY_WAS_CANCELLED, and by the client
const MEMORY = new Set([241, 173]); // MEMORY_LIMIT_EXCEEDED, CANNOT_ALLOCATE_MEMORY
const REFUSED = new Set([164, 452, 497]); // READONLY, SETTING_CONSTRAINT_VIOLATION, ACCESS_DENIED

/** Failures of the machine, not of a block: the same block may go in later. */
const TRANSIENT = new Set([
  0, 23, 24, 74, 75, 76, 87, 159, 173, 202, 236, 241, 243, 252, 394, 439, 735,
  // 23 read, 24 write, 74-76 open and read and write files, 87 seek, 202 too many queries, 236 aborted,
  // 243 no space, 252 too many parts, 439 no thread
]);

export function isTransient(error: unknown): boolean {
  return !(error instanceof EngineError) || TRANSIENT.has(error.code);
}

const MAX_MESSAGE_LENGTH = 600;

/** The engine's sentence without its number, its paths, its exception class and what it was executing. */
export function cleanMessage(message: string): string {
  const text = message
    .replace(/^Code: \d+\. /, '')
    .replace(/DB::(\w+Exception|Exception): /g, '')
    .replace(/\s*\([A-Z][A-Z0-9_]+\)\s*(\(version [^)]*\))?\s*$/, '')
    .replace(/:? ?[Ww]hile executing [\s\S]*$/, '')
    .replace(/,? ?(Stack trace|stack trace)[\s\S]*$/, '')
    .replace(/\s*\(set [a-z_]+ = \d+ to disable restriction\)/, '')
    .replace(/In scope [\s\S]*?(?=Maybe you meant|$)/, '')
    .replace(/default: /g, '')
    .replace(/:\s*\.?\s*$/, '')
    .replace(/(?<![\w.$])\/(?:[\w.-]+\/)+[\w.-]*/g, '…')
    .replaceAll(/hedgerow(_internal)?\./g, '')
    .trim();
  const short = text.length > MAX_MESSAGE_LENGTH ? `${text.slice(0, MAX_MESSAGE_LENGTH)}…` : text;
  return /[.…?\])]$/.test(short) ? short : `${short}.`;
}

/** @param sql the user's own text, for line and column */
export function queryFault(error: unknown, sql: string, timeoutMs: number): QueryFault {
  if (!(error instanceof EngineError)) {
    return { kind: 'fault', reason: 'unavailable', message: 'The store cannot answer now; try again in a moment.' };
  }
  if (TIMEOUT.has(error.code)) {
    return { kind: 'fault', reason: 'timeout', message: `The query took longer than ${timeoutMs / 1000} s.` };
  }
  if (CANCELLED.has(error.code)) {
    return {
      kind: 'fault',
      reason: 'timeout',
      message: 'The query was stopped, as its caller had gone or its time was up.',
    };
  }
  if (MEMORY.has(error.code)) {
    return {
      kind: 'fault',
      reason: 'memory',
      message: 'The query needs more memory than one query may use; narrow its time range, its columns or its groups.',
    };
  }
  if (REFUSED.has(error.code)) {
    return { kind: 'fault', reason: 'refused', message: 'A query only reads: it cannot write or change settings.' };
  }
  const position = /position (\d+)/.exec(error.message)?.[1];
  const place = position === undefined ? '' : ` (${lineAndColumn(sql, Number(position))})`;
  return { kind: 'fault', reason: 'invalid', message: `${cleanMessage(error.message).replace(/\.$/, '')}${place}.` };
}

/** @param position counts from 1, in bytes */
function lineAndColumn(sql: string, position: number): string {
  const before = Buffer.from(sql, 'utf8')
    .subarray(0, Math.max(position - 1, 0))
    .toString('utf8');
  const lineStart = before.lastIndexOf('\n') + 1;
  return `line ${before.split('\n').length}, column ${before.length - lineStart + 1}`;
}
