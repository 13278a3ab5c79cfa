/**
 * The limits of one machine: buckets in memory, counts of the month in memory and once a second in the registry.
 *
 * Guarantees
 *   G1  An event is counted once, whichever process took it: each adds to the registry only what it counted itself.
 *   G2  After a clean stop nothing is uncounted; after a crash at most what this process took since its last `sync`
 *       began, which is SYNC_MS and the length of one synced write.
 *   G3  A failed write loses nothing: it is added to the next one.
 * Processes One that shares the data folder is heard of at each `sync`: what it counted meanwhile is also taken from this
 *          process's bucket, which may thereby fall into debt. So rate and quota hold for all processes together, late by at
 *          most SYNC_MS: within it each of them may let in what it has room for.
 * Bounds   One tally a project that sends or has a limit. No timer of its own.
 * Restart  A bucket begins full.
 * Source   docs/decisions/0009-limits.md; protocol.md 6.
 */
import { type LimitRefusal, MAX_RETRY_AFTER_SECONDS } from '../../admission/rate-gate.ts';
import type { Clock } from '../../event/clock.ts';
import type { ProjectId } from '../../event/ids.ts';
import type { EventUse, ProjectLimits } from '../../registry/project-limits.ts';
import type { Registry } from '../../registry/registry.ts';
import { calendarMonth, type CalendarMonth } from '../calendar-month.ts';
import type { Limits, LimitUse } from '../limits.ts';
import { type BucketShape, bucketShape, TokenBucket } from './token-bucket.ts';

export interface MemoryLimitsNeeds {
  readonly registry: Pick<Registry, 'projectLimits' | 'eventUse' | 'addEventUse'>;
  readonly clock: Clock;
  /** The counts could not be written; they will be, once that is mended. Told once until then. */
  readonly onFault: (error: unknown) => void;
}

/** One project. Its count of the month is the sum of the three numbers. */
interface Tally {
  monthlyQuota: number | undefined;
  bucket: TokenBucket | undefined;
  /** In the registry, by all processes, when last looked at. */
  booked: number;
  /** On its way there. */
  underWay: number;
  /** Not sent yet; below 0 when events that are booked were given back. */
  pending: number;
}

export class MemoryLimits implements Limits {
  readonly #registry: MemoryLimitsNeeds['registry'];
  readonly #clock: Clock;
  readonly #onFault: (error: unknown) => void;
  readonly #tallies = new Map<ProjectId, Tally>();
  /** Of months that are over. */
  #leftOver: EventUse[] = [];
  #month: CalendarMonth;
  /** As last taken over from the registry. */
  #limits: ReadonlyMap<ProjectId, ProjectLimits> = new Map();
  #syncing: Promise<void> | undefined;
  #isFailing = false;

  constructor({ registry, clock, onFault }: MemoryLimitsNeeds) {
    this.#registry = registry;
    this.#clock = clock;
    this.#onFault = onFault;
    this.#month = calendarMonth(clock.nowMs());
  }

