import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatUuid, readUuid } from '../../event/uuid.ts';
import { eventFlags, type RawEvent } from '../raw-event.ts';
import { stringText } from '../json/json-text.ts';
import { BatchDecoder, type DecodedBatch } from './batch-decoder.ts';
import { trimmed } from './event-tail.ts';

const limits = { maxEventBytes: 1_000_000, maxAiEventBytes: 8 << 20 };
const sdk = { lib: 'posthog-test', libVersion: '1.2.3' };

const text = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.constantFrom('', ' ', 'a', 'guest', 'x'.repeat(201), '\u00a0b\n'),
);
const timestamp = fc.oneof(
  fc.date({ noInvalidDate: true, min: new Date(0), max: new Date('2200-01-01') }).map((date) => date.toISOString()),
  fc.constantFrom('2026-01-31t12:00:00.12345678901+01:00', 'yesterday', ''),
);
const properties = fc.dictionary(fc.oneof(text, fc.constantFrom('$lib', '$session_id')), fc.jsonValue({ maxDepth: 3 }));
const options = fc.record(
  {
    cookieless_mode: fc.constantFrom(true, false, 'yes', null, 'maybe'),
    disable_skew_correction: fc.constantFrom(true, 0, '0'),
    process_person_profile: fc.constantFrom(false, '1'),
    product_tour_id: fc.oneof(text, fc.constant(7)),
    other: fc.jsonValue(),
  },
  { requiredKeys: [] },
);
const event = fc.record(
  {
    event: fc.oneof(text, fc.constantFrom('$pageview', '$performance_event')),
    uuid: fc.uuid(),
    distinct_id: text,
    timestamp,
    session_id: fc.oneof(text, fc.constant(null)),
    window_id: text,
    options: fc.oneof(options, fc.constant(null)),
    properties: fc.oneof({ weight: 9, arbitrary: properties }, { weight: 1, arbitrary: fc.constantFrom(null, 7, []) }),
    $set: fc.jsonValue(),
  },
  { requiredKeys: ['event', 'uuid', 'distinct_id', 'timestamp'] },
);
const document = fc.record({
  created_at: fc.constant('2026-01-31T12:00:00Z'),
  batch: fc.uniqueArray(event, { minLength: 1, maxLength: 8, selector: ({ uuid }) => uuid }),
});

function nameOf(raw: RawEvent): string {
  const isEscaped = (raw.flags & eventFlags.nameIsEscaped) !== 0;
  return stringText(raw.body, { start: raw.nameStart, end: raw.nameEnd, isEscaped });
}

function distinctIdOf(raw: RawEvent): string {
  return stringText(raw.body, {
    start: raw.distinctIdStart,
    end: raw.distinctIdEnd,
    isEscaped: raw.distinctIdForm === 'escaped',
  });
}

