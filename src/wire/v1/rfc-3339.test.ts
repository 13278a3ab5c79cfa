import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseRfc3339, plainRfc3339 } from './rfc-3339.ts';

describe('a time of V1 is strict RFC 3339 (protocol.md 8.2)', () => {
  it.each<[string, string | undefined]>([
    ['2026-01-31T12:00:00Z', '2026-01-31T12:00:00.000Z'],
    ['2026-01-31t12:00:00z', '2026-01-31T12:00:00.000Z'],
    ['2026-01-31T12:00:00.5Z', '2026-01-31T12:00:00.500Z'],
    ['2026-01-31T12:00:00.123456789Z', '2026-01-31T12:00:00.123Z'],
    ['2026-01-31T12:00:00+02:00', '2026-01-31T10:00:00.000Z'],
    ['2026-01-31T12:00:00-00:30', '2026-01-31T12:30:00.000Z'],
    ['2026-01-01T00:00:00+23:59', '2025-12-31T00:01:00.000Z'],
    ['2024-02-29T00:00:00Z', '2024-02-29T00:00:00.000Z'],
    ['2000-02-29T00:00:00Z', '2000-02-29T00:00:00.000Z'],
    ['0000-01-01T00:00:00Z', '0000-01-01T00:00:00.000Z'],
    ['9999-12-31T23:59:59Z', '9999-12-31T23:59:59.000Z'],
    ['2016-12-31T23:59:60Z', '2017-01-01T00:00:00.000Z'],
    ['2023-02-29T00:00:00Z', undefined],
    ['1900-02-29T00:00:00Z', undefined],
    ['2026-00-31T12:00:00Z', undefined],
    ['2026-13-31T12:00:00Z', undefined],
    ['2026-04-31T12:00:00Z', undefined],
    ['2026-01-00T12:00:00Z', undefined],
    ['2026-01-31T24:00:00Z', undefined],
    ['2026-01-31T12:60:00Z', undefined],
    ['2026-01-31T12:00:61Z', undefined],
    ['2026-01-31T12:00:00+24:00', undefined],
    ['2026-01-31T12:00:00+02:60', undefined],
    ['2026-01-31T12:00:00+0200', undefined],
    ['2026-01-31T12:00:00+02', undefined],
    ['2026-01-31T12:00:00', undefined],
    ['2026-01-31T12:00Z', undefined],
    ['2026-01-31T12:00:00.Z', undefined],
    ['2026-01-31 12:00:00Z', undefined],
    ['2026-01-31', undefined],
    ['+2026-01-31T12:00:00Z', undefined],
    ['12026-01-31T12:00:00Z', undefined],
    [' 2026-01-31T12:00:00Z', undefined],
    ['1769860800', undefined],
    ['', undefined],
  ])('%s', (text, expected) => {
    const timeMs = parseRfc3339(text);
    expect(timeMs === undefined ? undefined : new Date(timeMs).toISOString()).toBe(expected);
  });

  it('reads what JavaScript writes, for every time from year 0 to 9999', () => {
    const ms = fc.integer({ min: Date.parse('0000-01-01T00:00:00Z'), max: Date.parse('9999-12-31T23:59:59.999Z') });
    fc.assert(
      fc.property(ms, (timeMs) => {
        expect(parseRfc3339(new Date(timeMs).toISOString())).toBe(timeMs);
      }),
    );
  });

  it('keeps microseconds', () => {
    expect(parseRfc3339('1970-01-01T00:00:00.000001Z')).toBe(0.001);
  });

  it('spells the same time plainly', () => {
    expect(plainRfc3339('2026-01-31t12:00:00.1234567890123z')).toBe('2026-01-31T12:00:00.123456789Z');
    const plain = '2026-01-31T12:00:00.123+02:00';
    expect(plainRfc3339(plain)).toBe(plain);
  });
});
