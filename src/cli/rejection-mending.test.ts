import { describe, expect, it } from 'vitest';
import { parseUuid } from '../event/uuid.ts';
import { CommandFailure } from './command-failure.ts';
import { type KeptRejection, mended, type MendedEvent, readMend } from './rejection-mending.ts';

const received = '2026-01-31T12:00:00.000Z';
const first: KeptRejection = {
  request_id: '018f3b7e-5d5c-7c2a-9e1b-0123456789ab',
  index: 0,
  received_at: received,
  sent_at: null,
  code: 'missing_distinct_id',
  raw: '{"event":"e"}',
};
const nothing = readMend({});

function sent(changes: Partial<KeptRejection>, mend = nothing): Extract<MendedEvent, { kind: 'event' }> {
  const event = mended({ ...first, ...changes }, mend);
  if (event.kind !== 'event') throw new Error(event.problem);
  return event;
}

function timeOf(raw: string, changes: Partial<KeptRejection> = {}, mend = nothing): unknown {
  const { timestamp, offset } = JSON.parse(sent({ raw, ...changes }, mend).json) as Record<string, unknown>;
  expect(offset).toBeUndefined();
  return timestamp;
}

describe('an event that is sent again', () => {
  it('stays as it was written, but for what it would lose', () => {
    const uuid = '018f3b7e-0000-7000-8000-000000000001';
    const raw = `{ "event":"e", "uuid":"${uuid}","n": 9007199254740993, "properties": {"a":1.0, "a":2},"timestamp":"2026-01-01"}`;
    expect(sent({ raw })).toEqual({ kind: 'event', door: 'v0', json: raw, uuid });
  });

  it('gets a uuid that follows from its request, its place and its text', () => {
    const { uuid, json } = sent({});
    expect(parseUuid(uuid)).toBeDefined();
    expect(uuid[14]).toBe('5');
    expect(JSON.parse(json)).toMatchObject({ event: 'e', uuid });
    for (const raw of ['{"event":"e","uuid":null}', '{"event":"e","uuid":""}']) {
      expect(JSON.parse(sent({ raw }).json)).toMatchObject({ uuid: sent({ raw }).uuid });
    }
    expect(sent({}).uuid).toBe(uuid);
    // A mend does not change it: after a retry with another mend the event is still the same one.
    expect(sent({}, readMend({ set: ['distinct_id=ann'] })).uuid).toBe(uuid);
    const others = [
      sent({ index: 1 }),
      sent({ raw: '{"event":"f"}' }),
      sent({ request_id: first.request_id.replace('0', '1') }),
    ];
    expect(new Set([uuid, ...others.map((each) => each.uuid)]).size).toBe(4);
  });

  it('keeps a uuid that the server must refuse again, until it is taken away', () => {
    const raw = '{"event":"e","uuid":"no"}';
    expect(sent({ raw }).uuid).toBe('no');
    expect(parseUuid(sent({ raw }, readMend({ unset: ['uuid'] })).uuid)).toBeDefined();
  });

  it('lands in its own time', () => {
    expect(timeOf('{"event":"e"}')).toBe(received);
    expect(timeOf('{"event":"e","timestamp":"nonsense"}')).toBe(received);
    expect(timeOf('{"event":"e","offset":1500}')).toBe('2026-01-31T11:59:58.500Z');
    expect(timeOf('{"event":"e","timestamp":"2026-01-01T00:00:00Z","offset":-1}')).toBe('2026-01-31T12:00:00.001Z');
    expect(timeOf('{"event":"e","timestamp":"2026-01-01T00:00:00.123456Z","uuid":"u"}')).toBe(
      '2026-01-01T00:00:00.123456Z',
    );
    const skewed = { sent_at: '2026-01-31T11:00:00.000Z' };
    expect(timeOf('{"event":"e","timestamp":"2026-01-31T10:59:00.000125Z"}', skewed)).toBe(
      '2026-01-31T11:59:00.000125Z',
    );
    const ignoring = '{"event":"e","timestamp":"2026-01-31T10:59:00Z","properties":{"$ignore_sent_at":true}}';
    expect(timeOf(ignoring, skewed)).toBe('2026-01-31T10:59:00Z');
    // 23 h ahead of its arrival it was, whatever the clock says by now.
    expect(timeOf('{"event":"e","timestamp":"2026-02-05T00:00:00Z"}')).toBe(received);
    const mend = readMend({ set: ['timestamp=2026-01-15T00:00:00Z'] });
    expect(timeOf('{"event":"e","offset":5}', skewed, mend)).toBe('2026-01-15T00:00:00.000Z');
  });

  it('leaves a time of a wrong type to be refused again', () => {
    for (const raw of ['{"event":"e","timestamp":5}', '{"event":"e","offset":1.5}']) {
      const { timestamp, offset } = JSON.parse(sent({ raw, code: 'invalid_event' }).json) as Record<string, unknown>;
      expect([timestamp, offset]).toEqual(raw.includes('offset') ? [undefined, 1.5] : [5, undefined]);
    }
  });

  it('is a $identify where it came to /engage', () => {
    const raw = '{"$token":"phc_x","$set":{"a":1}}';
    expect(JSON.parse(sent({ raw }).json)).toMatchObject({ event: '$identify', $set: { a: 1 } });
    expect(JSON.parse(sent({ raw, code: 'missing_event_name' }).json)).not.toHaveProperty('event');
  });

  it('takes what a person wants changed', () => {
    const mend = readMend({
      set: ['distinct_id=23', 'event=better', '$set={"a":1}'],
      setProperty: ['plan=pro', 'seats=9007199254740993', 'note=[a'],
      unset: ['offset'],
    });
    const raw = '{"event":"","$distinct_id":"","offset":1.5,"properties":{"plan":"free","kept":1.0}}';
    const { json } = sent({ raw, code: 'empty_event_name' }, mend);
    expect(json).toContain('"properties":{"kept":1.0,"plan":"pro","seats":9007199254740993,"note":"[a"}');
    const event = JSON.parse(json) as Record<string, unknown>;
    expect(event).toMatchObject({ event: 'better', distinct_id: '23', $set: { a: 1 } });
    expect(event).not.toHaveProperty('$distinct_id');
    const noProperties = JSON.parse(sent({ raw: '{"event":"e","properties":null}' }, mend).json) as object;
    expect(noProperties).toMatchObject({ properties: { plan: 'pro' } });
  });

  it('is told from one that no retry can mend', () => {
    for (const raw of ['5', '"text"', '[]', '{"broken']) {
      expect(mended({ ...first, raw }, nothing)).toEqual({ kind: 'unsendable', problem: 'it is no JSON object' });
    }
    const raw = '{"event":"e","properties":[1]}';
    expect(mended({ ...first, raw }, readMend({ setProperty: ['a=1'] })).kind).toBe('unsendable');
    expect(sent({ raw }, readMend({ set: ['properties={}'], setProperty: ['a=1'] })).json).toContain('{"a":1}');
  });

  it.each([
    [{ set: ['distinct_id'] }],
    [{ set: ['=x'] }],
    [{ set: ['uuid=018f3b7e-5d5c-7c2a-9e1b-0123456789ab'] }],
    [{ set: ['api_key=phc_x'] }],
    [{ set: ['timestamp=soon'] }],
    [{ set: ['event=$performance_event'] }],
    [{ setProperty: ['=1'] }],
  ])('refuses %j', (flags) => {
    expect(() => readMend(flags)).toThrow(CommandFailure);
  });
});

