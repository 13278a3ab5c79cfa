/**
 * What every engine of the limits promises. `open` gives an engine on a fresh registry with one project; its `openSecond`
 * another one on the same data, as another process has it; `reopen` closes all and opens the data again; `killAndReopen`
 * leaves out the closing. Time is the test's: nothing sleeps.
 */
import { describe, expect, it, onTestFinished } from 'vitest';
import type { LimitRefusal } from '../../src/admission/rate-gate.ts';
import type { Clock } from '../../src/event/clock.ts';
import { asEpochMs, type EpochMs, type ProjectId } from '../../src/event/ids.ts';
import type { Limits } from '../../src/limits/limits.ts';
import type { LimitsChange } from '../../src/registry/project-limits.ts';

export interface LimitsForTest {
  readonly limits: Limits;
  readonly projectId: ProjectId;
  readonly otherProjectId: ProjectId;
  readonly set: (projectId: ProjectId, change: LimitsChange) => Promise<void>;
  readonly openSecond: () => Promise<Limits>;
  /** Closes every engine first. */
  readonly reopen: () => Promise<Limits>;
  readonly killAndReopen: () => Promise<Limits>;
  /** While true, nothing can be written. */
  readonly failWrites: (isFailing: boolean) => void;
  /** Failures of writing that were told. */
  readonly faults: () => number;
  readonly dispose: () => Promise<void>;
}
export type OpenLimitsForTest = (clock: Clock) => Promise<LimitsForTest>;

const START = '2026-01-31T23:59:00.000Z';

