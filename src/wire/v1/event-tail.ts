/**
 * The buffer that the events of one V1 request lie in: the text as sent, and behind it what had to be written anew.
 *
 * Layout   the text; then, for each event that is stored, its `properties` with the injected members at their end, so that
 *          of two members of one name the injected one is the last (protocol.md 8.2); an id or time of it that is not
 *          written as it is kept.
 * Bounds   sized before anything is written: at most the text twice, and about 1 KB for each event.
 */
import { eventFlags, type RawEvent } from '../raw-event.ts';
import type { SdkInfo } from './request-headers.ts';
import type { ScannedEvent, StringSpan } from './scanned-event.ts';

const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const COMMA = 0x2c;
const SPACE = 0x20;
/** Unicode's White_Space beyond ASCII; all are single UTF-16 units. */
const WIDE_SPACES = new Set([
  0x85, 0xa0, 0x1680, 0x2000, 0x2001, 0x2002, 0x2003, 0x2004, 0x2005, 0x2006, 0x2007, 0x2008, 0x2009, 0x200a, 0x2028,
  0x2029, 0x202f, 0x205f, 0x3000,
]); // prettier-ignore
/** The keys and booleans that may be injected, with their punctuation, a uuid, and a time. */
const MAX_FIXED_BYTES = 320;
/** A character written as JSON again. */
const MAX_ESCAPED_BYTES = 6;
/** A distinct_id that is kept has at most 200 bytes. */
const MAX_DISTINCT_ID_JSON_BYTES = 200 * MAX_ESCAPED_BYTES;

/**
 * Rust's `trim`, which PostHog uses: Unicode's White_Space, not JavaScript's own list. By hand, since a pattern for the end
 * of a text starts over at each space within it.
 */
export function trimmed(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isWhiteSpace(text.charCodeAt(start))) start += 1;
  while (end > start && isWhiteSpace(text.charCodeAt(end - 1))) end -= 1;
  return end - start === text.length ? text : text.slice(start, end);
}

function isWhiteSpace(unit: number): boolean {
  if (unit < 0x7f) return unit === SPACE || (unit >= 0x09 && unit <= 0x0d);
  return WIDE_SPACES.has(unit);
}

function isVisibleAscii(unit: number): boolean {
  return unit > SPACE && unit < 0x7f;
}

export interface StoredTexts {
  readonly uuid: string;
  readonly index: number;
  readonly flags: number;
  /** Undefined: as it stands in the text. */
  readonly distinctId: string | undefined;
  /** As `normalize/` reads it; undefined: as it stands in the text. */
  readonly timestamp: string | undefined;
  readonly hasPlaceholderId: boolean;
}

export class EventTail {
  readonly #buffer: Buffer;
  readonly #lib: { readonly bytes: Buffer; readonly name: StringSpan; readonly version: StringSpan } | undefined;
  #used: number;

  /** @param scratch used when it is large enough: fresh memory costs more than what is done in it */
  constructor(
    text: Buffer,
    events: readonly ScannedEvent[],
    { sdk, scratch }: { readonly sdk: SdkInfo | undefined; readonly scratch: Buffer },
  ) {
    this.#lib = sdk === undefined ? undefined : libMembers(sdk);
    let bytes = text.length;
    for (const event of events) bytes += boundOf(event) + (this.#lib?.bytes.length ?? 0);
    this.#buffer = bytes <= scratch.length ? scratch : Buffer.allocUnsafe(bytes);
    this.#used = text.copy(this.#buffer);
  }

  /** An event that is not stored: as it came. */
  dropped(event: ScannedEvent, known: { readonly uuid: string; readonly index: number }): RawEvent {
    return rawEvent(this.#buffer, event, {
      index: known.index,
      flags: 0,
      uuid: this.#canonicalUuid(event, known.uuid),
      distinctId: event.distinctId,
      timestamp: event.timestamp,
      lib: event.lib,
      libVersion: event.libVersion,
      propertiesStart: event.propertiesStart,
      propertiesEnd: event.propertiesEnd,
    });
  }

