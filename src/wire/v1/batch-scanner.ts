/**
 * The body of a V1 request as noted positions (protocol.md 8.2): one pass that validates all of it.
 *
 * Failure  A missing required field or a value of the wrong type fails the whole batch, as does text that is no JSON, and
 *          a known key that is given twice. Unknown keys are passed over.
 */
import { isUtf8 } from 'node:buffer';
import { type Fault, fault } from '../../errors.ts';
import { BadJson, JsonScanner } from '../json/json-scanner.ts';
import { placeOf, stringText } from '../json/json-text.ts';
import { MAX_EVENTS_PER_REQUEST } from '../v0/document-decoder.ts';
import { FieldTable } from '../v0/field-names.ts';
import { readOptions } from './event-options.ts';
import { ScannedEvent, type StringSpan } from './scanned-event.ts';

export interface ScannedBatch {
  readonly kind: 'scanned';
  readonly events: readonly ScannedEvent[];
  /** As written. */
  readonly createdAt: string;
  readonly isHistorical: boolean;
  readonly isCaptureInternal: boolean;
}

const rootNames = {
  createdAt: ['created_at'],
  historical: ['historical_migration'],
  captureInternal: ['capture_internal'],
  batch: ['batch'],
} as const;
const eventNames = {
  event: ['event'],
  uuid: ['uuid'],
  distinctId: ['distinct_id'],
  timestamp: ['timestamp'],
  sessionId: ['session_id'],
  windowId: ['window_id'],
  options: ['options'],
  properties: ['properties'],
} as const;
const libNames = { lib: ['$lib'], libVersion: ['$lib_version'] } as const;

type RootField = keyof typeof rootNames;
type EventField = keyof typeof eventNames;

const rootFields = new FieldTable<RootField>(rootNames);
const eventFields = new FieldTable<EventField>(eventNames);
const libFields = new FieldTable<keyof typeof libNames>(libNames);
const EVENT_BITS: Readonly<Record<EventField, number>> = {
  event: 1,
  uuid: 2,
  distinctId: 4,
  timestamp: 8,
  sessionId: 16,
  windowId: 32,
  options: 64,
  properties: 128,
};
const REQUIRED = ['event', 'uuid', 'distinctId', 'timestamp'] as const;

const QUOTE = 0x22;
const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;
const LOWER_N = 0x6e;
const LOWER_T = 0x74;
const LOWER_F = 0x66;

/** Ends the scan: no shape can be read behind it, or too many events came. */
class Unfit extends Error {
  override readonly name = 'Unfit';
  readonly fault: Fault;
  constructor(refusal: Fault) {
    super(refusal.detail);
    this.fault = refusal;
  }
}

export class BatchScanner {
  readonly #scanner = new JsonScanner();
  #text = this.#scanner.text;
  #findsLib = false;
  /** The first thing of the wrong shape. */
  #problem: string | undefined = undefined;

  /** @param findsLib notes `$lib` and `$lib_version` of the events too, which costs a look at each property */
  scan(text: Buffer, options: { readonly findsLib: boolean }): ScannedBatch | Fault {
    if (!isUtf8(text)) {
      return fault('request_parsing_error', {
        problem: 'The body is no UTF-8. Name a compression in Content-Encoding.',
      });
    }
    const scanner = this.#scanner;
    scanner.reset(text);
    this.#text = text;
    this.#findsLib = options.findsLib;
    this.#problem = undefined;
    try {
      const batch = this.#root();
      if (scanner.peek() !== -1) throw new BadJson('trailing characters', scanner.at);
      return this.#judged(batch);
    } catch (error) {
      if (error instanceof Unfit) return error.fault;
      if (!(error instanceof BadJson)) throw error;
      const { line, column } = placeOf(text, error.position);
      return fault('request_parsing_error', { problem: `${error.message} at line ${line} column ${column}.` });
    } finally {
      scanner.release();
      this.#text = scanner.text;
    }
  }

