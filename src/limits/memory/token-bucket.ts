import type { ProjectLimits } from '../../registry/project-limits.ts';

/** The sum of many small refills, rounded each time, must not cost a client its token. In tokens. */
const ROUNDING = 1e-6;

/** The bucket's shape; undefined when the limits name no rate. */
export function bucketShape(limits: ProjectLimits): BucketShape | undefined {
  const { eventsPerSecond, burst } = limits;
  if (eventsPerSecond === undefined) return undefined;
  return { eventsPerSecond, burst: burst ?? Math.max(1, Math.ceil(eventsPerSecond)) };
}

export interface BucketShape {
  readonly eventsPerSecond: number;
  /** Most tokens it holds. */
  readonly burst: number;
}

/**
 * A token bucket in whole events. Tokens may fall below 0: after a request larger than the burst, and when another process
 * has spent some; whoever comes then waits until that is paid back, so that the rate holds on average.
 *
 * @remarks `nowMs` is monotonic, and so is each call.
 */
export class TokenBucket {
  #shape: BucketShape;
  #tokens: number;
  #filledAtMs: number;

  /** Full. */
  constructor(shape: BucketShape, nowMs: number) {
    this.#shape = shape;
    this.#tokens = shape.burst;
    this.#filledAtMs = nowMs;
  }

  get shape(): BucketShape {
    return this.#shape;
  }

  /** @returns 0 when they were taken, else seconds until they could be. Allocates nothing. */
  take(events: number, nowMs: number): number {
    this.#fill(nowMs);
    const { burst, eventsPerSecond } = this.#shape;
    const needed = Math.min(events, burst);
    if (this.#tokens + ROUNDING >= needed) {
      this.#tokens -= events;
      return 0;
    }
    return (needed - this.#tokens) / eventsPerSecond;
  }

  /** Takes without asking; below 0 gives back. */
  spend(events: number): void {
    this.#tokens = Math.min(this.#shape.burst, this.#tokens - events);
  }

  /** What was spent stays spent: a larger burst has its additional room at once. */
  reshape(shape: BucketShape, nowMs: number): void {
    this.#fill(nowMs);
    const more = Math.max(0, shape.burst - this.#shape.burst);
    this.#tokens = Math.min(shape.burst, this.#tokens + more);
    this.#shape = shape;
  }

  /** From 0, full, to 1, empty or in debt. */
  usedRatio(nowMs: number): number {
    this.#fill(nowMs);
    return Math.min(1, 1 - this.#tokens / this.#shape.burst);
  }

  #fill(nowMs: number): void {
    const { burst, eventsPerSecond } = this.#shape;
    this.#tokens = Math.min(burst, this.#tokens + ((nowMs - this.#filledAtMs) / 1000) * eventsPerSecond);
    this.#filledAtMs = nowMs;
  }
}
