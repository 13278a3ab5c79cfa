/**
 * Which of the protocol's fields a JSON key names (protocol.md 3.2, 3.3, 3.8). Keys are compared as bytes: a string a key
 * would cost more than the rest of the scan.
 */
import type { JsonScanner } from '../json/json-scanner.ts';
import { stringText } from '../json/json-text.ts';

const topLevelNames = {
  event: ['event'],
  token: ['token', '$token', 'api_key'],
  distinctId: ['distinct_id', '$distinct_id'],
  uuid: ['uuid'],
  properties: ['properties'],
  timestamp: ['timestamp'],
  offset: ['offset'],
  set: ['$set'],
  setOnce: ['$set_once'],
  unset: ['$unset'],
  batch: ['batch'],
  sentAt: ['sent_at'],
  historical: ['historical_migration'],
} as const;

const propertyNames = {
  token: ['token'],
  distinctId: ['distinct_id'],
  set: ['$set'],
  setOnce: ['$set_once'],
  unset: ['$unset'],
  lib: ['$lib'],
  libVersion: ['$lib_version'],
  cookielessMode: ['$cookieless_mode'],
  ignoreSentAt: ['$ignore_sent_at'],
  captureInternal: ['capture_internal'],
} as const;

export type TopLevelField = keyof typeof topLevelNames;
export type PropertyField = keyof typeof propertyNames;

interface Candidate<F> {
  readonly field: F;
  readonly word: Buffer;
}

/** Candidates by key length: most keys are refused by their length or first byte. */
export class FieldTable<F extends string> {
  readonly #byLength: (readonly Candidate<F>[] | undefined)[] = Array.from({ length: 32 });
  readonly #byName = new Map<string, F>();

  constructor(names: Readonly<Record<F, readonly string[]>>) {
    for (const [field, spellings] of Object.entries(names) as [F, readonly string[]][]) {
      for (const spelling of spellings) {
        const candidate = { field, word: Buffer.from(spelling) };
        this.#byLength[spelling.length] = [...(this.#byLength[spelling.length] ?? []), candidate];
        this.#byName.set(spelling, field);
      }
    }
  }

  find(text: Buffer, start: number, end: number): F | undefined {
    const candidates = this.#byLength[end - start];
    if (candidates === undefined) return undefined;
    // From the end: names of one length share their first bytes (`$`) more often than their last.
    for (let c = 0; c < candidates.length; c++) {
      const { field, word } = candidates[c] as Candidate<F>;
      let i = word.length - 1;
      while (i >= 0 && text[start + i] === word[i]) i -= 1;
      if (i < 0) return field;
    }
    return undefined;
  }

  /** The field that the key names which the scanner passed last. */
  ofKey({ text, stringStart: start, stringEnd: end, stringIsEscaped }: JsonScanner): F | undefined {
    if (!stringIsEscaped) return this.find(text, start, end);
    return this.#byName.get(stringText(text, { start, end, isEscaped: true }));
  }
}

export const topLevelFields = new FieldTable<TopLevelField>(topLevelNames);
export const propertyFields = new FieldTable<PropertyField>(propertyNames);

/** How a field is called in messages. */
export const WIRE_NAMES: Readonly<Record<Exclude<TopLevelField, 'token'>, string>> = {
  event: 'event',
  distinctId: 'distinct_id',
  uuid: 'uuid',
  properties: 'properties',
  timestamp: 'timestamp',
  offset: 'offset',
  set: '$set',
  setOnce: '$set_once',
  unset: '$unset',
  batch: 'batch',
  sentAt: 'sent_at',
  historical: 'historical_migration',
};
