/**
 * Walks the `properties` of an event, where most bytes of a request lie, and notes the few fields that the protocol reads
 * there (protocol.md 3.2, 3.5, 3.8).
 *
 * Two shortcuts, each measured (docs/decisions/0007-json-scanner.md):
 * - The plain cases (no space, no escape, a text, a short number, a literal) are walked here, in local variables.
 * - A member that has the same bytes as the one in its place in the event before was checked with that one: it is compared,
 *   four bytes at a time, instead of scanned; where it differs in the midst of a text, the scan goes on from there.
 * Whatever is not plain goes to the scanner from where it began, so that there is one judge of what is JSON.
 */
import { eventFlags, type DistinctIdForm } from '../raw-event.ts';
import { type JsonScanner, STRING_CLASS } from '../json/json-scanner.ts';
import { endsMember, plainEnd } from '../json/plain-value.ts';
import type { EventFields } from './event-fields.ts';
import { propertyFields, type PropertyField } from './field-names.ts';
import { MemberTrail } from './member-trail.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const LOWER_F = 0x66;
const LOWER_N = 0x6e;
const LOWER_T = 0x74;

export class PropertiesDecoder {
  readonly #scanner: JsonScanner;
  readonly #trail = new MemberTrail<PropertyField | undefined>();

  constructor(scanner: JsonScanner) {
    this.#scanner = scanner;
  }

  /** Another text: nothing is known of it. */
  forget(): void {
    this.#trail.forget();
  }

  /** At the `{`. */
  decode(fields: EventFields, body: Buffer): void {
    const scanner = this.#scanner;
    fields.propertiesStart = scanner.at;
    scanner.sawLongInteger = false;
    if (scanner.openObject()) {
      this.#trail.enter(body);
      this.#members(fields, body);
    } else {
      fields.flags |= eventFlags.propertiesAreEmpty;
    }
    fields.propertiesEnd = scanner.at;
    if (scanner.sawLongInteger) fields.flags |= eventFlags.hasLongInteger;
  }

  #members(fields: EventFields, body: Buffer): void {
    const scanner = this.#scanner;
    const trail = this.#trail;
    const end = body.length;
    let { at } = scanner;
    for (let place = 0; ; place++) {
      const start = at;
      const same = trail.sameBytes(place, start, body);
      let field: PropertyField | undefined;
      if (same > 0) {
        field = trail.field(place);
        at = start + trail.keyBytes(place);
      } else {
        let i = at + 1;
        if (body[at] === QUOTE) while (i < end && STRING_CLASS[body[i] as number] === 0) i += 1;
        if (i > at + 1 && body[i] === QUOTE && body[i + 1] === COLON) {
          field = propertyFields.find(body, at + 1, i);
          at = i + 2;
        } else {
          scanner.at = at;
          scanner.key();
          ({ at } = scanner);
          field = propertyFields.ofKey(scanner);
        }
      }
      const valueStart = at;
      let valueEnd = -1;
      if (field === undefined || field === 'lib' || field === 'libVersion') {
        const known = same > 0 ? trail.memberBytes(place) : 0;
        const isRepeated = known > 0 && same === known && endsMember(body[start + same]);
        valueEnd = isRepeated ? start + same : plainEnd(body, valueStart, same < known ? start + same : 0);
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
      trail.noteKey(place, field, start, valueStart);
      trail.noteMember(place, valueEnd < 0 ? 0 : valueEnd - start);
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
