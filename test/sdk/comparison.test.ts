/** The SDK suites are only as good as their eyes: what `compare` must see. */
import { describe, expect, it } from 'vitest';
import { compare, isFaultless, type Shown } from './comparison.ts';
import type { DriverRun } from './driver-run.ts';
import { parseExact } from './exact-json.ts';

const UUID = '018f3b7e-5d5c-4c2a-9e1b-0123456789ab';

function sent(properties: string, chosen: { readonly timestamp?: string } = {}): DriverRun {
  const claim = {
    event: 'sdk burst',
    distinct_id: 's1-7',
    uuid: UUID,
    timestamp: chosen.timestamp ?? null,
    properties: parseExact(properties) as Record<string, unknown>,
  };
  const startedAtMs = Date.parse('2026-01-02T03:04:05.000Z');
  return { claims: [claim], failures: [], stderr: '', startedAtMs, endedAtMs: startedAtMs + 1000 };
}

function shown(properties: string, changed: Partial<Shown> = {}): Shown {
  return {
    uuid: UUID,
    event: 'sdk burst',
    distinct_id: 's1-7',
    timestamp: '2026-01-02T03:04:05.100Z',
    received_at: '2026-01-02T03:04:05.200Z',
    sent_at: null,
    properties: parseExact(properties) as Record<string, unknown>,
    ...changed,
  };
}

const differencesOf = (run: DriverRun, event: Shown): readonly string[] => compare(run, [event]).differences;

describe('the comparison of what was claimed with what is shown', () => {
  it('finds equal what is equal: order of keys, spelling of numbers, additions of the SDK', () => {
    const run = sent('{"n":7,"a":{"x":1.0,"y":[1e2,null]},"text":"1e2 \\" 5"}');
    const event = shown('{"$lib":"x","text":"1e2 \\" 5","a":{"y":[100,null],"x":1},"n":7}');
    expect(compare(run, [event])).toEqual({ missing: [], doubled: [], unknown: [], differences: [] });
    expect(isFaultless(compare(run, [event]))).toBe(true);
  });

  it('sees a 64-bit integer that is off by one', () => {
    expect(differencesOf(sent('{"n":7,"big":9007199254740993}'), shown('{"n":7,"big":9007199254740992}'))).toHaveLength(
      1,
    );
  });

  it('sees a property that is lost, one that came from nowhere, and null turned into nothing', () => {
    expect(differencesOf(sent('{"n":7,"a":1}'), shown('{"n":7}'))).toHaveLength(1);
    expect(differencesOf(sent('{"n":7}'), shown('{"n":7,"a":1}'))).toHaveLength(1);
    expect(differencesOf(sent('{"n":7,"a":null}'), shown('{"n":7}'))).toHaveLength(1);
    expect(differencesOf(sent('{"n":7,"a":[null]}'), shown('{"n":7,"a":[]}'))).toHaveLength(1);
  });

  it('sees an event that is missing, doubled, never sent, or has another uuid', () => {
    const run = sent('{"n":7}');
    expect(compare(run, []).missing).toHaveLength(1);
    expect(compare(run, [shown('{"n":7}'), shown('{"n":7}', { uuid: 'another' })]).doubled).toHaveLength(1);
    expect(compare(run, [shown('{"n":7}'), shown('{"n":8}', { uuid: 'another' })]).unknown).toHaveLength(1);
    expect(differencesOf(run, shown('{"n":7}', { uuid: 'another' }))).toHaveLength(1);
  });

  it('sees a chosen time that is a millisecond off, or shifted by more than the clocks differ', () => {
    const run = sent('{"n":7}', { timestamp: '2026-01-01T00:00:00.123Z' });
    expect(differencesOf(run, shown('{"n":7}', { timestamp: '2026-01-01T00:00:00.123Z' }))).toEqual([]);
    expect(differencesOf(run, shown('{"n":7}', { timestamp: '2026-01-01T00:00:00.124Z' }))).toHaveLength(1);
    const sentAt = '2026-01-02T03:04:05.150Z'; // 50 ms before it was received
    expect(differencesOf(run, shown('{"n":7}', { timestamp: '2026-01-01T00:00:00.173Z', sent_at: sentAt }))).toEqual(
      [],
    );
    expect(
      differencesOf(run, shown('{"n":7}', { timestamp: '2026-01-01T00:00:00.175Z', sent_at: sentAt })),
    ).toHaveLength(1);
  });

  it("sees an SDK's own time that is not of the run", () => {
    expect(differencesOf(sent('{"n":7}'), shown('{"n":7}', { timestamp: '2026-01-02T03:04:04.000Z' }))).toHaveLength(1);
    expect(differencesOf(sent('{"n":7}'), shown('{"n":7}', { timestamp: '2026-01-02T03:04:07.000Z' }))).toHaveLength(1);
  });
});
