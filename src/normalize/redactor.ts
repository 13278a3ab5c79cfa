/**
 * Writes the text of a request anew with what its project does not keep taken out; everything else stays byte for byte.
 *
 * What is looked at   every key within `properties`, `$set`, `$set_once` and `options`, and every key of an event that the
 *                     protocol does not know, since the text of a rejected event is kept whole. At any depth; a key written
 *                     with escapes is the key that it means. A value that is null stays null.
 * What stays          the fields that say whose and which event it is (`event`, `distinct_id`, `uuid`, `timestamp`, the
 *                     project key), and the flags that steer the protocol: without them it would be another event.
 * What cannot be      a text in the place of an event, or of its `properties`, is replaced whole where anything is to be
 * looked into         redacted: nobody knows what is in it.
 * Order               before the events are read for storing (v0) or at all (V1): what comes behind never sees the values.
 * Source              protocol.md 3.2, 3.3, 8.2 for the names.
 */
import { BadJson, JsonScanner } from '../wire/json/json-scanner.ts';
import { stringText } from '../wire/json/json-text.ts';
import type { KeyPatterns } from './key-patterns.ts';

const QUOTE = 0x22;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const LOWER_F = 0x66;
const LOWER_N = 0x6e;
const LOWER_T = 0x74;

export const REDACTED = '[redacted]';
const REDACTED_JSON = Buffer.from(JSON.stringify(REDACTED));
const NULL_JSON = Buffer.from('null');
const IP_KEY = '$ip';
const EMPTY = Buffer.alloc(0);
/** Most texts change little in length. */
const SPARE_BYTES = 1024;

/** An object's place; it says which of its keys belong to the protocol. */
type Place = 'event' | 'properties' | 'options' | 'nested';

/** Fields of a document or an event whose values say whose and which it is. */
const EVENT_FIELDS = new Set([
  'event', 'token', '$token', 'api_key', 'distinct_id', '$distinct_id', 'uuid', 'timestamp', 'offset', 'sent_at',
  'created_at', 'historical_migration', 'capture_internal',
]); // prettier-ignore
/** The protocol reads them in `properties`; another value would change or refuse the event. */
const STEERING_PROPERTIES = new Set(['distinct_id', '$cookieless_mode', '$ignore_sent_at', 'capture_internal']);
const STEERING_OPTIONS = new Set(['cookieless_mode', 'disable_skew_correction', 'process_person_profile']);
/** V1 puts these into the properties under another name. */
const INJECTED_NAMES: ReadonlyMap<string, string> = new Map([
  ['session_id', '$session_id'],
  ['window_id', '$window_id'],
  ['product_tour_id', '$product_tour_id'],
]);

export class Redactor {
  readonly #scanner = new JsonScanner();
  readonly #patterns: KeyPatterns | undefined;
  readonly #addressOf: ((address: string) => string | undefined) | undefined;
  #text: Buffer = this.#scanner.text;
  /** The new text so far; one buffer that grows, since a body may hold millions of matches. */
  #out = EMPTY;
  #used = 0;
  /** Up to here the text is in `#out`. */
  #written = 0;

  /**
   * @param rules `patterns` undefined: no key is redacted. `addressOf` says what of an address in `$ip` is kept, undefined
   *   for none; itself undefined: `$ip` stays as it is
   */
  constructor(rules: {
    readonly patterns: KeyPatterns | undefined;
    readonly addressOf: ((address: string) => string | undefined) | undefined;
  }) {
    this.#patterns = rules.patterns;
    this.#addressOf = rules.addressOf;
  }

  /** @returns `text` itself when nothing is taken out, or when it is no JSON: no event comes of it then */
  rewrite(text: Buffer): Buffer {
    if (this.#patterns === undefined && !mayHoldIp(text)) return text;
    const scanner = this.#scanner;
    scanner.reset(text);
    this.#text = text;
    this.#used = 0;
    this.#written = 0;
    try {
      if (scanner.peek() === OPEN_BRACKET) this.#events();
      else this.#value('event', '');
      if (this.#used === 0) return text;
      this.#append(EMPTY, text.length);
      return this.#out.subarray(0, this.#used);
    } catch (error) {
      if (error instanceof BadJson) return text;
      throw error;
    } finally {
      scanner.release();
      this.#text = scanner.text;
      this.#out = EMPTY;
    }
  }

  /** At the `[` of a batch. */
  #events(): void {
    const scanner = this.#scanner;
    if (!scanner.openArray()) return;
    do {
      if (scanner.peek() === OPEN_BRACE) this.#object('event', '');
      else this.#opaque('');
    } while (scanner.nextElement());
  }

  /** In the place of an object stands what may be none: an object or an array is looked into, a text goes. */
  #opaque(path: string): void {
    const first = this.#scanner.peek();
    if (first === OPEN_BRACE || first === OPEN_BRACKET) this.#value('nested', path);
    else if (this.#patterns === undefined || first === LOWER_N || first === LOWER_T || first === LOWER_F) {
      this.#scanner.value();
    } else this.#replace(REDACTED_JSON);
  }

