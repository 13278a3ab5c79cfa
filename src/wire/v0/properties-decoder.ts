/**
 * Walks the `properties` of an event, where most bytes of a request lie, and notes the few fields that the protocol reads
 * there (protocol.md 3.2, 3.5, 3.8).
 *
 * Two shortcuts, each measured (docs/decisions/0007-json-scanner.md):
 * - The plain cases (no space, no escape, a string, a short number, a literal) are walked here, in local variables.
 * - The events of a batch look alike. A member that has the same bytes as the one in its place in the event before was
 *   checked with that one: it is compared, four bytes at a time, instead of scanned.
 * Whatever is not plain goes to the scanner from where it began, so that there is one judge of what is JSON.
 */
import { eventFlags, type DistinctIdForm } from '../raw-event.ts';
import { type JsonScanner, STRING_CLASS } from '../json/json-scanner.ts';
import { stringText } from '../json/json-text.ts';
import type { EventFields } from './event-fields.ts';
import { propertyFields, type PropertyField } from './field-names.ts';

const QUOTE = 0x22;
const CLOSE_BRACE = 0x7d;
const COMMA = 0x2c;
const COLON = 0x3a;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const LOWER_F = 0x66;
const LOWER_N = 0x6e;
const LOWER_T = 0x74;
/** Below the 19 from which a number may be beyond 64 bits. */
const MAX_PLAIN_DIGITS = 18;
/** Members of an event of which the next event's are compared. */
const MAX_TRAIL = 96;

const NOTHING: DataView = new DataView(new ArrayBuffer(0));

export class PropertiesDecoder {
  readonly #scanner: JsonScanner;
  // The trail: by its place, the member that was plain and lay there last, in the same text.
  readonly #starts = new Int32Array(MAX_TRAIL);
  /** From the key's quote to the colon, both included; 0: nothing is known. */
  readonly #keyBytes = new Int32Array(MAX_TRAIL);
  /** Up to the end of the value; 0: the value was not plain. */
  readonly #memberBytes = new Int32Array(MAX_TRAIL);
  readonly #fields: (PropertyField | undefined)[] = Array.from({ length: MAX_TRAIL });
  #known = 0;
  #view: DataView = NOTHING;

  constructor(scanner: JsonScanner) {
    this.#scanner = scanner;
  }

  /** The next text is another: nothing is known of it. */
  reset(): void {
    this.#known = 0;
    this.#view = NOTHING;
  }

  /** At the `{`. */
  decode(fields: EventFields, body: Buffer): void {
    const scanner = this.#scanner;
    fields.propertiesStart = scanner.at;
    scanner.sawLongInteger = false;
    scanner.open(true);
    if (scanner.peek() === CLOSE_BRACE) {
      scanner.close();
      fields.flags |= eventFlags.propertiesAreEmpty;
    } else {
      if (this.#known > 0 && this.#view === NOTHING) {
        this.#view = new DataView(body.buffer, body.byteOffset, body.length);
      }
      this.#members(fields, body);
    }
    fields.propertiesEnd = scanner.at;
    if (scanner.sawLongInteger) fields.flags |= eventFlags.hasLongInteger;
  }

