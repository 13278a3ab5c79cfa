import { describe, expect, it } from 'vitest';
import { asEpochMs } from '../event/ids.ts';
import { formatInstant, formatMicros, parseInstantMicros } from './instant.ts';

const noonMs = asEpochMs(Date.UTC(2026, 0, 31, 12));

describe('an instant in a query', () => {
  const rows: readonly [name: string, text: string, iso: string | undefined][] = [
    ['a day is its midnight in UTC', '2026-01-31', '2026-01-31T00:00:00.000Z'],
    ['without a zone it is UTC', '2026-01-31T10:20', '2026-01-31T10:20:00.000Z'],
    ['a space may stand for the T', '2026-01-31 10:20:30', '2026-01-31T10:20:30.000Z'],
    ['a zone is applied', '2026-01-31T10:20:30+02:00', '2026-01-31T08:20:30.000Z'],
    [
      'a plus that the query string turned into a space is a plus',
      '2026-01-31T10:20:30 02:00',
      '2026-01-31T08:20:30.000Z',
    ],
    ['a zone to the west', '2026-01-31T10:20:30-0230', '2026-01-31T12:50:30.000Z'],
    ['lower case', '2026-01-31t10:20:30z', '2026-01-31T10:20:30.000Z'],
    ['hours ago', '-24h', '2026-01-30T12:00:00.000Z'],
    ['days ago', '-7d', '2026-01-24T12:00:00.000Z'],
    ['weeks ago', '-1w', '2026-01-24T12:00:00.000Z'],
    ['a day that does not exist', '2026-02-30', undefined],
    ['an hour that does not exist', '2026-01-31T25:00:00', undefined],
    ['words', 'yesterday', undefined],
    ['SQL', "2026-01-31' OR 1", undefined],
  ];
  for (const [name, text, iso] of rows) {
    it(name, () => {
      const micros = parseInstantMicros(text, noonMs);
      expect(micros === undefined ? undefined : formatMicros(String(micros))).toBe(iso);
    });
  }

  it('keeps microseconds, and drops what is finer', () => {
    expect(parseInstantMicros('1970-01-01T00:00:01.2345678Z', noonMs)).toBe(1_234_567n);
  });

  it('before 1970 the fraction still counts upwards', () => {
    expect(parseInstantMicros('1969-12-31T23:59:59.25Z', noonMs)).toBe(-750_000n);
  });
});

describe('an instant in an answer', () => {
  it('has milliseconds, rounded down', () => {
    expect(formatInstant(asEpochMs(1.999))).toBe('1970-01-01T00:00:00.001Z');
    expect(formatMicros('1767225600123999')).toBe('2026-01-01T00:00:00.123Z');
    expect(formatMicros('-1')).toBe('1969-12-31T23:59:59.999Z');
  });
});
