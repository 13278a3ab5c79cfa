import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { asEpochMs } from '../event/ids.ts';
import { eventTime } from './event-time.ts';
import { FastTimestamps, parseTimestamp } from './timestamp-text.ts';

const T = Date.UTC(2026, 10, 25, 12, 34, 56);

describe('times as clients write them (protocol.md 3.7)', () => {
  it.each<[string, number | undefined]>([
    ['2026-11-25T12:34:56Z', T],
    ['2026-11-25T12:34:56.789Z', T + 789],
    ['2026-11-25T12:34:56.789123Z', T + 789.123],
    ['2026-11-25T12:34:56.789123456Z', T + 789.123],
    ['2026-11-25T12:34:56+00:00', T],
    ['2026-11-25T14:34:56+02:00', T],
    ['2026-11-25T14:34:56+0200', T],
    ['2026-11-25T15:34:56+03', T],
    ['2026-11-25T07:04:56-05:30', T],
    ['2026-11-25T12:34:56', T],
    ['2026-11-25 12:34:56', T],
    ['2026-11-25 12:34:56.5', T + 500],
    ['2026/11/25 12:34:56', T],
    ['2026-11-25', Date.UTC(2026, 10, 25)],
    ['2026/11/25', Date.UTC(2026, 10, 25)],
    ['Wed, 25 Nov 2026 12:34:56 +0000', T],
    ['Wed, 25 Nov 2026 14:34:56 +0200', T],
    ['25 Nov 2026 12:34:56 GMT', T],
    [String(T / 1000), T],
    [String(T), T],
    ['1700000000.5', 1_700_000_000_500],
    ['1700000000123456', 1_700_000_000_123.456],
    ['1700000000123000000', 1_700_000_000_123],
    ['999999999', 999_999_999_000],
    ['20261125', undefined],
    ['2026', undefined],
    ['-5', undefined],
    ['2026-11-25t12:34:56z', T],
    ['2026-11-25 12:34:56 UTC', T],
    ['2026-11-25 14:34:56+02', T],
    ['2026-11-25T12:34Z', T - 56_000],
    ['11/25/2026', Date.UTC(2026, 10, 25)],
    ['11/25/2026 12:34:56', T],
    ['1/2/2026 3:04', Date.UTC(2026, 0, 2, 3, 4)],
    ['25/11/2026', undefined],
    ['2026-11/25', undefined],
    ['Wed, 25 Nov 2026 12:34:56', T],
    [' 2026-11-25T12:34:56Z ', T],
    ['2026-11-25T12:34:56+24:00', undefined],
    ['2026-11-25T12:34:56+02:60', undefined],
    ['2026-11-25T12:60:00Z', undefined],
    ['2026-11-25T12:34:56.Z', undefined],
    [`2026-11-25${' '.repeat(60)}12:34`, undefined],
    ['2026-02-30T00:00:00Z', undefined],
    ['2026-13-01T00:00:00Z', undefined],
    ['2026-11-25T24:00:00Z', undefined],
    ['yesterday', undefined],
    ['', undefined],
    ['0000-01-01T00:00:00Z', Date.parse('0000-01-01T00:00:00Z')],
  ])('%s', (text, expected) => {
    expect(parseTimestamp(text)).toBe(expected);
    const bytes = Buffer.from(text);
    const fast = new FastTimestamps().read(bytes, 0, bytes.length);
    if (fast !== undefined) expect(fast).toBe(expected);
  });

  it('reads every ISO time from its bytes as Date does', () => {
    const fast = new FastTimestamps();
    fc.assert(
      fc.property(
        fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true }),
        (date) => {
          const bytes = Buffer.from(date.toISOString());
          expect(fast.read(bytes, 0, bytes.length)).toBe(date.getTime());
          expect(parseTimestamp(date.toISOString())).toBe(date.getTime());
        },
      ),
    );
  });
});

describe('when an event happened (protocol.md 3.7)', () => {
  const now = asEpochMs(T);
  const said = { timestampMs: undefined, sentAtMs: undefined, offsetMs: undefined };
  it.each([
    ['nothing said: when it arrived', said, T],
    ['a time without sent_at stands', { ...said, timestampMs: T - 5 }, T - 5],
    ['the sender’s skew is taken off', { ...said, timestampMs: T - 5_000, sentAtMs: T - 2_000 }, T - 3_000],
    ['an offset goes before a timestamp', { ...said, timestampMs: T - 5_000, offsetMs: 7 }, T - 7],
    ['23 h ahead is still believed', { ...said, timestampMs: T + 23 * 3_600_000 }, T + 23 * 3_600_000],
    ['more than 23 h ahead is not', { ...said, timestampMs: T + 23 * 3_600_000 + 1 }, T],
    ['a year below 0 is 1970', { ...said, timestampMs: Date.parse('0000-01-01T00:00:00Z') - 1 }, 0],
  ])('%s', (_name, times, expected) => {
    expect(eventTime(times, now)).toBe(expected);
  });
});