  #judged(batch: ScannedBatch): ScannedBatch | Fault {
    return this.#problem === undefined ? batch : fault('request_parsing_error', { problem: `${this.#problem}.` });
  }

  #root(): ScannedBatch {
    const scanner = this.#scanner;
    let events: ScannedEvent[] | undefined;
    let createdAt: string | undefined;
    let isHistorical: boolean | undefined;
    let isCaptureInternal: boolean | undefined;
    const seen = new Set<RootField>();
    if (scanner.peek() !== OPEN_BRACE) {
      scanner.value();
      this.#blame('the document is no object');
    } else {
      if (scanner.openObject()) {
        do {
          scanner.key();
          const field = rootFields.ofKey(this.#scanner);
          if (field !== undefined && seen.has(field)) this.#blame(`"${rootNames[field][0]}" is given twice`);
          if (field !== undefined) seen.add(field);
          switch (field) {
            case undefined:
              scanner.value();
              break;
            case 'createdAt': {
              const span = this.#string('"created_at" is no string');
              createdAt = span === undefined ? '' : stringText(this.#text, span);
              break;
            }
            case 'historical':
              isHistorical = this.#boolean('"historical_migration" is neither true nor false');
              break;
            case 'captureInternal':
              isCaptureInternal = this.#boolean('"capture_internal" is neither true nor false');
              break;
            case 'batch':
              events = this.#events();
              break;
          }
        } while (scanner.nextMember());
      }
    }
    if (createdAt === undefined) this.#blame('"created_at" is missing');
    if (events === undefined) this.#blame('"batch" is missing');
    return {
      kind: 'scanned',
      events: events ?? [],
      createdAt: createdAt ?? '',
      isHistorical: isHistorical ?? false,
      isCaptureInternal: isCaptureInternal ?? false,
    };
  }

  #events(): ScannedEvent[] {
    const scanner = this.#scanner;
    const events: ScannedEvent[] = [];
    if (scanner.peek() !== OPEN_BRACKET) {
      scanner.value();
      this.#blame('"batch" is no array');
      return events;
    }
    if (!scanner.openArray()) return events;
    do {
      if (events.length >= MAX_EVENTS_PER_REQUEST) {
        throw new Unfit(
          fault('payload_too_large', { problem: `more than ${MAX_EVENTS_PER_REQUEST} events in one request` }),
        );
      }
      const first = scanner.peek();
      const event = new ScannedEvent(scanner.at);
      events.push(event);
      if (first === OPEN_BRACE) {
        this.#event(event, events.length - 1);
      } else {
        scanner.value();
        this.#blame(`batch.${events.length - 1} is no object`);
      }
      event.end = scanner.at;
    } while (scanner.nextElement());
    return events;
  }

  /** At `{`. */
  #event(event: ScannedEvent, index: number): void {
    const scanner = this.#scanner;
    let seen = 0;
    if (scanner.openObject()) {
      do {
        scanner.key();
        const field = eventFields.ofKey(this.#scanner);
        if (field === undefined) {
          scanner.value();
          continue;
        }
        if ((seen & EVENT_BITS[field]) !== 0) this.#blame(`batch.${index}.${eventNames[field][0]} is given twice`);
        seen |= EVENT_BITS[field];
        this.#field(event, field, index);
      } while (scanner.nextMember());
    }
    for (const field of REQUIRED) {
      if ((seen & EVENT_BITS[field]) === 0) this.#blame(`batch.${index}.${eventNames[field][0]} is missing`);
    }
  }

  #field(event: ScannedEvent, field: EventField, index: number): void {
    const scanner = this.#scanner;
    switch (field) {
      case 'event':
        event.name = this.#eventString(field, index);
        return;
      case 'uuid':
        event.uuid = this.#eventString(field, index);
        return;
      case 'distinctId':
        event.distinctId = this.#eventString(field, index);
        return;
      case 'timestamp':
        event.timestamp = this.#eventString(field, index);
        return;
      case 'sessionId':
        if (!this.#passedNull()) event.sessionId = this.#eventString(field, index);
        return;
      case 'windowId':
        if (!this.#passedNull()) event.windowId = this.#eventString(field, index);
        return;
      case 'options':
        if (scanner.peek() === OPEN_BRACE) {
          event.options = readOptions(scanner);
        } else if (!this.#passedNull()) {
          scanner.value();
          event.options = { ...event.options, problem: 'they are no object' };
        }
        return;
      case 'properties':
        this.#properties(event);
    }
  }

  #properties(event: ScannedEvent): void {
    const scanner = this.#scanner;
    const first = scanner.peek();
    event.propertiesStart = scanner.at;
    event.propertiesForm = first === OPEN_BRACE ? 'object' : 'malformed';
    scanner.sawLongInteger = false;
    if (first === OPEN_BRACE && this.#findsLib) this.#members(event);
    else scanner.value();
    event.propertiesEnd = scanner.at;
    event.hasLongInteger = scanner.sawLongInteger;
  }

  #members(event: ScannedEvent): void {
    const scanner = this.#scanner;
    if (!scanner.openObject()) return;
    do {
      scanner.key();
      const field = libFields.ofKey(this.#scanner);
      const isString = scanner.peek() === QUOTE;
      scanner.value();
      if (field !== undefined) event[field] = isString ? this.#lastString() : undefined;
    } while (scanner.nextMember());
  }

  #eventString(field: EventField, index: number): StringSpan | undefined {
    if (this.#scanner.peek() === QUOTE) {
      this.#scanner.string();
      return this.#lastString();
    }
    this.#scanner.value();
    this.#blame(`batch.${index}.${eventNames[field][0]} is no string`);
    return undefined;
  }

  #string(problem: string): StringSpan | undefined {
    const isString = this.#scanner.peek() === QUOTE;
    this.#scanner.value();
    if (isString) return this.#lastString();
    this.#blame(problem);
    return undefined;
  }

  #boolean(problem: string): boolean | undefined {
    const first = this.#scanner.peek();
    this.#scanner.value();
    if (first === LOWER_T) return true;
    if (first === LOWER_F) return false;
    if (first !== LOWER_N) this.#blame(problem);
    return undefined;
  }

  #passedNull(): boolean {
    if (this.#scanner.peek() !== LOWER_N) return false;
    this.#scanner.value();
    return true;
  }

  #lastString(): StringSpan {
    const { stringStart: start, stringEnd: end, stringIsEscaped: isEscaped } = this.#scanner;
    return { start, end, isEscaped };
  }

  #blame(problem: string): void {
    this.#problem ??= problem;
  }
}
