/** A document without what its project does not keep is the same document: as many events, the same names and faults. */
import { describe, expect, it } from 'vitest';
import { documentVectors } from '../../test/vectors/documents.ts';
import type { RawEvent } from '../wire/raw-event.ts';
import { DocumentDecoder } from '../wire/v0/document-decoder.ts';
import { PrivacyRule } from './privacy.ts';

const decoder = new DocumentDecoder();
const rule = new PrivacyRule({ address: 'drop', redact: ['*'] });

function textOf(raw: RawEvent, start: number, end: number): string {
  return start < 0 ? '' : raw.body.toString('utf8', start, end);
}

/** Whose and which event it is, and whether it would be stored. */
function traitsOf(text: Buffer, isEngage: boolean): unknown {
  const document = decoder.decode(text, { isEngage });
  if (document.kind === 'fault') return document.code;
  const events = document.events.map((raw) => ({
    fault: raw.fault,
    name: textOf(raw, raw.nameStart, raw.nameEnd),
    uuid: textOf(raw, raw.uuidStart, raw.uuidEnd),
    timestamp: textOf(raw, raw.timestampStart, raw.timestampEnd),
    offsetMs: raw.offsetMs,
    distinctIdForm: raw.distinctIdForm,
    distinctId: raw.distinctIdForm === 'other' ? '' : textOf(raw, raw.distinctIdStart, raw.distinctIdEnd),
  }));
  const { shape, batchToken, sentAt, isHistorical } = document;
  return { shape, batchToken, sentAt, isHistorical, events };
}

describe('with everything redacted', () => {
  it.each(documentVectors.map((vector) => [`${vector.source} ${vector.name}`, vector] as const))(
    '%s',
    (_name, vector) => {
      const text = Buffer.from(vector.text);
      const isEngage = vector.isEngage ?? false;
      const before = traitsOf(text, isEngage);
      expect(traitsOf(rule.rewrite(text), isEngage)).toEqual(before);
    },
  );
});
