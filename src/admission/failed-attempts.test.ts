import { describe, expect, it } from 'vitest';
import type { Clock } from '../event/clock.ts';
import { asEpochMs } from '../event/ids.ts';
import { ATTEMPT_INTERVAL_MS, FailedAttempts, MAX_FAILED_ATTEMPTS } from './failed-attempts.ts';

class FakeClock implements Clock {
  elapsedMs = 0;
  nowMs = () => asEpochMs(this.elapsedMs);
  monotonicMs = () => this.elapsedMs;
}

function exhausted(attempts: FailedAttempts, address: string): void {
  for (let i = 0; i < MAX_FAILED_ATTEMPTS; i++) expect(attempts.note(address)).toBeUndefined();
}

describe('FailedAttempts', () => {
  it('lets an address fail as often as it may, then tells it when to come again', () => {
    const attempts = new FailedAttempts(new FakeClock());
    exhausted(attempts, '203.0.113.1');
    expect(attempts.note('203.0.113.1')).toBe(ATTEMPT_INTERVAL_MS / 1_000);
    expect(attempts.note('203.0.113.2')).toBeUndefined();
  });

  it('gives one attempt back in each interval, and no more than all', () => {
    const clock = new FakeClock();
    const attempts = new FailedAttempts(clock);
    exhausted(attempts, 'a');
    clock.elapsedMs += ATTEMPT_INTERVAL_MS - 1;
    expect(attempts.note('a')).toBe(1);
    clock.elapsedMs += 1;
    expect(attempts.note('a')).toBeUndefined();
    expect(attempts.note('a')).toBe(3);
    clock.elapsedMs += 1_000 * ATTEMPT_INTERVAL_MS;
    exhausted(attempts, 'a');
    expect(attempts.note('a')).toBeDefined();
  });

  it('counts the addresses of one IPv6 /64 together, and IPv4 in IPv6 as IPv4', () => {
    const attempts = new FailedAttempts(new FakeClock());
    for (let i = 0; i < MAX_FAILED_ATTEMPTS; i++) attempts.note(`2001:db8:0:1::${i}`);
    expect(attempts.note('2001:db8:0:1:ffff::1')).toBeDefined();
    expect(attempts.note('2001:db8:0:2::1')).toBeUndefined();
    exhausted(attempts, '::ffff:203.0.113.1');
    expect(attempts.note('203.0.113.1')).toBeDefined();
  });

  it('remembers a bounded number of networks, and forgets the one that failed longest ago', () => {
    const attempts = new FailedAttempts(new FakeClock(), 3);
    exhausted(attempts, '10.0.0.1');
    for (const address of ['10.0.0.2', '10.0.0.3']) attempts.note(address);
    expect(attempts.note('10.0.0.1')).toBeDefined(); // now the newest
    attempts.note('10.0.0.4'); // pushes 10.0.0.2 out
    expect(attempts.note('10.0.0.1')).toBeDefined();
    for (const address of ['10.0.0.5', '10.0.0.6', '10.0.0.7']) attempts.note(address);
    expect(attempts.note('10.0.0.1')).toBeUndefined();
  });
});
