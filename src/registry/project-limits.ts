/** What a project may send. The registry keeps it, so that every process sees a change within a second. */
import type { ProjectId } from '../event/ids.ts';

/** Undefined: no such limit. */
export interface ProjectLimits {
  /** May be a fraction. */
  readonly eventsPerSecond: number | undefined;
  /** Events that may come at once; undefined: as many as in one second, at least 1. Without a rate it says nothing. */
  readonly burst: number | undefined;
  /** Events a calendar month, UTC. */
  readonly monthlyQuota: number | undefined;
}

export type LimitName = keyof ProjectLimits;

/** A name left out stays as it is. */
export type LimitsChange = { readonly [Name in LimitName]?: number | 'none' };

/** Events that a project sent in a month. */
export interface EventUse {
  readonly projectId: ProjectId;
  /** `YYYY-MM`, UTC. */
  readonly month: string;
  /** Negative: given back. */
  readonly events: number;
}

export const noLimits: ProjectLimits = Object.freeze({
  eventsPerSecond: undefined,
  burst: undefined,
  monthlyQuota: undefined,
});

const MIN_EVENTS_PER_SECOND = 0.001;
/** Beyond any machine: a slip of the keyboard. */
const MAX_RATE = 1e9;
const MAX_QUOTA = 1e15;

interface LimitRule {
  readonly isValid: (value: number) => boolean;
  /** Completes "must be …". */
  readonly expected: string;
}

/** What each limit may be, for the API and the command line alike. */
export const limitRules: Readonly<Record<LimitName, LimitRule>> = {
  eventsPerSecond: {
    isValid: (value) => value >= MIN_EVENTS_PER_SECOND && value <= MAX_RATE,
    expected: `a number from ${MIN_EVENTS_PER_SECOND} to ${MAX_RATE}`,
  },
  burst: {
    isValid: (value) => Number.isInteger(value) && value >= 1 && value <= MAX_RATE,
    expected: `a whole number from 1 to ${MAX_RATE}`,
  },
  monthlyQuota: {
    isValid: (value) => Number.isInteger(value) && value >= 0 && value <= MAX_QUOTA,
    expected: `a whole number from 0 to ${MAX_QUOTA}`,
  },
};

export function withChange(limits: ProjectLimits, change: LimitsChange): ProjectLimits {
  const changed = (name: LimitName): number | undefined => {
    const wanted = change[name];
    if (wanted === undefined) return limits[name];
    return wanted === 'none' ? undefined : wanted;
  };
  return Object.freeze({
    eventsPerSecond: changed('eventsPerSecond'),
    burst: changed('burst'),
    monthlyQuota: changed('monthlyQuota'),
  });
}
