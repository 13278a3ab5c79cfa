import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { documentVectors } from '../../../test/vectors/documents.ts';
import { stringText } from '../json/json-text.ts';
import { eventFlags, type RawEvent } from '../raw-event.ts';
import { DocumentDecoder, MAX_EVENTS_PER_REQUEST } from './document-decoder.ts';
import { findToken } from './project-token.ts';

function has(event: RawEvent, flag: number): boolean {
  return (event.flags & flag) !== 0;
}

function found(event: RawEvent): Record<string, unknown> {
  const { body } = event;
  const isText = event.distinctIdForm === 'plain' || event.distinctIdForm === 'escaped';
  const span = { start: event.distinctIdStart, end: event.distinctIdEnd };
  return {
    name:
      event.nameStart < 0
        ? ''
        : stringText(body, {
            start: event.nameStart,
            end: event.nameEnd,
            isEscaped: has(event, eventFlags.nameIsEscaped),
          }),
    distinctId:
      event.distinctIdForm === 'absent'
        ? undefined
        : isText
          ? stringText(body, { ...span, isEscaped: event.distinctIdForm === 'escaped' })
          : body.toString('utf8', span.start, span.end),
    properties:
      event.propertiesStart < 0 ? undefined : body.toString('utf8', event.propertiesStart, event.propertiesEnd),
  };
}

describe('DocumentDecoder', () => {
  for (const vector of documentVectors) {
    it(`${vector.name} (protocol.md ${vector.source})`, () => {
      const document = new DocumentDecoder().decode(Buffer.from(vector.text), { isEngage: vector.isEngage === true });
      const { expected } = vector;
      if ('refused' in expected) {
        expect(document.kind === 'fault' ? document.code : document).toBe(expected.refused);
        return;
      }
      if (document.kind === 'fault') throw new Error(`refused: ${document.detail}`);
      const finding = findToken(document, document.events);
      expect(document.shape).toBe(expected.shape);
      expect(finding.isInconsistent ? 'inconsistent' : finding.token).toBe(expected.token);
      expect(document.events).toHaveLength(expected.events.length);
      for (const [index, event] of document.events.entries()) {
        const wanted = expected.events[index];
        expect(event.index).toBe(index);
        if (typeof wanted === 'string') expect(event.fault?.code).toBe(wanted);
        else expect({ fault: event.fault, ...found(event) }).toMatchObject({ fault: undefined, ...wanted });
      }
    });
  }

  it('finds what JSON.parse finds, for any properties', () => {
    const decoder = new DocumentDecoder();
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            event: fc.string({ minLength: 1 }),
            distinct_id: fc.string(),
            properties: fc.dictionary(fc.string(), fc.jsonValue()),
          }),
          { minLength: 1 },
        ),
        (batch) => {
          const document = decoder.decode(Buffer.from(JSON.stringify({ api_key: 'k', batch })), { isEngage: false });
          if (document.kind === 'fault') {
            // Only what JSON.stringify writes and the protocol refuses: lone surrogates.
            expect(document.code).toBe('invalid_json');
            return;
          }
          expect(document.events.map((event) => found(event)['name'])).toEqual(batch.map((event) => event.event));
          for (const [index, event] of document.events.entries()) {
            expect(JSON.parse(String(found(event)['properties']))).toEqual(
              JSON.parse(JSON.stringify(batch[index]?.properties)),
            );
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  it('answers a fault or events, never an exception, whatever the bytes', () => {
    const decoder = new DocumentDecoder();
    const pieces = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"batch"',
      '"event"',
      '"api_key"',
      '"properties"',
      '"k"',
      '1',
      'null',
      '"\\u00',
      ' ',
    );
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 25 }), (parts) => {
        const document = decoder.decode(Buffer.from(parts.join('')), { isEngage: false });
        expect(['fault', 'document']).toContain(document.kind);
      }),
      { numRuns: 3000 },
    );
  });

  it('takes as many events as the limit, and no more', () => {
    const decode = (count: number): unknown => {
      const document = new DocumentDecoder().decode(Buffer.from(`[${'1,'.repeat(count - 1)}1]`), { isEngage: false });
      return document.kind === 'fault' ? document.code : document.events.length;
    };
    expect(decode(MAX_EVENTS_PER_REQUEST)).toBe(MAX_EVENTS_PER_REQUEST);
    expect(decode(MAX_EVENTS_PER_REQUEST + 1)).toBe('payload_too_large');
  });

  it('notes numbers of 19 digits and more in properties', () => {
    const decode = (text: string) => {
      const document = new DocumentDecoder().decode(Buffer.from(text), { isEngage: false });
      return document.kind === 'document' && document.events.some((event) => has(event, eventFlags.hasLongInteger));
    };
    expect(decode('{"event":"e","properties":{"a":[1234567890123456789]}}')).toBe(true);
    expect(decode('{"event":"e","properties":{"a":[123456789012345678]}}')).toBe(false);
    expect(decode('[{"event":"e","properties":{"a":1234567890123456789}},{"event":"f","properties":{}}]')).toBe(true);
  });
});
