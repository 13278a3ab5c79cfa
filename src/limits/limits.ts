/**
 * The limits' port: has a project room for more events, and how much of its month is used. Engines: memory/. Each passes
 * test/contract/limits.contract.ts.
 *
 * Rate     a token bucket: `eventsPerSecond` tokens a second, at most `burst` of them; an event takes one. A request of
 *          more events than the burst is let in when the bucket is full, and the next one waits until its debt is paid.
 * Quota    events a calendar month (UTC); a request that would pass it is refused whole, so a month never has more, but
 *          for what several processes let in between two of their looks at each other's counts.
 * Order    quota, then rate (protocol.md 5.2); a refusal by either takes nothing from the other.
 */
import type { RateGate } from '../admission/rate-gate.ts';
import type { ProjectId } from '../event/ids.ts';

/** How often `app.ts` calls `sync`: what a crash may leave uncounted, and how late a process learns of another's use. */
export const SYNC_MS = 1_000;

/** From 0, nothing, to 1, all; undefined when no project has such a limit. */
export interface LimitUse {
  /** Of the quota that is used most. */
  readonly quotaRatio: number | undefined;
  /** Of the burst that is used most. */
  readonly burstRatio: number | undefined;
}

export interface Limits extends RateGate {
  /** Counted for every project, with a quota or without. */
  usedThisMonth(projectId: ProjectId): number;
  /** As of the last request or `sync`. Never throws. */
  mostUsed(): LimitUse;
  /** Writes down what was counted and learns what other processes counted. Never rejects; a failure is tried again. */
  sync(): Promise<void>;
  /** Writes down the rest. */
  close(): Promise<void>;
}