describe('BatchDecoder', () => {
  it('finds in every batch what JSON.parse finds, and injects behind the client’s own properties', () => {
    const decoder = new BatchDecoder(limits);
    fc.assert(
      fc.property(document, fc.constantFrom(undefined, 1), (sent, space) => {
        const json = JSON.stringify(sent, null, space);
        const { batch } = JSON.parse(json) as typeof sent; // without -0, which JSON cannot say
        const body = Buffer.from(json);
        const decoded = decoder.decode(body, sdk) as DecodedBatch;
        expect(decoded.kind).toBe('batch');
        expect(decoded.events.map(({ uuid }) => uuid)).toEqual(sent.batch.map(({ uuid }) => uuid));
        for (const [index, { raw, drop }] of decoded.events.entries()) {
          const own = batch[index];
          expect(JSON.parse(raw.body.toString('utf8', raw.start, raw.end))).toEqual(own);
          if (drop !== undefined || own === undefined) continue;
          expect(nameOf(raw)).toBe(own.event);
          expect(distinctIdOf(raw)).toBe(own.distinct_id.replace(/^\p{White_Space}+|\p{White_Space}+$/gu, ''));
          const kept = raw.body.toString('utf8', raw.propertiesStart, raw.propertiesEnd);
          const found = JSON.parse(kept) as Record<string, unknown>;
          expect(found).toMatchObject({ $lib: sdk.lib, $lib_version: sdk.libVersion });
          if (typeof own.session_id === 'string' && own.session_id !== '')
            expect(found['$session_id']).toBe(own.session_id);
          const asSent = own.properties === undefined ? '{' : JSON.stringify(own.properties, null, space).slice(0, -1);
          if (space === undefined) expect(kept.startsWith(asSent)).toBe(true);
          expect(raw.body.toString('latin1', raw.libStart, raw.libEnd)).toBe(sdk.lib);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('answers a fault of the protocol or a batch, whatever the bytes', () => {
    const decoder = new BatchDecoder(limits);
    const known = new Set(['request_parsing_error', 'empty_batch', 'invalid_batch', 'missing_event_uuid']);
    known.add('invalid_event_uuid').add('duplicate_event_uuid');
    const pieces = fc.constantFrom(...'{}[]",:\\u0e+-. \n\ttfn19aé\u0001d8', 'null', '"uuid":', '"batch":[');
    const cut = fc.record({ at: fc.nat(), length: fc.nat(3), piece: pieces });
    fc.assert(
      fc.property(document, fc.array(cut, { minLength: 1, maxLength: 3 }), fc.boolean(), (sent, cuts, hasSdk) => {
        let mutated = JSON.stringify(sent);
        for (const { at, length, piece } of cuts) {
          const place = at % (mutated.length + 1);
          mutated = mutated.slice(0, place) + piece + mutated.slice(place + length);
        }
        const decoded = decoder.decode(Buffer.from(mutated), hasSdk ? sdk : undefined);
        if (decoded.kind === 'fault') {
          expect(known).toContain(decoded.code);
          return;
        }
        const parsed = JSON.parse(mutated) as { batch: unknown[] };
        expect(decoded.events).toHaveLength(parsed.batch.length);
        for (const { raw, drop } of decoded.events) {
          if (drop === undefined) JSON.parse(raw.body.toString('utf8', raw.propertiesStart, raw.propertiesEnd) || '{}');
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('answers a fault to bytes that are no text', () => {
    const decoder = new BatchDecoder(limits);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        expect(decoder.decode(Buffer.from(bytes), sdk).kind).toBe('fault');
      }),
    );
  });

  it('leaves a uuid where it can be read, however it was written', () => {
    const decoder = new BatchDecoder(limits);
    const hex = '0190aaaa000070008000000000000001';
    const canonical = '0190aaaa-0000-7000-8000-000000000001';
    const spellings = [canonical, canonical.toUpperCase(), hex, `{${canonical}}`, `urn:uuid:${canonical}`];
    for (const uuid of [...spellings, ` ${canonical}`, `  ${hex}  `, `\u3000${hex}\n`]) {
      const batch = [{ event: 'e', uuid, distinct_id: 'a', timestamp: '2026-01-31T12:00:00Z' }];
      const body = Buffer.from(JSON.stringify({ created_at: '2026-01-31T12:00:00Z', batch }));
      const { events } = decoder.decode(body, sdk) as DecodedBatch;
      const read = new Uint8Array(16);
      const [{ raw, uuid: found } = { raw: undefined, uuid: undefined }] = events;
      expect(found).toBe(canonical);
      if (raw === undefined) throw new Error('no event');
      expect(readUuid(raw.body, { start: raw.uuidStart, end: raw.uuidEnd }, read, 0)).toBe(true);
      expect(formatUuid(read)).toBe(canonical);
    }
  });

  it('trims what Unicode calls white space, and takes no longer for spaces within', () => {
    const units = Array.from({ length: 0x10000 }, (_, unit) => unit);
    const trims = (unit: number): boolean => trimmed(`${String.fromCharCode(unit)}a`) === 'a';
    const isSpace = (unit: number): boolean => /^\p{White_Space}$/u.test(String.fromCharCode(unit));
    expect(units.filter(trims)).toEqual(units.filter(isSpace));
    expect(trimmed(' \u3000\n')).toBe('');
    const long = `b${' '.repeat(1_000_000)}c`;
    expect(trimmed(` ${long} `)).toBe(long);
  });

  it('keeps a batch that is larger than its scratch memory', () => {
    const decoder = new BatchDecoder(limits);
    const filler = 'é'.repeat(400_000);
    const batch = [1, 2].map((n) => ({
      event: 'e',
      uuid: `01900000-0000-7000-8000-00000000000${n}`,
      distinct_id: ' a ',
      timestamp: '2026-01-31T12:00:00Z',
      properties: { filler, n },
    }));
    const body = Buffer.from(JSON.stringify({ created_at: '2026-01-31T12:00:00Z', batch }));
    const { events } = decoder.decode(body, sdk) as DecodedBatch;
    const kept = events.map(({ raw }): unknown =>
      JSON.parse(raw.body.toString('utf8', raw.propertiesStart, raw.propertiesEnd)),
    );
    expect(kept).toEqual([1, 2].map((n) => ({ filler, n, $lib: sdk.lib, $lib_version: sdk.libVersion })));
  });

  it('refuses more events than it can hold', () => {
    const decoder = new BatchDecoder(limits);
    const body = Buffer.from(`{"created_at":"x","batch":[${'0,'.repeat(100_000)}0]}`);
    expect(decoder.decode(body, sdk)).toMatchObject({ kind: 'fault', code: 'payload_too_large' });
  });
});