  stored(event: ScannedEvent, texts: StoredTexts): RawEvent {
    const uuid = this.#canonicalUuid(event, texts.uuid);
    const distinctId = texts.distinctId === undefined ? event.distinctId : this.#string(texts.distinctId);
    const timestamp = texts.timestamp === undefined ? event.timestamp : this.#string(texts.timestamp);
    const { start, end, libStart } = this.#properties(event, texts.hasPlaceholderId);
    const own = this.#lib;
    return rawEvent(this.#buffer, event, {
      index: texts.index,
      flags: texts.flags,
      uuid,
      distinctId,
      timestamp,
      lib: own === undefined ? event.lib : moved(own.name, libStart),
      libVersion: own === undefined ? event.libVersion : moved(own.version, libStart),
      propertiesStart: start,
      propertiesEnd: end,
    });
  }

  /** In place unless white space or escapes had to go before it could be read. */
  #canonicalUuid({ uuid: written }: ScannedEvent, uuid: string): StringSpan {
    if (written === undefined || written.isEscaped) return this.#write(uuid);
    const first = this.#buffer[written.start] ?? 0;
    const last = this.#buffer[written.end - 1] ?? 0;
    return isVisibleAscii(first) && isVisibleAscii(last) ? written : this.#write(uuid);
  }

  /** With its quotes: a reader of escaped text starts at them. */
  #string(text: string): StringSpan {
    const json = JSON.stringify(text);
    const { start, end } = this.#write(json);
    return { start: start + 1, end: end - 1, isEscaped: json.length !== text.length + 2 };
  }

  #write(text: string): StringSpan {
    const start = this.#used;
    this.#used += this.#buffer.write(text, start, 'utf8');
    return { start, end: this.#used, isEscaped: false };
  }

  #member(key: string, json: string): void {
    this.#write(`"${key}":${json},`);
  }

  /** @returns where they lie; `libStart` is where the library's two members begin */
  #properties(
    event: ScannedEvent,
    hasPlaceholderId: boolean,
  ): { readonly start: number; readonly end: number; readonly libStart: number } {
    const buffer = this.#buffer;
    const start = this.#used;
    if (event.propertiesForm === 'object') {
      // Without the closing brace, and with a comma unless there is no member to part from.
      this.#used += buffer.copy(buffer, start, event.propertiesStart, event.propertiesEnd - 1);
      let last = this.#used - 1;
      while ((buffer[last] as number) <= SPACE) last -= 1;
      if (last > start) this.#byte(COMMA);
    } else {
      this.#byte(OPEN_BRACE);
    }
    const { options } = event;
    const personProfile = hasPlaceholderId ? false : options.processPersonProfile;
    if (isText(event.sessionId)) this.#quoted('$session_id', event.sessionId);
    if (isText(event.windowId)) this.#quoted('$window_id', event.windowId);
    if (options.cookielessMode !== undefined) this.#member('$cookieless_mode', String(options.cookielessMode));
    if (options.disableSkewCorrection !== undefined) {
      this.#member('$ignore_sent_at', String(options.disableSkewCorrection));
    }
    if (options.productTourId !== undefined) this.#member('$product_tour_id', JSON.stringify(options.productTourId));
    if (personProfile !== undefined) this.#member('$process_person_profile', String(personProfile));
    const libStart = this.#used;
    if (this.#lib !== undefined) this.#used += this.#lib.bytes.copy(buffer, libStart);
    // Every member brought its comma, so that the brace takes the place of the last one.
    if (buffer[this.#used - 1] === COMMA) this.#used -= 1;
    this.#byte(CLOSE_BRACE);
    return { start, end: this.#used, libStart };
  }

  /** A string as it was sent, quotes and escapes included. */
  #quoted(key: string, { start, end }: StringSpan): void {
    this.#write(`"${key}":`);
    this.#used += this.#buffer.copy(this.#buffer, this.#used, start - 1, end + 1);
    this.#byte(COMMA);
  }

  #byte(byte: number): void {
    this.#buffer[this.#used] = byte;
    this.#used += 1;
  }
}

/** An empty id names no session: the one in `properties`, if any, stays. */
function isText(span: StringSpan | undefined): span is StringSpan {
  return span !== undefined && span.end > span.start;
}

function libMembers(sdk: SdkInfo): { bytes: Buffer; name: StringSpan; version: StringSpan } {
  const name = JSON.stringify(sdk.lib);
  const version = JSON.stringify(sdk.libVersion);
  const nameAt = '"$lib":"'.length;
  const versionAt = `"$lib":${name},"$lib_version":"`.length;
  return {
    bytes: Buffer.from(`"$lib":${name},"$lib_version":${version},`),
    name: spanOf(nameAt, name, sdk.lib),
    version: spanOf(versionAt, version, sdk.libVersion),
  };
}

/** Both texts are ASCII: characters are bytes. */
function spanOf(start: number, json: string, text: string): StringSpan {
  return { start, end: start + json.length - 2, isEscaped: json.length - 2 !== text.length };
}

function moved({ start, end, isEscaped }: StringSpan, by: number): StringSpan {
  return { start: start + by, end: end + by, isEscaped };
}

/** Where the parts of one event lie. */
interface EventSpans {
  readonly index: number;
  readonly flags: number;
  readonly uuid: StringSpan;
  readonly distinctId: StringSpan | undefined;
  readonly timestamp: StringSpan | undefined;
  readonly lib: StringSpan | undefined;
  readonly libVersion: StringSpan | undefined;
  readonly propertiesStart: number;
  readonly propertiesEnd: number;
}

function rawEvent(body: Buffer, event: ScannedEvent, spans: EventSpans): RawEvent {
  const { name } = event;
  const { uuid, distinctId, timestamp, lib, libVersion } = spans;
  let { flags } = spans;
  if (name?.isEscaped === true) flags |= eventFlags.nameIsEscaped;
  if (timestamp?.isEscaped === true) flags |= eventFlags.timestampIsEscaped;
  if (lib?.isEscaped === true) flags |= eventFlags.libIsEscaped;
  if (libVersion?.isEscaped === true) flags |= eventFlags.libVersionIsEscaped;
  if (event.hasLongInteger) flags |= eventFlags.hasLongInteger;
  return {
    body,
    index: spans.index,
    start: event.start,
    end: event.end,
    fault: undefined,
    flags,
    nameStart: name?.start ?? -1,
    nameEnd: name?.end ?? -1,
    distinctIdForm: distinctId === undefined ? 'absent' : distinctId.isEscaped ? 'escaped' : 'plain',
    distinctIdStart: distinctId?.start ?? -1,
    distinctIdEnd: distinctId?.end ?? -1,
    uuidStart: uuid.start,
    uuidEnd: uuid.end,
    tokenStart: -1,
    tokenEnd: -1,
    timestampStart: timestamp?.start ?? -1,
    timestampEnd: timestamp?.end ?? -1,
    offsetMs: undefined,
    propertiesStart: spans.propertiesStart,
    propertiesEnd: spans.propertiesEnd,
    setStart: -1,
    setEnd: -1,
    setOnceStart: -1,
    setOnceEnd: -1,
    unsetStart: -1,
    unsetEnd: -1,
    libStart: lib?.start ?? -1,
    libEnd: lib?.end ?? -1,
    libVersionStart: libVersion?.start ?? -1,
    libVersionEnd: libVersion?.end ?? -1,
  };
}

function boundOf(event: ScannedEvent): number {
  const { sessionId, windowId, distinctId, options } = event;
  let bytes = MAX_FIXED_BYTES + event.propertiesEnd - event.propertiesStart;
  if (sessionId !== undefined) bytes += sessionId.end - sessionId.start;
  if (windowId !== undefined) bytes += windowId.end - windowId.start;
  if (options.productTourId !== undefined) bytes += options.productTourId.length * MAX_ESCAPED_BYTES;
  if (distinctId !== undefined) {
    bytes += Math.min((distinctId.end - distinctId.start) * MAX_ESCAPED_BYTES, MAX_DISTINCT_ID_JSON_BYTES);
  }
  return bytes;
}