describe('an event of protocol V1', () => {
  const v1 = '"uuid":"018f3b7e-0000-7000-8000-000000000001","timestamp":"2026-01-31T11:59:00Z"';

  it('is known by its code, else by members that V0 does not have', () => {
    const door = (code: string, raw: string): string => sent({ code, raw }).door;
    expect(door('invalid_options', `{"event":"e","distinct_id":"d",${v1},"options":5}`)).toBe('v1');
    expect(door('missing_event_name', `{"event":"","distinct_id":"d",${v1}}`)).toBe('v1');
    expect(door('missing_event_name', `{"distinct_id":"d",${v1}}`)).toBe('v0');
    expect(door('missing_distinct_id', `{"event":"e","distinct_id":" ",${v1},"session_id":"s"}`)).toBe('v1');
    expect(door('missing_distinct_id', `{"event":"e","distinct_id":" ",${v1}}`)).toBe('v0');
    expect(door('missing_distinct_id', '{"event":"e","session_id":"s"}')).toBe('v0');
  });

  it('has its time worked out, and says so', () => {
    const raw = `{"event":"","distinct_id":"d",${v1},"options":{"product_tour_id":"t"}}`;
    const changes = { code: 'missing_event_name', raw, sent_at: '2026-01-31T11:59:30.000Z' };
    expect(JSON.parse(sent(changes).json)).toMatchObject({
      timestamp: '2026-01-31T11:59:30.000Z',
      options: { product_tour_id: 't', disable_skew_correction: true },
    });
    const uncorrected = { ...changes, raw: raw.replace('"product_tour_id":"t"', '"disable_skew_correction":true') };
    expect(JSON.parse(sent(uncorrected).json)).toMatchObject({ timestamp: '2026-01-31T11:59:00Z' });
    const unreadable = { ...changes, raw: raw.replace('2026-01-31T11', 'x') };
    expect(JSON.parse(sent(unreadable).json)).toMatchObject({
      timestamp: 'x:59:00Z',
      options: { product_tour_id: 't' },
    });
  });
});
