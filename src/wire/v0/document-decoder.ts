/**
 * A v0 document's text becomes raw events: one pass that validates all of it and notes where the known fields lie.
 *
 * The shapes of protocol.md 3.1, with design.md 4: an event that does not fit its shape carries a fault and leaves the
 * others alone; only a text that is no JSON, or a document of no known shape, is refused as a whole.
 */
import { type Fault, fault } from '../../errors.ts';
import { eventFlags, type RawEvent, type DistinctIdForm } from '../raw-event.ts';
import { BadJson, JsonScanner, STRING_CLASS } from '../json/json-scanner.ts';
import { placeOf, stringText } from '../json/json-text.ts';
import { EventFields, type RootFields } from './event-fields.ts';
import { propertyFields, type PropertyField, topLevelFields, type TopLevelField, WIRE_NAMES } from './field-names.ts';

export interface DecodedDocument {
  readonly kind: 'document';
  readonly shape: 'array' | 'batch' | 'single';
  readonly events: readonly RawEvent[];
  /** The batch's own key; for other shapes the events name theirs. */
  readonly batchToken: string | undefined;
  /** `sent_at` of a batch, as written. */
  readonly sentAt: string | undefined;
  readonly isHistorical: boolean;
}

const QUOTE = 0x22;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COMMA = 0x2c;
const COLON = 0x3a;
const ZERO = 0x30;
const NINE = 0x39;
/** Below the 19 from which a number may be beyond 64 bits. */
const MAX_PLAIN_DIGITS = 18;
const LOWER_N = 0x6e;
const LOWER_T = 0x74;
const LOWER_F = 0x66;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * More events than any client sends at once, and few enough that what we note of each (about 300 bytes) stays small beside
 * the body: without a cap, 80 KB of gzip hold 40 million elements, and nobody has shown a key yet.
 */
export const MAX_EVENTS_PER_REQUEST = 100_000;

/** Ends the decoding; becomes 413. */
class TooManyEvents extends Error {
  override readonly name = 'TooManyEvents';
}

const SEEN_BITS: Readonly<Record<Exclude<TopLevelField, 'token'>, number>> = {
  event: 1,
  distinctId: 2,
  uuid: 4,
  properties: 8,
  timestamp: 16,
  offset: 32,
  set: 64,
  setOnce: 128,
  unset: 256,
  batch: 512,
  sentAt: 1024,
  historical: 2048,
};

export class DocumentDecoder {
  readonly #scanner = new JsonScanner();
  readonly #rootFields = new EventFields();
  readonly #eventFields = new EventFields();
  #tokensConflict = false;

  /**
   * @param text the decoded payload; must be valid UTF-8
   * @param path with `/engage` a nameless object is a `$identify` (protocol.md 3.4)
   */
  decode(text: Buffer, options: { readonly isEngage: boolean }): DecodedDocument | Fault {
    const scanner = this.#scanner;
    const isMarked = text.length >= 3 && text.compare(BYTE_ORDER_MARK, 0, 3, 0, 3) === 0;
    const body = isMarked ? text.subarray(3) : text;
    scanner.reset(body);
    this.#tokensConflict = false;
    try {
      const document = this.#document(body, options);
      if (document.kind === 'document' && this.#tokensConflict) return fault('conflicting_api_keys');
      return document;
    } catch (error) {
      if (error instanceof TooManyEvents) {
        return fault('payload_too_large', { problem: `more than ${MAX_EVENTS_PER_REQUEST} events in one request` });
      }
      if (!(error instanceof BadJson)) throw error;
      return fault('invalid_json', { problem: error.message, ...placeOf(body, error.position) });
    } finally {
      scanner.release();
    }
  }

  #document(body: Buffer, options: { readonly isEngage: boolean }): DecodedDocument | Fault {
    const scanner = this.#scanner;
    const first = scanner.peek();
    if (first === OPEN_BRACKET) {
      const events: RawEvent[] = [];
      this.#elements(body, events);
      this.#assertEnd();
      if (events.length === 0) return fault('empty_batch');
      return {
        kind: 'document',
        shape: 'array',
        events,
        batchToken: undefined,
        sentAt: undefined,
        isHistorical: false,
      };
    }
    if (first !== OPEN_BRACE) {
      scanner.value();
      this.#assertEnd();
      return fault('invalid_shape', { problem: 'the document is neither an object nor an array' });
    }
    const root: RootFields = {
      batch: undefined,
      sentAt: undefined,
      isHistorical: false,
      shapeProblem: undefined,
      keyProblem: false,
    };
    const fields = this.#rootFields;
    this.#object(fields, root, body);
    this.#assertEnd();
    return this.#shape(body, fields, root, options);
  }

