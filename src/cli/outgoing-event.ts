/** Events on their way to a server: JSON text, never re-serialised, so that numbers arrive as they were written. */
import { systemClock } from '../event/clock.ts';
import type { IdSource } from '../event/id-source.ts';
import { formatUuid } from '../event/uuid.ts';
import { usageFailure } from './command-failure.ts';
import { memberText } from './json-text.ts';

/** How many bytes of one line are read before it is refused; above every limit that the server has for an event. */
export const MAX_LINE_BYTES = 16 * 1024 * 1024;

export interface OutgoingEvent {
  readonly kind: 'event';
  /** One JSON object that holds a `uuid`: a batch that is sent again is not counted again. */
  readonly json: string;
  /** Where it came from, such as `line 7`. */
  readonly origin: string;
}

export interface UnreadableLine {
  readonly kind: 'unreadable';
  readonly origin: string;
  readonly problem: string;
}

/** `k=v`; the value is JSON where it parses as JSON, else a string. Returns the JSON text of both. */
export function parseProperty(text: string): readonly [name: string, valueText: string] {
  const at = text.indexOf('=');
  if (at <= 0) throw usageFailure(`--prop "${text}" is no property; expected name=value.`);
  const value = text.slice(at + 1);
  return [text.slice(0, at), isJson(value) ? value.trim() : JSON.stringify(value)];
}

export function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

export interface NamedEvent {
  readonly event: string;
  readonly distinctId: string;
  /** `k=v` each; of equal names the last one counts. */
  readonly properties: readonly string[];
}

export function namedEvent(wanted: NamedEvent, ids: IdSource): OutgoingEvent {
  const properties = new Map(wanted.properties.map((text) => parseProperty(text)));
  const members = Array.from(properties, ([name, valueText]) => `${JSON.stringify(name)}:${valueText}`);
  const json =
    `{"uuid":${JSON.stringify(newUuid(ids))},"event":${JSON.stringify(wanted.event)},` +
    `"distinct_id":${JSON.stringify(wanted.distinctId)},"timestamp":${JSON.stringify(new Date(systemClock.nowMs()).toISOString())},` +
    `"properties":{${members.join(',')}}}`;
  return { kind: 'event', json, origin: 'the named event' };
}

/** One line of a file; undefined when it is blank. */
export function lineEvent(line: string, origin: string, ids: IdSource): OutgoingEvent | UnreadableLine | undefined {
  const text = line.trim();
  if (text === '') return undefined;
  if (!text.startsWith('{')) return { kind: 'unreadable', origin, problem: 'it is no JSON object' };
  if (!isJson(text)) return { kind: 'unreadable', origin, problem: 'it is no valid JSON' };
  if (memberText(text, 'uuid') !== undefined) return { kind: 'event', json: text, origin };
  const rest = text.slice(1).trimStart();
  return { kind: 'event', json: `{"uuid":"${newUuid(ids)}"${rest === '}' ? '' : ','}${rest}`, origin };
}

function newUuid(ids: IdSource): string {
  const bytes = new Uint8Array(16);
  ids.writeUuidV7(systemClock.nowMs(), bytes, 0);
  return formatUuid(bytes);
}

/**
 * Lines end in LF or CRLF and nothing else (Node's readline also splits at U+2028, which JSON strings may hold).
 * @throws CommandFailure when a line passes `MAX_LINE_BYTES`.
 */
export async function* linesOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let parts: Uint8Array[] = [];
  let partBytes = 0;
  for await (const chunk of bytes) {
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      yield textOf([...parts, chunk.subarray(from, at)]);
      parts = [];
      partBytes = 0;
      from = at + 1;
    }
    if (from < chunk.length) parts.push(chunk.subarray(from));
    partBytes += chunk.length - from;
    if (partBytes > MAX_LINE_BYTES) {
      throw usageFailure(`A line is longer than ${MAX_LINE_BYTES} bytes. The file must hold one JSON object a line.`);
    }
  }
  if (partBytes > 0) yield textOf(parts);
}

function textOf(parts: readonly Uint8Array[]): string {
  return Buffer.concat(parts)
    .toString('utf8')
    .replace(/^\ufeff/, '');
}