  #value(place: Place, path: string): void {
    const scanner = this.#scanner;
    const first = scanner.peek();
    if (first === OPEN_BRACE) {
      this.#object(place, path);
    } else if (first === OPEN_BRACKET) {
      if (!scanner.openArray()) return;
      do {
        this.#value('nested', path);
      } while (scanner.nextElement());
    } else {
      scanner.value();
    }
  }

  #object(place: Place, path: string): void {
    const scanner = this.#scanner;
    if (!scanner.openObject()) return;
    do {
      scanner.key();
      const { stringStart: start, stringEnd: end, stringIsEscaped: isEscaped } = scanner;
      this.#member(place, stringText(this.#text, { start, end, isEscaped }), path);
    } while (scanner.nextMember());
  }

  /** Behind the colon. */
  #member(place: Place, key: string, path: string): void {
    const first = this.#scanner.peek();
    if (place === 'event' && this.#ownMember(key, first)) return;
    if (place === 'properties' && STEERING_PROPERTIES.has(key)) {
      this.#value('nested', key);
      return;
    }
    if (place === 'options' && STEERING_OPTIONS.has(key)) {
      this.#value('nested', key);
      return;
    }
    const injected = place === 'event' || place === 'options' ? INJECTED_NAMES.get(key) : undefined;
    const ownPath = this.#pathOf(path, key);
    const isRedacted =
      this.#patterns !== undefined &&
      (this.#patterns.matches(key, ownPath) || (injected !== undefined && this.#patterns.matches(injected, injected)));
    if (first === LOWER_N) this.#scanner.value();
    else if (isRedacted) this.#replace(REDACTED_JSON);
    else if (key === IP_KEY && this.#addressOf !== undefined) this.#address(first, this.#addressOf);
    else this.#value('nested', ownPath);
  }

  /** @returns false when `key` is none that the protocol knows of an event, and nothing was passed */
  #ownMember(key: string, first: number): boolean {
    switch (key) {
      case 'batch':
        if (first === OPEN_BRACKET) this.#events();
        else this.#opaque('');
        return true;
      case 'properties':
        if (first === OPEN_BRACE) this.#object('properties', '');
        else this.#opaque('');
        return true;
      case '$set':
      case '$set_once':
      case '$unset':
        // They are put into the properties. A text there would refuse the event, so a match leaves none; what refuses it
        // already goes on to.
        if (this.#patterns?.matches(key, key) === true) {
          const isFit = first === (key === '$unset' ? OPEN_BRACKET : OPEN_BRACE) || first === LOWER_N;
          this.#replace(isFit ? NULL_JSON : REDACTED_JSON);
        } else if (key === '$unset') this.#value('nested', key);
        else this.#opaque(key);
        return true;
      case 'options':
        if (first === OPEN_BRACE) this.#object('options', '');
        else this.#opaque('');
        return true;
      default:
        if (!EVENT_FIELDS.has(key)) return false;
        this.#value('nested', key);
        return true;
    }
  }

  #pathOf(path: string, key: string): string {
    if (this.#patterns?.usesPaths !== true) return '';
    return path === '' ? key : `${path}.${key}`;
  }

  /** At the value of `$ip`. What is no address goes whole: nobody knows what it says. */
  #address(first: number, addressOf: (address: string) => string | undefined): void {
    const scanner = this.#scanner;
    const start = scanner.at;
    scanner.value();
    let kept: string | undefined;
    let sent: string | undefined;
    if (first === QUOTE) {
      const { stringStart, stringEnd, stringIsEscaped: isEscaped } = scanner;
      sent = stringText(this.#text, { start: stringStart, end: stringEnd, isEscaped });
      kept = addressOf(sent);
    }
    if (kept !== undefined && kept === sent) return;
    this.#put(start, kept === undefined ? NULL_JSON : Buffer.from(JSON.stringify(kept)));
  }

  /** At a value: passes it, and puts another in its place. */
  #replace(by: Buffer): void {
    const { at } = this.#scanner;
    this.#scanner.value();
    this.#put(at, by);
  }

  /** In the place of what was passed since `start`. */
  #put(start: number, value: Buffer): void {
    this.#append(value, start);
    this.#written = this.#scanner.at;
  }

  /** What is not written yet of the text up to `end`, then `value`. */
  #append(value: Buffer, end: number): void {
    const text = this.#text;
    const needed = this.#used + end - this.#written + value.length;
    if (needed > this.#out.length) {
      const smaller = this.#out;
      this.#out = Buffer.allocUnsafeSlow(Math.max(needed, 2 * smaller.length, text.length + SPARE_BYTES));
      smaller.copy(this.#out, 0, 0, this.#used);
    }
    this.#used += text.copy(this.#out, this.#used, this.#written, end);
    this.#used += value.copy(this.#out, this.#used);
  }
}

/** A key may be written with escapes: `$` is `\\u0024`. */
function mayHoldIp(text: Buffer): boolean {
  return text.includes(IP_KEY) || text.includes('\\u');
}
