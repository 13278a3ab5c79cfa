import { describe, expect, it } from 'vitest';
import { calendarMonth } from './calendar-month.ts';

describe('a calendar month', () => {
  it.each([
    ['2026-01-01T00:00:00.000Z', '2026-01', '2026-01-01', '2026-02-01'],
    ['2026-01-31T23:59:59.999Z', '2026-01', '2026-01-01', '2026-02-01'],
    ['2026-12-31T23:59:59.999Z', '2026-12', '2026-12-01', '2027-01-01'],
    ['2028-02-29T12:00:00.000Z', '2028-02', '2028-02-01', '2028-03-01'],
  ])('%s lies in %s', (now, name, start, end) => {
    expect(calendarMonth(Date.parse(now))).toEqual({ name, startMs: Date.parse(start), endMs: Date.parse(end) });
  });
});