  #shape(
    body: Buffer,
    fields: EventFields,
    root: RootFields,
    options: { readonly isEngage: boolean },
  ): DecodedDocument | Fault {
    const hasName = fields.nameStart >= 0;
    if (root.keyProblem) return fault('invalid_shape', { problem: 'the API key is no string' });
    const isBatch = root.batch !== undefined && (fields.tokenStart >= 0 || !hasName);
    if (isBatch && root.batch !== undefined) {
      if (fields.tokenStart < 0) return fault('missing_event_name');
      if (root.batch.length === 0) return fault('empty_batch');
      if (root.shapeProblem !== undefined) return fault('invalid_shape', { problem: root.shapeProblem });
      return {
        kind: 'document',
        shape: 'batch',
        events: root.batch,
        batchToken: stringText(body, {
          start: fields.tokenStart,
          end: fields.tokenEnd,
          isEscaped: (fields.flags & eventFlags.tokenIsEscaped) !== 0,
        }),
        sentAt: root.sentAt,
        isHistorical: root.isHistorical,
      };
    }
    if (!hasName && !fields.hasNameField && !options.isEngage) return fault('missing_event_name');
    const event = fields.toRawEvent(body, this.#scanner.at, 0);
    const isOnlyNameless = event.fault?.code === 'missing_event_name';
    const single = isOnlyNameless && options.isEngage ? { ...event, fault: undefined } : event;
    return {
      kind: 'document',
      shape: 'single',
      events: [single],
      batchToken: undefined,
      sentAt: undefined,
      isHistorical: false,
    };
  }

  #assertEnd(): void {
    if (this.#scanner.peek() !== -1) {
      throw new BadJson('trailing characters', this.#scanner.at);
    }
  }

  /** At `[`: each element is an event, or carries the fault that it is none. */
  #elements(body: Buffer, events: RawEvent[]): void {
    const scanner = this.#scanner;
    const fields = this.#eventFields;
    scanner.open(false);
    if (scanner.peek() === CLOSE_BRACKET) {
      scanner.close();
      return;
    }
    do {
      if (events.length >= MAX_EVENTS_PER_REQUEST) throw new TooManyEvents();
      if (scanner.peek() === OPEN_BRACE) {
        this.#object(fields, undefined, body);
      } else {
        fields.reset(scanner.at);
        scanner.value();
        fields.blame('invalid_event', undefined, 'an element of the array is no object');
      }
      events.push(fields.toRawEvent(body, scanner.at, events.length));
    } while (scanner.nextElement());
  }

  /** At `{`: fills `fields`; `root` is given for the document's own object. */
  #object(fields: EventFields, root: RootFields | undefined, body: Buffer): void {
    const scanner = this.#scanner;
    fields.reset(scanner.at);
    scanner.open(true);
    if (scanner.peek() === CLOSE_BRACE) {
      scanner.close();
    } else {
      do {
        scanner.key();
        const field = scanner.stringIsEscaped
          ? topLevelFields.findText(
              stringText(body, { start: scanner.stringStart, end: scanner.stringEnd, isEscaped: true }),
            )
          : topLevelFields.find(body, scanner.stringStart, scanner.stringEnd);
        if (field === undefined) scanner.value();
        else this.#field(field, fields, root, body);
      } while (scanner.nextMember());
    }
    if (fields.nameStart < 0 && !fields.hasNameField) {
      fields.blame('missing_event_name', 'event', 'the event has no "event"');
    }
  }

  #field(field: TopLevelField, fields: EventFields, root: RootFields | undefined, body: Buffer): void {
    const scanner = this.#scanner;
    const first = scanner.peek();
    const valueStart = scanner.at;
    if (field === 'token') {
      this.#token(first, fields, root, body);
      return;
    }
    const bit = SEEN_BITS[field];
    if ((fields.seen & bit) !== 0)
      fields.blame('invalid_event', WIRE_NAMES[field], `"${WIRE_NAMES[field]}" is given twice`);
    fields.seen |= bit;
    switch (field) {
      case 'event':
        scanner.value();
        if (first === LOWER_N) return;
        fields.hasNameField = true;
        if (first !== QUOTE) {
          fields.blame('invalid_event', 'event', '"event" is no string');
          return;
        }
        fields.nameStart = scanner.stringStart;
        fields.nameEnd = scanner.stringEnd;
        if (scanner.stringIsEscaped) fields.flags |= eventFlags.nameIsEscaped;
        return;
      case 'distinctId':
        scanner.value();
        if (first === LOWER_N) return;
        fields.distinctIdForm = this.#idForm(first);
        fields.distinctIdStart = first === QUOTE ? scanner.stringStart : valueStart;
        fields.distinctIdEnd = first === QUOTE ? scanner.stringEnd : scanner.at;
        return;
      case 'uuid':
        scanner.value();
        if (first === LOWER_N) return;
        if (first !== QUOTE) {
          fields.blame('invalid_event', 'uuid', '"uuid" is no string');
          return;
        }
        if (scanner.stringEnd === scanner.stringStart) return;
        fields.uuidStart = scanner.stringStart;
        fields.uuidEnd = scanner.stringEnd;
        if (scanner.stringIsEscaped) fields.flags |= eventFlags.uuidIsEscaped;
        return;
      case 'properties':
        if (first !== OPEN_BRACE) {
          scanner.value();
          fields.blame('invalid_properties', 'properties', '"properties" is no object');
          return;
        }
        this.#properties(fields, body);
        return;
      case 'timestamp':
        scanner.value();
        if (first === LOWER_N) return;
        if (first !== QUOTE) {
          fields.blame('invalid_event', 'timestamp', '"timestamp" is no string');
          return;
        }
        fields.timestampStart = scanner.stringStart;
        fields.timestampEnd = scanner.stringEnd;
        if (scanner.stringIsEscaped) fields.flags |= eventFlags.timestampIsEscaped;
        return;
      case 'offset': {
        scanner.value();
        if (first === LOWER_N) return;
        const text = body.toString('latin1', valueStart, scanner.at);
        if (!/^-?\d{1,19}$/.test(text)) {
          fields.blame('invalid_event', 'offset', '"offset" is no whole number');
          return;
        }
        fields.offsetMs = Number(text);
        return;
      }
      case 'set':
        scanner.value();
        if (first === OPEN_BRACE) {
          fields.setStart = valueStart;
          fields.setEnd = scanner.at;
        } else if (first !== LOWER_N) {
          fields.blame('invalid_event', '$set', '"$set" is no object');
        }
        return;
      case 'setOnce':
        scanner.value();
        if (first === OPEN_BRACE) {
          fields.setOnceStart = valueStart;
          fields.setOnceEnd = scanner.at;
        } else if (first !== LOWER_N) {
          fields.blame('invalid_event', '$set_once', '"$set_once" is no object');
        }
        return;
      case 'unset':
        scanner.value();
        if (first === OPEN_BRACKET) {
          fields.unsetStart = valueStart;
          fields.unsetEnd = scanner.at;
        }
        return;
      case 'batch':
        if (root === undefined || first !== OPEN_BRACKET || root.batch !== undefined) {
          scanner.value();
          return;
        }
        root.batch = [];
        this.#elements(body, root.batch);
        return;
      case 'sentAt':
        scanner.value();
        if (root === undefined || first === LOWER_N) return;
        if (first === QUOTE) root.sentAt = this.#lastString(body);
        else root.shapeProblem ??= '"sent_at" is no string';
        return;
      case 'historical':
        scanner.value();
        if (root === undefined || first === LOWER_N) return;
        if (first === LOWER_T) root.isHistorical = true;
        else if (first !== LOWER_F) root.shapeProblem ??= '"historical_migration" is neither true nor false';
        return;
    }
  }

  /** `token`, `$token` and `api_key` name one thing; equal values are fine, different ones are refused (design.md 4). */
  #token(first: number, fields: EventFields, root: RootFields | undefined, body: Buffer): void {
    const scanner = this.#scanner;
    scanner.value();
    if (first === LOWER_N) return;
    if (first !== QUOTE) {
      if (root === undefined) fields.blame('invalid_event', 'api_key', 'the API key is no string');
      else root.keyProblem = true;
      return;
    }
    if (fields.tokenStart >= 0) {
      const earlier = stringText(body, {
        start: fields.tokenStart,
        end: fields.tokenEnd,
        isEscaped: (fields.flags & eventFlags.tokenIsEscaped) !== 0,
      });
      if (earlier !== this.#lastString(body)) this.#tokensConflict = true;
      return;
    }
    fields.tokenStart = scanner.stringStart;
    fields.tokenEnd = scanner.stringEnd;
    if (scanner.stringIsEscaped) fields.flags |= eventFlags.tokenIsEscaped;
  }

  #lastString(body: Buffer): string {
    const { stringStart, stringEnd, stringIsEscaped } = this.#scanner;
    return stringText(body, { start: stringStart, end: stringEnd, isEscaped: stringIsEscaped });
  }

  #idForm(first: number): DistinctIdForm {
    if (first !== QUOTE) return 'other';
    return this.#scanner.stringIsEscaped ? 'escaped' : 'plain';
  }

  /**
   * At the `{` of `properties`, where most bytes of a request lie. The plain cases (no space, no escape, a string or a short
   * whole number) are walked here, in local variables, which is twice as fast as through the scanner's fields; whatever
   * is not plain goes to the scanner from where it began, so that there is one judge of what is JSON.
   */
  #properties(fields: EventFields, body: Buffer): void {
    const scanner = this.#scanner;
    fields.propertiesStart = scanner.at;
    scanner.sawLongInteger = false;
    scanner.open(true);
    if (scanner.peek() === CLOSE_BRACE) {
      scanner.close();
      fields.flags |= eventFlags.propertiesAreEmpty;
      fields.propertiesEnd = scanner.at;
      return;
    }
    const end = body.length;
    let { at } = scanner;
    for (;;) {
      let field: PropertyField | undefined;
      let i = at + 1;
      if (body[at] === QUOTE) while (i < end && STRING_CLASS[body[i] as number] === 0) i += 1;
      if (i > at + 1 && body[i] === QUOTE && body[i + 1] === COLON) {
        field = propertyFields.find(body, at + 1, i);
        at = i + 2;
      } else {
        scanner.at = at;
        scanner.key();
        ({ at } = scanner);
        field = scanner.stringIsEscaped
          ? propertyFields.findText(
              stringText(body, { start: scanner.stringStart, end: scanner.stringEnd, isEscaped: true }),
            )
          : propertyFields.find(body, scanner.stringStart, scanner.stringEnd);
      }
      if (field === undefined) {
        const first = body[at];
        i = at + 1;
        if (first === QUOTE) {
          while (i < end && STRING_CLASS[body[i] as number] === 0) i += 1;
          i = body[i] === QUOTE ? i + 1 : -1;
        } else if (first !== undefined && first > ZERO && first <= NINE) {
          while (i < end && (body[i] as number) >= ZERO && (body[i] as number) <= NINE) i += 1;
          if (i - at > MAX_PLAIN_DIGITS || (body[i] !== COMMA && body[i] !== CLOSE_BRACE)) i = -1;
        } else {
          i = -1;
        }
        if (i < 0) {
          scanner.at = at;
          scanner.value();
          i = scanner.at;
        }
        at = i;
      } else {
        scanner.at = at;
        this.#property(field, fields);
        ({ at } = scanner);
      }
      if (body[at] === COMMA) {
        at += 1;
        continue;
      }
      scanner.at = at;
      if (!scanner.nextMember()) break;
      ({ at } = scanner);
    }
    fields.propertiesEnd = scanner.at;
    if (scanner.sawLongInteger) fields.flags |= eventFlags.hasLongInteger;
  }

  #property(field: PropertyField, fields: EventFields): void {
    const scanner = this.#scanner;
    const first = scanner.peek();
    const valueStart = scanner.at;
    scanner.value();
    const isString = first === QUOTE;
    switch (field) {
      case 'token':
        fields.innerTokenStart = isString ? scanner.stringStart : -1;
        fields.innerTokenEnd = isString ? scanner.stringEnd : -1;
        fields.innerTokenIsEscaped = scanner.stringIsEscaped;
        return;
      case 'distinctId':
        fields.innerDistinctIdForm = first === LOWER_N ? 'absent' : this.#idForm(first);
        fields.innerDistinctIdStart = isString ? scanner.stringStart : valueStart;
        fields.innerDistinctIdEnd = isString ? scanner.stringEnd : scanner.at;
        return;
      case 'set':
        fields.flags |= eventFlags.setInProperties;
        return;
      case 'setOnce':
        fields.flags |= eventFlags.setOnceInProperties;
        return;
      case 'unset':
        fields.flags |= eventFlags.unsetInProperties;
        return;
      case 'lib':
        fields.libStart = isString ? scanner.stringStart : -1;
        fields.libEnd = isString ? scanner.stringEnd : -1;
        if (isString && scanner.stringIsEscaped) fields.flags |= eventFlags.libIsEscaped;
        return;
      case 'libVersion':
        fields.libVersionStart = isString ? scanner.stringStart : -1;
        fields.libVersionEnd = isString ? scanner.stringEnd : -1;
        if (isString && scanner.stringIsEscaped) fields.flags |= eventFlags.libVersionIsEscaped;
        return;
      case 'cookielessMode':
        fields.flags &= ~(eventFlags.isCookieless | eventFlags.hasInvalidCookielessMode);
        if (first === LOWER_T) fields.flags |= eventFlags.isCookieless;
        else if (first !== LOWER_F) fields.flags |= eventFlags.hasInvalidCookielessMode;
        return;
      case 'ignoreSentAt':
        fields.flags &= ~eventFlags.ignoresSentAt;
        if (first === LOWER_T) fields.flags |= eventFlags.ignoresSentAt;
        return;
      case 'captureInternal':
        fields.flags |= eventFlags.isCaptureInternal;
        return;
    }
  }
}
