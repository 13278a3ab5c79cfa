import { describe, expect, it } from 'vitest';
import { errors } from '../errors.ts';
import { type LimitRefusal, limitFault } from './rate-gate.ts';

const rate: LimitRefusal = {
  code: 'rate_limited',
  retryAfterSeconds: 7,
  fields: { events: 20, eventsPerSecond: 10, burst: 50 },
};
const quota: LimitRefusal = {
  code: 'quota_exceeded',
  retryAfterSeconds: 60,
  fields: { events: 20, used: 990, monthlyQuota: 1000 },
};

describe('a refusal by a limit', () => {
  it('is 429 for who sends again after one', () => {
    expect(limitFault(rate, 'plain')).toEqual({
      kind: 'fault',
      code: 'rate_limited',
      detail: errors.rate_limited.detail(rate.fields),
      attr: null,
      retryAfterSeconds: 7,
    });
    expect(limitFault(quota, 'plain')).toMatchObject({ code: 'quota_exceeded', retryAfterSeconds: 60 });
    expect([errors.rate_limited.status, errors.quota_exceeded.status]).toEqual([429, 429]);
  });

  it('is 503 for who throws events away on 429', () => {
    expect(limitFault(rate, 'drops_on_429')).toMatchObject({ code: 'rate_limited', status: 503, retryAfterSeconds: 7 });
    expect(limitFault(quota, 'drops_on_429')).toMatchObject({ status: 503, retryAfterSeconds: 60 });
  });

  it('is 503 or 402 on V1, which has no 429, and nobody is to come again after a 402', () => {
    expect(limitFault(rate, 'v1')).toMatchObject({ code: 'rate_limited', status: 503, retryAfterSeconds: 7 });
    expect(limitFault(quota, 'v1')).toMatchObject({ code: 'quota_exceeded', status: 402 });
    expect(limitFault(quota, 'v1')).not.toHaveProperty('retryAfterSeconds');
  });

  it('says what the limit is and what came', () => {
    expect(limitFault(rate, 'plain').detail).toMatch(/^rate limited: .*\b10 events\/s\b.*\b50\b.*\b20\b/);
    expect(limitFault(quota, 'plain').detail).toMatch(/^billing limit reached: .*\b1000\b.*\b990\b.*\b20\b/);
  });
});