  #members(fields: EventFields, body: Buffer): void {
    const scanner = this.#scanner;
    const starts = this.#starts;
    const keyBytes = this.#keyBytes;
    const memberBytes = this.#memberBytes;
    const view = this.#view;
    const end = body.length;
    let { at } = scanner;
    for (let place = 0; ; place++) {
      const memberStart = at;
      let field: PropertyField | undefined;
      let same = 0; // leading bytes that the trail has too
      let isKeyKnown = false;
      if (place < this.#known) {
        const before = starts[place] as number;
        const known = (memberBytes[place] as number) || (keyBytes[place] as number);
        const most = Math.min(known, end - at);
        while (same + 4 <= most && view.getInt32(before + same) === view.getInt32(at + same)) same += 4;
        while (same < most && body[before + same] === body[at + same]) same += 1;
        isKeyKnown = same > 0 && same >= (keyBytes[place] as number);
      }
      if (isKeyKnown) {
        field = this.#fields[place];
        at += keyBytes[place] as number;
      } else {
        same = 0;
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
      }
      const valueStart = at;
      // The value's end when it is plain, else -1.
      let valueEnd = -1;
      if (field === undefined || field === 'lib' || field === 'libVersion') {
        const known = memberBytes[place] as number;
        const isRepeated = isKeyKnown && known > 0 && same === known && endsMember(body[memberStart + same]);
        if (isRepeated) valueEnd = memberStart + same;
        else valueEnd = plainEnd(body, valueStart, same < known ? memberStart + same : 0);
      }
      if (valueEnd >= 0) {
        at = valueEnd;
        if (field !== undefined) notePlainLibrary(field, fields, { body, start: valueStart, end: valueEnd });
      } else {
        scanner.at = at;
        if (field === undefined) scanner.value();
        else this.#property(field, fields);
        ({ at } = scanner);
      }
      if (place < MAX_TRAIL) {
        starts[place] = memberStart;
        keyBytes[place] = valueStart - memberStart;
        memberBytes[place] = valueEnd < 0 ? 0 : valueEnd - memberStart;
        this.#fields[place] = field;
        if (place >= this.#known) this.#known = place + 1;
      }
      if (body[at] === COMMA) {
        at += 1;
        continue;
      }
      scanner.at = at;
      if (!scanner.nextMember()) return;
      ({ at } = scanner);
    }
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
        fields.innerDistinctIdForm = first === LOWER_N ? 'absent' : distinctIdForm(first, scanner.stringIsEscaped);
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
        fields.flags &= ~eventFlags.libIsEscaped;
        if (isString && scanner.stringIsEscaped) fields.flags |= eventFlags.libIsEscaped;
        return;
      case 'libVersion':
        fields.libVersionStart = isString ? scanner.stringStart : -1;
        fields.libVersionEnd = isString ? scanner.stringEnd : -1;
        fields.flags &= ~eventFlags.libVersionIsEscaped;
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

export function distinctIdForm(first: number, isEscaped: boolean): DistinctIdForm {
  if (first !== QUOTE) return 'other';
  return isEscaped ? 'escaped' : 'plain';
}

function endsMember(byte: number | undefined): boolean {
  return byte === COMMA || byte === CLOSE_BRACE;
}

/**
 * @param from for a string: up to here its bytes are known to be plain
 * @returns the end of the value that begins at `start`; -1 when it is not plain
 */
function plainEnd(body: Buffer, start: number, from: number): number {
  const end = body.length;
  const first = body[start];
  if (first === QUOTE) {
    let i = from > start ? from : start + 1;
    while (i < end && STRING_CLASS[body[i] as number] === 0) i += 1;
    return body[i] === QUOTE ? i + 1 : -1;
  }
  if (first === LOWER_T || first === LOWER_F || first === LOWER_N) return literalEnd(body, start, first);
  if (first === undefined || (first !== MINUS && (first < ZERO || first > NINE))) return -1;
  const digits = first === MINUS ? start + 1 : start;
  let i = digits;
  while (i < end && (body[i] as number) >= ZERO && (body[i] as number) <= NINE) i += 1;
  const count = i - digits;
  if (count === 0 || count > MAX_PLAIN_DIGITS || (count > 1 && body[digits] === ZERO)) return -1;
  if (body[i] === DOT) {
    const fraction = i + 1;
    i = fraction;
    while (i < end && (body[i] as number) >= ZERO && (body[i] as number) <= NINE) i += 1;
    if (i === fraction) return -1;
  }
  return endsMember(body[i]) ? i : -1;
}

/** `true`, `false`, `null`, with a comma or a brace behind. */
function literalEnd(body: Buffer, start: number, first: number): number {
  let i = start + 1;
  if (first === LOWER_T) {
    if (body[i] !== 0x72 || body[i + 1] !== 0x75 || body[i + 2] !== 0x65) return -1;
    i += 3;
  } else if (first === LOWER_F) {
    if (body[i] !== 0x61 || body[i + 1] !== 0x6c || body[i + 2] !== 0x73 || body[i + 3] !== 0x65) return -1;
    i += 4;
  } else {
    if (body[i] !== 0x75 || body[i + 1] !== 0x6c || body[i + 2] !== 0x6c) return -1;
    i += 3;
  }
  return endsMember(body[i]) ? i : -1;
}

function notePlainLibrary(
  field: PropertyField,
  fields: EventFields,
  value: { readonly body: Buffer; readonly start: number; readonly end: number },
): void {
  const isString = value.body[value.start] === QUOTE;
  const start = isString ? value.start + 1 : -1;
  const end = isString ? value.end - 1 : -1;
  if (field === 'lib') {
    fields.libStart = start;
    fields.libEnd = end;
    fields.flags &= ~eventFlags.libIsEscaped;
  } else {
    fields.libVersionStart = start;
    fields.libVersionEnd = end;
    fields.flags &= ~eventFlags.libVersionIsEscaped;
  }
}