  take(projectId: ProjectId, events: number): LimitRefusal | undefined {
    const tally = this.#tallyOf(projectId);
    const { monthlyQuota, bucket } = tally;
    if (monthlyQuota !== undefined) {
      const used = usedOf(tally);
      if (used + events > monthlyQuota) {
        const fields = { events, used, monthlyQuota };
        return { code: 'quota_exceeded', retryAfterSeconds: MAX_RETRY_AFTER_SECONDS, fields };
      }
    }
    if (bucket !== undefined) {
      const waitSeconds = bucket.take(events, this.#clock.monotonicMs());
      if (waitSeconds > 0) return rateRefusal(events, waitSeconds, bucket.shape);
    }
    tally.pending += events;
    return undefined;
  }

  giveBack(projectId: ProjectId, events: number): void {
    const tally = this.#tallyOf(projectId);
    tally.pending -= events;
    tally.bucket?.spend(-events);
  }

  usedThisMonth(projectId: ProjectId): number {
    const tally = this.#tallyOf(projectId);
    if (tally.underWay === 0) this.#learn(tally, this.#registry.eventUse(projectId, this.#month.name));
    return usedOf(tally);
  }

  mostUsed(): LimitUse {
    const nowMs = this.#clock.monotonicMs();
    let quotaRatio: number | undefined;
    let burstRatio: number | undefined;
    for (const tally of this.#tallies.values()) {
      const { monthlyQuota, bucket } = tally;
      if (monthlyQuota !== undefined) {
        const ratio = monthlyQuota === 0 ? 1 : Math.min(1, usedOf(tally) / monthlyQuota);
        quotaRatio = Math.max(quotaRatio ?? 0, ratio);
      }
      if (bucket !== undefined) burstRatio = Math.max(burstRatio ?? 0, bucket.usedRatio(nowMs));
    }
    return { quotaRatio, burstRatio };
  }

  sync(): Promise<void> {
    this.#syncing ??= this.#exchange()
      .catch((error: unknown) => {
        if (!this.#isFailing) this.#onFault(error);
        this.#isFailing = true;
      })
      .finally(() => {
        this.#syncing = undefined;
      });
    return this.#syncing;
  }

  /** The one under way may have begun before the last events were counted. */
  async close(): Promise<void> {
    await this.#syncing;
    await this.sync();
  }

  async #exchange(): Promise<void> {
    this.#follow();
    const uses = this.#takeUses();
    if (uses.length > 0) {
      let sums: readonly number[];
      try {
        sums = await this.#registry.addEventUse(uses);
      } catch (error) {
        this.#putBack(uses);
        throw error;
      }
      this.#book(uses, sums);
    }
    for (const [projectId, tally] of this.#tallies) {
      const isWatched = tally.monthlyQuota !== undefined || tally.bucket !== undefined;
      if (isWatched) this.#learn(tally, this.#registry.eventUse(projectId, this.#month.name));
    }
    this.#isFailing = false;
  }

  #takeUses(): readonly EventUse[] {
    const uses = this.#leftOver;
    this.#leftOver = [];
    for (const [projectId, tally] of this.#tallies) {
      if (tally.pending === 0) continue;
      uses.push({ projectId, month: this.#month.name, events: tally.pending });
      tally.underWay = tally.pending;
      tally.pending = 0;
    }
    return uses;
  }

  #book(uses: readonly EventUse[], sums: readonly number[]): void {
    uses.forEach(({ projectId, month, events }, at) => {
      const tally = this.#tallies.get(projectId);
      if (tally === undefined || month !== this.#month.name) return; // a new month began meanwhile
      tally.booked += events;
      tally.underWay = 0;
      this.#learn(tally, sums[at] ?? tally.booked);
    });
  }

  #putBack(uses: readonly EventUse[]): void {
    for (const use of uses) {
      const tally = this.#tallies.get(use.projectId);
      if (tally === undefined || use.month !== this.#month.name) {
        this.#leftOver.push(use);
      } else {
        tally.pending += use.events;
        tally.underWay = 0;
      }
    }
  }

  /** What others counted since the last look has left this bucket too. */
  #learn(tally: Tally, booked: number): void {
    const byOthers = booked - tally.booked;
    tally.booked = booked;
    if (byOthers > 0) tally.bucket?.spend(byOthers);
  }

  #tallyOf(projectId: ProjectId): Tally {
    this.#follow();
    return this.#tallies.get(projectId) ?? this.#openTally(projectId);
  }

  /** Notices a new month and changed limits. */
  #follow(): void {
    const nowMs = this.#clock.nowMs();
    if (nowMs >= this.#month.endMs || nowMs < this.#month.startMs) this.#turnMonth(nowMs);
    const limits = this.#registry.projectLimits();
    if (limits !== this.#limits) this.#adopt(limits);
  }

  #turnMonth(nowMs: number): void {
    const { name: month } = this.#month;
    this.#month = calendarMonth(nowMs);
    for (const [projectId, tally] of this.#tallies) {
      if (tally.pending !== 0) this.#leftOver.push({ projectId, month, events: tally.pending });
      tally.pending = 0;
      tally.underWay = 0; // `#exchange` still holds it, under its own month
      tally.booked = this.#registry.eventUse(projectId, this.#month.name);
    }
  }

  #adopt(limits: ReadonlyMap<ProjectId, ProjectLimits>): void {
    this.#limits = limits;
    for (const [projectId, tally] of this.#tallies) this.#setLimits(tally, limits.get(projectId));
    for (const projectId of limits.keys()) if (!this.#tallies.has(projectId)) this.#openTally(projectId);
  }

  #openTally(projectId: ProjectId): Tally {
    const booked = this.#registry.eventUse(projectId, this.#month.name);
    const tally: Tally = { monthlyQuota: undefined, bucket: undefined, booked, underWay: 0, pending: 0 };
    this.#setLimits(tally, this.#limits.get(projectId));
    this.#tallies.set(projectId, tally);
    return tally;
  }

  #setLimits(tally: Tally, limits: ProjectLimits | undefined): void {
    tally.monthlyQuota = limits?.monthlyQuota;
    const shape = limits === undefined ? undefined : bucketShape(limits);
    if (shape === undefined) tally.bucket = undefined;
    else if (tally.bucket === undefined) tally.bucket = new TokenBucket(shape, this.#clock.monotonicMs());
    else tally.bucket.reshape(shape, this.#clock.monotonicMs());
  }
}

function usedOf({ booked, underWay, pending }: Tally): number {
  return Math.max(0, booked + underWay + pending);
}

function rateRefusal(events: number, waitSeconds: number, shape: BucketShape): LimitRefusal {
  const seconds = Math.min(MAX_RETRY_AFTER_SECONDS, Math.max(1, Math.ceil(waitSeconds)));
  const { eventsPerSecond, burst } = shape;
  return { code: 'rate_limited', retryAfterSeconds: seconds, fields: { events, eventsPerSecond, burst } };
}
