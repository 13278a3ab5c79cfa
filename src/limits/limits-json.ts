import { type LimitName, noLimits, type ProjectLimits } from '../registry/project-limits.ts';

/** The limits of a project as the API and the command line show them (interface.md 3); null: none. */
export interface LimitsJson {
  readonly events_per_second: number | null;
  readonly burst: number | null;
  readonly monthly_quota: number | null;
  readonly used_this_month: number;
}

/** What each limit is called there. */
export const limitWireNames = {
  eventsPerSecond: 'events_per_second',
  burst: 'burst',
  monthlyQuota: 'monthly_quota',
} as const satisfies Readonly<Record<LimitName, keyof LimitsJson>>;

export const limitNames = ['eventsPerSecond', 'burst', 'monthlyQuota'] as const satisfies readonly LimitName[];

export function limitsJson(limits: ProjectLimits | undefined, usedThisMonth: number): LimitsJson {
  const { eventsPerSecond = null, burst = null, monthlyQuota = null } = limits ?? noLimits;
  return { events_per_second: eventsPerSecond, burst, monthly_quota: monthlyQuota, used_this_month: usedThisMonth };
}
