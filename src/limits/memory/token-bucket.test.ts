import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noLimits } from '../../registry/project-limits.ts';
import { bucketShape, TokenBucket } from './token-bucket.ts';

const shapes = fc.record({
  eventsPerSecond: fc.double({ min: 0.001, max: 100_000, noNaN: true }),
  burst: fc.integer({ min: 1, max: 100_000 }),
});
const requests = fc.array(
  fc.record({ afterMs: fc.integer({ min: 0, max: 5_000 }), part: fc.double({ min: 0, max: 3, noNaN: true }) }),
  { minLength: 1, maxLength: 200 },
);

describe('a token bucket', () => {
  it('has no shape without a rate, and one second’s worth of burst where none is given', () => {
    expect(bucketShape({ ...noLimits, burst: 5 })).toBeUndefined();
    expect(bucketShape({ ...noLimits, eventsPerSecond: 0.2 })).toEqual({ eventsPerSecond: 0.2, burst: 1 });
    expect(bucketShape({ ...noLimits, eventsPerSecond: 99.5 })).toEqual({ eventsPerSecond: 99.5, burst: 100 });
  });

  it('never lets in more than the burst, the rate’s share of the time, and what one request has beyond the burst', () => {
    fc.assert(
      fc.property(shapes, requests, (shape, asked) => {
        const bucket = new TokenBucket(shape, 0);
        let nowMs = 0;
        let taken = 0;
        for (const { afterMs, part } of asked) {
          nowMs += afterMs;
          const events = Math.ceil(part * shape.burst);
          if (bucket.take(events, nowMs) > 0) continue;
          const room = shape.burst + (nowMs / 1000) * shape.eventsPerSecond - taken;
          expect(Math.min(events, shape.burst)).toBeLessThanOrEqual(room + 0.01);
          taken += events;
        }
      }),
    );
  });

  it('lets a refused request in once the seconds have passed that it named, and not before', () => {
    fc.assert(
      fc.property(shapes, requests, (shape, asked) => {
        const bucket = new TokenBucket(shape, 0);
        let nowMs = 0;
        for (const { afterMs, part } of asked) {
          nowMs += afterMs;
          const events = Math.ceil(part * shape.burst);
          const waitMs = bucket.take(events, nowMs) * 1000;
          if (waitMs === 0) continue;
          expect(waitMs).toBeLessThan(Number.POSITIVE_INFINITY);
          if (waitMs > 0.1) expect(bucket.take(events, nowMs + waitMs * 0.9)).toBeGreaterThan(0);
          nowMs += waitMs + 0.001;
          expect(bucket.take(events, nowMs)).toBe(0);
        }
      }),
    );
  });

  it('that is asked without a pause neither fills nor drains by it', () => {
    const bucket = new TokenBucket({ eventsPerSecond: 1_000, burst: 10 }, 0);
    bucket.spend(10);
    for (let i = 0; i < 1_000; i++) expect(bucket.take(1, 0)).toBe(0.001);
    bucket.spend(-3);
    expect(bucket.usedRatio(0)).toBeCloseTo(0.7);
    bucket.spend(-100);
    expect(bucket.usedRatio(0)).toBe(0);
    bucket.spend(1_000);
    expect(bucket.usedRatio(0)).toBe(1);
  });
});
