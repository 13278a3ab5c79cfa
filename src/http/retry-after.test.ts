import { describe, expect, it } from 'vitest';
import { fault } from '../errors.ts';
import { retryAfterSeconds } from './retry-after.ts';

const first = { requestId: '01900000-0000-7000-8000-000000000000', speaksV1: false };
const last = { requestId: '01900000-0000-7000-8000-00000000ffff', speaksV1: false };
const limited = fault('rate_limited', { events: 1, eventsPerSecond: 1, burst: 1 });

describe('Retry-After', () => {
  it('is absent where the same request would be refused again', () => {
    expect(retryAfterSeconds(fault('empty_batch'), first)).toBeUndefined();
    expect(retryAfterSeconds({ ...limited, status: 402 }, first)).toBeUndefined();
  });

  it('spreads those that a 503 or a limit refuses together, and nobody comes before the time', () => {
    expect(retryAfterSeconds(fault('overloaded'), first)).toBe(1);
    expect(retryAfterSeconds(fault('overloaded'), last)).toBe(4);
    expect(retryAfterSeconds({ ...limited, retryAfterSeconds: 20 }, first)).toBe(20);
    expect(retryAfterSeconds({ ...limited, retryAfterSeconds: 20 }, last)).toBe(32);
    const seen = Array.from({ length: 256 }, (_, n) => {
      const requestId = `01900000-0000-7000-8000-00000000${n.toString(16).padStart(2, '0')}00`;
      return retryAfterSeconds(fault('overloaded'), { ...first, requestId });
    });
    expect([...new Set(seen)]).toEqual([1, 2, 3, 4]);
  });

  it('is at most 60 s', () => {
    expect(retryAfterSeconds({ ...limited, retryAfterSeconds: 55 }, last)).toBe(60);
    expect(retryAfterSeconds({ ...limited, retryAfterSeconds: 60 }, last)).toBe(60);
  });

  it('is 1 s after a client’s own fault, and on V1', () => {
    expect(retryAfterSeconds(fault('body_timeout', { timeoutMs: 1 }), last)).toBe(1);
    expect(retryAfterSeconds(fault('overloaded'), { ...last, speaksV1: true })).toBe(1);
    expect(retryAfterSeconds({ ...limited, status: 503, retryAfterSeconds: 9 }, { ...first, speaksV1: true })).toBe(9);
  });
});
