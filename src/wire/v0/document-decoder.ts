/**
 * A v0 document's text becomes raw events: one pass that validates all of it and notes where the known fields lie.
 *
 * The shapes of protocol.md 3.1, with design.md 4: an event that does not fit its shape carries a fault and leaves the
 * others alone; only a text that is no JSON, or a document of no known shape, is refused as a whole.
 */
import { type Fault, fault } from '../../errors.ts';
import { eventFlags, type RawEvent } from '../raw-event.ts';
import { BadJson, JsonScanner } from '../json/json-scanner.ts';
import { placeOf, stringText } from '../json/json-text.ts';
import { plainTextEnd } from '../json/plain-value.ts';
import { EventFields, EventFieldsPool, type RootFields, type TextField } from './event-fields.ts';
import { MemberTrail } from './member-trail.ts';
import { distinctIdForm, PropertiesDecoder } from './properties-decoder.ts';
import { topLevelFields, type TopLevelField, WIRE_NAMES } from './field-names.ts';

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
const OPEN_BRACKET = 0x5b;
const COMMA = 0x2c;
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
  readonly #pool = new EventFieldsPool();
  readonly #properties = new PropertiesDecoder(this.#scanner);
  readonly #trail = new MemberTrail<TopLevelField | undefined>();
  #tokensConflict = false;

  /**
   * @param text the decoded payload; must be valid UTF-8
   * @param options with `/engage` a nameless object is a `$identify` (protocol.md 3.4)
   * @returns events that are lent until the next call, or `release`
   */
  decode(text: Buffer, options: { readonly isEngage: boolean }): DecodedDocument | Fault {
    const scanner = this.#scanner;
    const isMarked = text.length >= 3 && text.compare(BYTE_ORDER_MARK, 0, 3, 0, 3) === 0;
    const body = isMarked ? text.subarray(3) : text;
    this.release();
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

  /** Nobody looks at the events any more: their text can go. */
  release(): void {
    this.#pool.reset();
    this.#rootFields.release();
    this.#properties.forget();
    this.#trail.forget();
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
      end: 0,
    };
    const fields = this.#rootFields;
    this.#root(fields, root, body);
    root.end = scanner.at;
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
    if (options.isEngage && fields.fault?.code === 'missing_event_name') fields.fault = undefined;
    const single = fields.finish(body, root.end, 0);
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
    if (!scanner.openArray()) return;
    do {
      if (events.length >= MAX_EVENTS_PER_REQUEST) throw new TooManyEvents();
      const fields = this.#pool.take();
      if (scanner.peek() === OPEN_BRACE) {
        this.#event(fields, body);
      } else {
        fields.reset(scanner.at);
        scanner.value();
        fields.blame('invalid_event', undefined, 'an element of the array is no object');
      }
      events.push(fields.finish(body, scanner.at, events.length));
    } while (scanner.nextElement());
  }

  /** At the `{` of the document's own object. */
  #root(fields: EventFields, root: RootFields, body: Buffer): void {
    const scanner = this.#scanner;
    fields.reset(scanner.at);
    if (scanner.openObject()) {
      do {
        scanner.key();
        const field = topLevelFields.ofKey(scanner);
        if (field === undefined) scanner.value();
        else this.#field(field, fields, root, body);
      } while (scanner.nextMember());
    }
    blameNameless(fields);
  }

  /** At the `{` of an event among others, whose members are compared with those of the one before (member-trail.ts). */
  #event(fields: EventFields, body: Buffer): void {
    const scanner = this.#scanner;
    const trail = this.#trail;
    fields.reset(scanner.at);
    if (!scanner.openObject()) {
      blameNameless(fields);
      return;
    }
    trail.enter(body);
    for (let place = 0; ; place++) {
      const start = scanner.at;
      const same = trail.sameBytes(place, start, body);
      let field: TopLevelField | undefined;
      if (same > 0) {
        field = trail.field(place);
        scanner.at = start + trail.keyBytes(place);
      } else {
        scanner.key();
        field = topLevelFields.ofKey(scanner);
      }
      const valueStart = scanner.at;
      let valueEnd = -1;
      if (body[valueStart] === QUOTE && isTextField(field) && (fields.seen & SEEN_BITS[field]) === 0) {
        const known = same > 0 ? trail.memberBytes(place) : 0;
        const isRepeated = known > 0 && same === known;
        valueEnd = isRepeated ? start + same : plainTextEnd(body, valueStart, same < known ? start + same : 0);
        if (valueEnd >= 0) {
          scanner.at = valueEnd;
          fields.notePlainText(field, valueStart + 1, valueEnd - 1);
          fields.seen |= SEEN_BITS[field];
        }
      }
      if (valueEnd < 0) {
        if (field === undefined) scanner.value();
        else this.#field(field, fields, undefined, body);
      }
      trail.noteKey(place, field, start, valueStart);
      trail.noteMember(place, valueEnd < 0 ? 0 : valueEnd - start);
      if (body[scanner.at] === COMMA) scanner.at += 1;
      else if (!scanner.nextMember()) break;
    }
    blameNameless(fields);
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
    if ((fields.seen & bit) !== 0) {
      const problem = `"${WIRE_NAMES[field]}" is given twice`;
      if (bit < SEEN_BITS.batch) fields.blame('invalid_event', WIRE_NAMES[field], problem);
      else if (root !== undefined) root.shapeProblem ??= problem; // one of two batches would be lost
    }
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
        fields.distinctIdForm = distinctIdForm(first, scanner.stringIsEscaped);
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
        this.#properties.decode(fields, body);
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
      if (earlier === this.#lastString(body)) return;
      if (root === undefined)
        fields.blame('invalid_event', 'api_key', '"api_key" and "token" are both given and differ');
      else this.#tokensConflict = true;
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
}

function blameNameless(fields: EventFields): void {
  if (fields.nameStart < 0 && !fields.hasNameField) {
    fields.blame('missing_event_name', 'event', 'the event has no "event"');
  }
}

function isTextField(field: TopLevelField | undefined): field is TextField {
  return field === 'event' || field === 'distinctId' || field === 'uuid' || field === 'timestamp';
}
