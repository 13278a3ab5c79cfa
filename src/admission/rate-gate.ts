/** Has the project room for these events? The question, and the answer as a fault. */
import { type Fault, fault } from '../errors.ts';
import type { ProjectId } from '../event/ids.ts';

export type LimitRefusal =
  | {
      readonly code: 'rate_limited';
      /** Until there is room, from 1 to MAX_RETRY_AFTER_SECONDS. */
      readonly retryAfterSeconds: number;
      readonly fields: { readonly events: number; readonly eventsPerSecond: number; readonly burst: number };
    }
  | {
      readonly code: 'quota_exceeded';
      readonly retryAfterSeconds: number;
      readonly fields: { readonly events: number; readonly used: number; readonly monthlyQuota: number };
    };

/** So that a raised limit is noticed soon, whatever was promised before it (interface.md 3). */
export const MAX_RETRY_AFTER_SECONDS = 60;

/** The question admission asks about rates and quotas; `app.ts` hands it the limits. Once a request, so synchronous. */
export interface RateGate {
  /** Takes room for `events` events, all or nothing. Undefined: taken. Allocates nothing then. */
  take(projectId: ProjectId, events: number): LimitRefusal | undefined;
  /** Of events that were taken room for and not stored after all: they will come again. */
  giveBack(projectId: ProjectId, events: number): void;
}

/**
 * How a sender takes a refusal: most wait and send again after a 429; some throw the events away on it, and on any 4xx, but
 * send again after a 503; V1 has no 429 (interface.md 2).
 */
export type RefusalManner = 'plain' | 'drops_on_429' | 'v1';

export function limitFault(refusal: LimitRefusal, manner: RefusalManner): Fault {
  const { retryAfterSeconds } = refusal;
  const plain =
    refusal.code === 'rate_limited' ? fault('rate_limited', refusal.fields) : fault('quota_exceeded', refusal.fields);
  switch (manner) {
    case 'plain':
      return { ...plain, retryAfterSeconds };
    case 'drops_on_429':
      return { ...plain, retryAfterSeconds, status: 503 };
    case 'v1':
      return refusal.code === 'rate_limited' ? { ...plain, retryAfterSeconds, status: 503 } : { ...plain, status: 402 };
  }
}
