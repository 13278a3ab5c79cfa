import type { AppendRefusal } from '../log.ts';
import { errnoOf } from './disk.ts';

export type OutageRefusal = AppendRefusal & { readonly code: 'disk_full' | 'log_unavailable' };

export const overloaded: AppendRefusal = { kind: 'refused', code: 'overloaded' };
export const draining: AppendRefusal = { kind: 'refused', code: 'draining' };
export const diskFull: OutageRefusal = { kind: 'refused', code: 'disk_full' };
const logUnavailable: OutageRefusal = { kind: 'refused', code: 'log_unavailable' };

/** What appends are told that a failure of the disk has cost. */
export function refusalFor(cause: unknown): OutageRefusal {
  const errno = errnoOf(cause);
  return errno === 'ENOSPC' || errno === 'EDQUOT' ? diskFull : logUnavailable;
}