class FakeClock implements Clock {
  #wallMs = Date.parse(START);
  #elapsedMs = 0;
  nowMs = (): EpochMs => asEpochMs(this.#wallMs);
  monotonicMs = (): number => this.#elapsedMs;
  advance(byMs: number): void {
    this.#wallMs += byMs;
    this.#elapsedMs += byMs;
  }
  /** As an operator or a time server does. */
  setWall(time: string): void {
    this.#wallMs = Date.parse(time);
  }
}

function taken(limits: Limits, projectId: ProjectId, events = 1): boolean {
  return limits.take(projectId, events) === undefined;
}

function refusalOf(limits: Limits, projectId: ProjectId, events = 1): LimitRefusal {
  const refusal = limits.take(projectId, events);
  if (refusal === undefined) throw new Error('it was let in');
  return refusal;
}

/** How many single events are let in at this moment. */
function room(limits: Limits, projectId: ProjectId): number {
  let count = 0;
  while (taken(limits, projectId)) {
    count += 1;
    if (count > 10_000) throw new Error('no end');
  }
  return count;
}

export function limitsContract(engine: string, open: OpenLimitsForTest): void {
  async function opened(change: LimitsChange = {}): Promise<LimitsForTest & { clock: FakeClock }> {
    const clock = new FakeClock();
    const forTest = await open(clock);
    onTestFinished(() => forTest.dispose());
    await forTest.set(forTest.projectId, change);
    return { ...forTest, clock };
  }

  describe(`a rate on ${engine}`, () => {
    it('lets a project without limits send what it likes, and counts it', async () => {
      const { limits, projectId, otherProjectId } = await opened();
      for (let i = 0; i < 100; i++) expect(taken(limits, projectId, 1_000)).toBe(true);
      expect(limits.usedThisMonth(projectId)).toBe(100_000);
      expect(limits.usedThisMonth(otherProjectId)).toBe(0);
      expect(limits.mostUsed()).toEqual({ quotaRatio: undefined, burstRatio: undefined });
    });

    it('lets in a burst, then the rate', async () => {
      const { limits, projectId, clock } = await opened({ eventsPerSecond: 10, burst: 25 });
      expect(room(limits, projectId)).toBe(25);
      clock.advance(99);
      expect(room(limits, projectId)).toBe(0);
      clock.advance(1);
      expect(room(limits, projectId)).toBe(1);
      clock.advance(1_000);
      expect(room(limits, projectId)).toBe(10);
      clock.advance(3_600_000);
      expect(room(limits, projectId)).toBe(25);
    });

    it('gains nothing and loses nothing by being asked often', async () => {
      const { limits, projectId, clock } = await opened({ eventsPerSecond: 3, burst: 3 });
      room(limits, projectId);
      let count = 0;
      for (let i = 0; i < 10_000; i++) {
        clock.advance(1);
        if (taken(limits, projectId)) count += 1;
      }
      expect(count).toBe(30);
    });

    it('gives each token at its time, however often it was asked for meanwhile', async () => {
      const { limits, projectId, clock } = await opened({ eventsPerSecond: 100, burst: 10 });
      room(limits, projectId);
      const seen = Array.from({ length: 20 }, () => {
        clock.advance(1);
        return taken(limits, projectId) ? 1 : 0;
      });
      expect(seen.join('')).toBe('0000000001'.repeat(2));
    });

    it('takes a rate below one event a second', async () => {
      const { limits, projectId, clock } = await opened({ eventsPerSecond: 0.1 });
      expect(room(limits, projectId)).toBe(1);
      expect(refusalOf(limits, projectId).retryAfterSeconds).toBe(10);
      clock.advance(9_999);
      expect(taken(limits, projectId)).toBe(false);
      clock.advance(1);
      expect(taken(limits, projectId)).toBe(true);
    });

    it('lets in as much as one second brings where no burst is given', async () => {
      const { limits, projectId } = await opened({ eventsPerSecond: 7.5 });
      expect(room(limits, projectId)).toBe(8);
    });

    it('takes a request whole or not at all, and a refusal costs nothing', async () => {
      const { limits, projectId } = await opened({ eventsPerSecond: 10, burst: 20 });
      expect(taken(limits, projectId, 15)).toBe(true);
      for (let i = 0; i < 5; i++) expect(taken(limits, projectId, 6)).toBe(false);
      expect(taken(limits, projectId, 5)).toBe(true);
      expect(limits.usedThisMonth(projectId)).toBe(20);
    });

    it('lets a request larger than the burst in when the bucket is full, and has its debt paid back', async () => {
      const { limits, projectId, clock } = await opened({ eventsPerSecond: 10, burst: 20 });
      expect(taken(limits, projectId, 1)).toBe(true);
      expect(refusalOf(limits, projectId, 50)).toEqual({
        code: 'rate_limited',
        retryAfterSeconds: 1,
        fields: { events: 50, eventsPerSecond: 10, burst: 20 },
      });
      clock.advance(100);
      expect(taken(limits, projectId, 50)).toBe(true);
      expect(refusalOf(limits, projectId, 1).retryAfterSeconds).toBe(4); // 30 in debt, and 1
      clock.advance(3_000);
      expect(taken(limits, projectId)).toBe(false);
      clock.advance(100);
      expect(taken(limits, projectId)).toBe(true);
    });

    it.each([
      [1, 1],
      [10, 1],
      [11, 2],
      [100, 10],
      [600, 60],
      [601, 60],
      [100_000, 60],
    ])(
      'says of %d events over a rate of 10/s to come again in %d s, never later than in 60',
      async (events, seconds) => {
        const { limits, projectId } = await opened({ eventsPerSecond: 10, burst: 1_000_000 });
        expect(taken(limits, projectId, 1_000_000)).toBe(true);
        expect(refusalOf(limits, projectId, events).retryAfterSeconds).toBe(seconds);
      },
    );

    it('keeps projects apart', async () => {
      const { limits, projectId, otherProjectId } = await opened({ eventsPerSecond: 1, burst: 1 });
      expect(room(limits, projectId)).toBe(1);
      expect(taken(limits, otherProjectId, 1_000)).toBe(true);
    });

    it('follows a change at once: more burst, less, another rate, none', async () => {
      const { limits, projectId, set, clock } = await opened({ eventsPerSecond: 1, burst: 10 });
      expect(taken(limits, projectId, 8)).toBe(true);
      await set(projectId, { burst: 15 });
      expect(room(limits, projectId)).toBe(7);
      await set(projectId, { burst: 3, eventsPerSecond: 100 });
      clock.advance(10_000);
      expect(room(limits, projectId)).toBe(3);
      await set(projectId, { eventsPerSecond: 'none' });
      expect(taken(limits, projectId, 1_000)).toBe(true);
      await set(projectId, { eventsPerSecond: 2 });
      expect(room(limits, projectId)).toBe(3);
    });

    it('gives back what was not stored', async () => {
      const { limits, projectId } = await opened({ eventsPerSecond: 1, burst: 10, monthlyQuota: 10 });
      expect(taken(limits, projectId, 10)).toBe(true);
      limits.giveBack(projectId, 10);
      expect(limits.usedThisMonth(projectId)).toBe(0);
      expect(room(limits, projectId)).toBe(10);
    });

    it('holds for two processes together on average', async () => {
      const { limits, projectId, openSecond, clock } = await opened({ eventsPerSecond: 10, burst: 10 });
      const second = await openSecond();
      let count = 0;
      for (let tenths = 0; tenths < 1_000; tenths++) {
        clock.advance(100);
        count += room(limits, projectId) + room(second, projectId);
        if (tenths % 10 === 9) await Promise.all([limits.sync(), second.sync()]);
      }
      expect(count).toBeGreaterThan(950);
      expect(count).toBeLessThanOrEqual(1_000 + 2 * (10 + 10)); // two bursts, and a second that they do not hear of each other
    });

    it('tells how much of its burst is used', async () => {
      const { limits, projectId, clock } = await opened({ eventsPerSecond: 10, burst: 20 });
      await limits.sync();
      expect(limits.mostUsed()).toEqual({ quotaRatio: undefined, burstRatio: 0 });
      limits.take(projectId, 15);
      expect(limits.mostUsed().burstRatio).toBeCloseTo(0.75);
      limits.take(projectId, 5);
      clock.advance(500);
      expect(limits.mostUsed().burstRatio).toBeCloseTo(0.75);
    });
  });

  describe(`a quota on ${engine}`, () => {
    it('lets in the quota to its last event, and refuses whole what would pass it', async () => {
      const { limits, projectId } = await opened({ monthlyQuota: 100 });
      expect(taken(limits, projectId, 98)).toBe(true);
      expect(refusalOf(limits, projectId, 3)).toEqual({
        code: 'quota_exceeded',
        retryAfterSeconds: 60,
        fields: { events: 3, used: 98, monthlyQuota: 100 },
      });
      expect(taken(limits, projectId, 2)).toBe(true);
      expect(taken(limits, projectId, 1)).toBe(false);
      expect(limits.usedThisMonth(projectId)).toBe(100);
      expect(limits.mostUsed()).toEqual({ quotaRatio: 1, burstRatio: undefined });
    });

    it('of 0 lets in nothing', async () => {
      const { limits, projectId } = await opened({ monthlyQuota: 0 });
      expect(room(limits, projectId)).toBe(0);
      expect(limits.mostUsed().quotaRatio).toBe(1);
    });

    it('set in the middle of a month counts what came before it', async () => {
      const { limits, projectId, set } = await opened();
      expect(taken(limits, projectId, 90)).toBe(true);
      await set(projectId, { monthlyQuota: 100 });
      expect(room(limits, projectId)).toBe(10);
      await set(projectId, { monthlyQuota: 105 });
      expect(room(limits, projectId)).toBe(5);
      await set(projectId, { monthlyQuota: 'none' });
      expect(taken(limits, projectId, 1_000)).toBe(true);
    });

    it('is asked before the rate, and neither takes from the other', async () => {
      const { limits, projectId, clock } = await opened({ monthlyQuota: 10, eventsPerSecond: 5, burst: 5 });
      expect(refusalOf(limits, projectId, 11).code).toBe('quota_exceeded');
      expect(room(limits, projectId)).toBe(5);
      expect(refusalOf(limits, projectId, 5).code).toBe('rate_limited');
      clock.advance(1_000);
      expect(room(limits, projectId)).toBe(5);
      expect(refusalOf(limits, projectId).code).toBe('quota_exceeded');
    });

    it('begins anew with the month, and the month before keeps what came in it', async () => {
      const { limits, projectId, clock } = await opened({ monthlyQuota: 10 });
      expect(room(limits, projectId)).toBe(10);
      clock.advance(59_999);
      expect(room(limits, projectId)).toBe(0);
      clock.advance(1); // 2026-02-01T00:00Z; the 10 were never synced
      expect(limits.usedThisMonth(projectId)).toBe(0);
      expect(room(limits, projectId)).toBe(10);
      await limits.sync();
      expect(limits.usedThisMonth(projectId)).toBe(10);
      clock.setWall('2026-01-31T12:00:00Z');
      expect(limits.usedThisMonth(projectId)).toBe(10);
      expect(room(limits, projectId)).toBe(0);
    });

    it('survives a clean stop to the last event', async () => {
      const { limits, projectId, reopen } = await opened({ monthlyQuota: 10 });
      limits.take(projectId, 3);
      await limits.sync();
      limits.take(projectId, 4);
      const later = await reopen();
      expect(later.usedThisMonth(projectId)).toBe(7);
      expect(room(later, projectId)).toBe(3);
    });

    it('survives a kill, but for what was counted since the last sync', async () => {
      const { limits, projectId, killAndReopen } = await opened({ monthlyQuota: 10 });
      limits.take(projectId, 6);
      await limits.sync();
      limits.take(projectId, 1);
      const later = await killAndReopen();
      expect(later.usedThisMonth(projectId)).toBe(6);
    });

    it('is counted once for all processes, each learning of the others by a sync', async () => {
      const { limits, projectId, openSecond } = await opened({ monthlyQuota: 100 });
      const second = await openSecond();
      limits.take(projectId, 10);
      second.take(projectId, 20);
      await Promise.all([limits.sync(), second.sync()]);
      await Promise.all([limits.sync(), second.sync()]);
      for (const each of [limits, second]) expect(each.usedThisMonth(projectId)).toBe(30);
      second.take(projectId, 70);
      await second.sync();
      expect(taken(second, projectId)).toBe(false);
      await limits.sync();
      expect(taken(limits, projectId)).toBe(false);
      expect(limits.usedThisMonth(projectId)).toBe(100);
    });

    it('counts on while nothing can be written, says so once, and writes it later', async () => {
      const { limits, projectId, failWrites, faults, reopen, clock } = await opened({ monthlyQuota: 10 });
      failWrites(true);
      limits.take(projectId, 4);
      await limits.sync();
      limits.take(projectId, 1);
      await limits.sync();
      expect(faults()).toBe(1);
      expect(limits.usedThisMonth(projectId)).toBe(5);
      clock.advance(60_000); // a new month; the 5 belong to the last
      limits.take(projectId, 2);
      await limits.sync();
      failWrites(false);
      await limits.sync();
      const later = await reopen();
      expect(later.usedThisMonth(projectId)).toBe(2);
      clock.setWall(START);
      expect(later.usedThisMonth(projectId)).toBe(5);
    });

    it('counts what comes while a sync is under way', async () => {
      const { limits, projectId, reopen } = await opened({ monthlyQuota: 100 });
      limits.take(projectId, 1);
      const syncing = limits.sync();
      limits.take(projectId, 2);
      expect(limits.usedThisMonth(projectId)).toBe(3);
      await syncing;
      expect(limits.usedThisMonth(projectId)).toBe(3);
      limits.giveBack(projectId, 1);
      expect((await reopen()).usedThisMonth(projectId)).toBe(2);
    });

    it('stopped while a sync is under way, writes down what came behind it too', async () => {
      const { limits, projectId, reopen } = await opened({ monthlyQuota: 100 });
      limits.take(projectId, 1);
      const syncing = limits.sync();
      limits.take(projectId, 2);
      const later = await reopen();
      await syncing;
      expect(later.usedThisMonth(projectId)).toBe(3);
    });
  });
}
