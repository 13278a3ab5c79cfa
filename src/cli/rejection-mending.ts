/**
 * A rejected event becomes one that can be sent again: what a person wants changed, and what the event would lose by coming
 * later and in another request.
 *
 *   uuid    one without gets a UUID v5 of its request id, its place and its text: however often it is sent, it is stored once
 *   time    is worked out from the first request's times (protocol.md 3.7) and written into `timestamp`, since the server
 *           would work it out from the second's; `offset` goes, since it counts from the arrival
 *   name    an event without one that was not refused for it came to `/engage`: it is a `$identify` (protocol.md 3.4)
 *   door    an event of protocol V1 goes back to it: only there `options` and `session_id` mean something. What tells it is
 *           the code; where V0 has the same, the members that V0 does not know
 * Everything else stays byte by byte as it was sent.
 */
import { uuidV5 } from '../event/id-source.ts';
import { asEpochMs } from '../event/ids.ts';
import type { RejectionCode } from '../event/outcome.ts';
import { formatUuid, parseUuid } from '../event/uuid.ts';
import { eventTime } from '../normalize/event-time.ts';
import { parseTimestamp } from '../normalize/timestamp-text.ts';
import { parseRfc3339 } from '../wire/v1/rfc-3339.ts';
import { usageFailure } from './command-failure.ts';
import { changed, type Member, membersOf, valueOf } from './json-members.ts';
import { isJson, parseProperty } from './outgoing-event.ts';

/** As `GET …/rejections/` gives it. */
export interface KeptRejection {
  readonly request_id: string;
  readonly index: number;
  readonly received_at: string;
  readonly sent_at: string | null;
  readonly code: string;
  readonly raw: string;
}

/** What a person wants changed. JSON texts. */
export interface Mend {
  readonly fields: ReadonlyMap<string, string>;
  readonly properties: ReadonlyMap<string, string>;
  readonly unset: readonly string[];
}

export type MendedEvent =
  | { readonly kind: 'event'; readonly door: 'v0' | 'v1'; readonly json: string; readonly uuid: string }
  | { readonly kind: 'unsendable'; readonly problem: string };

const V1_CODES: readonly string[] = [
  'ai_event_too_big',
  'cookieless_id_without_mode',
  'distinct_id_too_large',
  'event_name_too_long',
  'event_too_big',
  'invalid_event_timestamp',
  'invalid_options',
  'malformed_event_properties',
] satisfies RejectionCode[];
/** Found out before the name is looked at. */
const NAMELESS_CODES: readonly string[] = [
  'missing_event_name',
  'invalid_event',
  'invalid_properties',
] satisfies RejectionCode[];

const JSON_FIELDS = ['offset', 'options', 'properties', '$set', '$set_once', '$unset'];
const KEY_FIELDS = ['api_key', 'token', '$token'];
const OTHER_NAMES: Readonly<Record<string, string>> = { distinct_id: '$distinct_id', $distinct_id: 'distinct_id' };
const NO_VALUES: readonly (string | undefined)[] = [undefined, 'null', 'false', '0'];

/** @throws CommandFailure when an option cannot be meant */
export function readMend(flags: {
  readonly set?: readonly string[];
  readonly setProperty?: readonly string[];
  readonly unset?: readonly string[];
}): Mend {
  const fields = new Map<string, string>();
  for (const text of flags.set ?? []) {
    const at = text.indexOf('=');
    const name = text.slice(0, at);
    if (at <= 0) throw usageFailure(`--set "${text}" is no field; expected name=value, such as distinct_id=ann.`);
    if (name === 'uuid') {
      throw usageFailure('--set uuid=… would make one event of many. With --unset uuid each gets one of its own.');
    }
    if (KEY_FIELDS.includes(name)) throw usageFailure(`--set ${name}=… has no effect: events stay in their project.`);
    const value = text.slice(at + 1);
    if (name === 'timestamp' && parseTimestamp(value) === undefined) {
      throw usageFailure(`--set "${text}" is no time; expected one such as timestamp=2026-01-31T12:00:00Z.`);
    }
    if (name === 'event' && value === '$performance_event') {
      throw usageFailure('Events named $performance_event are not kept; name them otherwise.');
    }
    const [, json] = parseProperty(text);
    fields.set(name, JSON_FIELDS.includes(name) ? json : JSON.stringify(value));
  }
  const properties = new Map<string, string>();
  for (const text of flags.setProperty ?? []) {
    if (text.indexOf('=') <= 0) throw usageFailure(`--set-property "${text}" is no property; expected name=value.`);
    properties.set(...parseProperty(text));
  }
  return { fields, properties, unset: flags.unset ?? [] };
}

export function mended(rejection: KeptRejection, mend: Mend): MendedEvent {
  const sent = isJson(rejection.raw) ? membersOf(rejection.raw) : undefined;
  if (sent === undefined) return { kind: 'unsendable', problem: 'it is no JSON object' };
  const door = doorOf(rejection.code, sent);
  const asked = withMend(rejection.raw, mend);
  if (asked === undefined) {
    return { kind: 'unsendable', problem: 'its "properties" are no object; --set properties={} replaces them' };
  }
  const members = membersOf(asked) ?? [];
  const removed: string[] = [];
  const added: [string, string][] = [];
  const put = (name: string, valueText: string): void => {
    removed.push(name);
    added.push([name, valueText]);
  };

  const isNameless = valueOf(members, 'event') === undefined;
  if (door === 'v0' && isNameless && !NAMELESS_CODES.includes(rejection.code)) put('event', '"$identify"');

  const uuidText = valueOf(members, 'uuid') ?? 'null';
  let uuid = uuidText.startsWith('"') ? String(JSON.parse(uuidText)) : '';
  if (uuidText === 'null' || uuidText === '""') {
    uuid = derivedUuid(rejection);
    put('uuid', `"${uuid}"`);
  }

  const time = timeOf(rejection, members, { door, isGiven: mend.fields.has('timestamp') });
  if (time !== undefined) {
    put('timestamp', JSON.stringify(time));
    if (door === 'v0') removed.push('offset');
    else put('options', withoutCorrection(valueOf(members, 'options')));
  }
  return { kind: 'event', door, json: changed(asked, removed, added), uuid };
}

function doorOf(code: string, sent: readonly Member[]): 'v0' | 'v1' {
  if (V1_CODES.includes(code)) return 'v1';
  const isText = (name: string): boolean => valueOf(sent, name)?.startsWith('"') === true;
  // V0 has this code for events without a name alone, and another for those whose name is empty.
  if (code === 'missing_event_name') return isText('event') ? 'v1' : 'v0';
  const isLikeV1 = ['event', 'uuid', 'distinct_id', 'timestamp'].every(isText);
  const hasV1Members = sent.some(({ name }) => ['session_id', 'window_id', 'options'].includes(name));
  return code === 'missing_distinct_id' && isLikeV1 && hasV1Members ? 'v1' : 'v0';
}

/** Undefined when properties are to be set in something that is no object. */
function withMend(raw: string, mend: Mend): string | undefined {
  const names = [...mend.fields.keys()];
  const aliases = names.flatMap((name) => OTHER_NAMES[name] ?? []);
  const text = changed(raw, [...mend.unset, ...names, ...aliases], [...mend.fields]);
  if (mend.properties.size === 0) return text;
  const before = valueOf(membersOf(text) ?? [], 'properties') ?? 'null';
  const properties = before === 'null' ? '{}' : before;
  if (membersOf(properties) === undefined) return undefined;
  const after = changed(properties, [...mend.properties.keys()], [...mend.properties]);
  return changed(text, ['properties'], [['properties', after]]);
}

/** The text is in it for clients that give several requests one id. */
function derivedUuid({ request_id: requestId, index, raw }: KeptRejection): string {
  const namespace = parseUuid(requestId);
  if (namespace === undefined) throw new RangeError('the request id of a rejected event is no uuid');
  return formatUuid(uuidV5(namespace, `${index}:${raw}`));
}

/** What to write into `timestamp`; undefined: leave it, and what belongs to it, as it is. */
function timeOf(
  rejection: KeptRejection,
  members: readonly Member[],
  { door, isGiven }: { readonly door: 'v0' | 'v1'; readonly isGiven: boolean },
): string | undefined {
  const timestamp = valueOf(members, 'timestamp') ?? 'null';
  const offset = door === 'v1' || isGiven ? 'null' : (valueOf(members, 'offset') ?? 'null');
  // Of a type that the server refuses, and must go on refusing unless it was mended.
  if (timestamp !== 'null' && !timestamp.startsWith('"')) return undefined;
  if (offset !== 'null' && !/^-?\d+$/.test(offset)) return undefined;
  const text = timestamp === 'null' ? undefined : String(JSON.parse(timestamp));
  if (door === 'v1') {
    const options = valueOf(members, 'options') ?? 'null';
    if (options !== 'null' && !options.startsWith('{')) return undefined;
    if (text !== undefined && parseRfc3339(text.trim()) === undefined) return undefined;
    const correction = valueOf(membersOf(options) ?? [], 'disable_skew_correction');
    if (!isGiven && !NO_VALUES.includes(correction)) return undefined;
  }
  const ignoresSentAt = valueOf(membersOf(valueOf(members, 'properties') ?? '') ?? [], '$ignore_sent_at') === 'true';
  const sentAtMs =
    isGiven || ignoresSentAt || rejection.sent_at === null ? undefined : asEpochMs(Date.parse(rejection.sent_at));
  const timestampMs = text === undefined ? undefined : parseTimestamp(text);
  const receivedAtMs = asEpochMs(Date.parse(rejection.received_at));
  const offsetMs = offset === 'null' ? undefined : Number(offset);
  const timeMs = eventTime({ timestampMs, sentAtMs, offsetMs }, receivedAtMs);
  if (door === 'v0' && timeMs === timestampMs && offsetMs === undefined && !isGiven) return undefined;
  return formatTime(timeMs);
}

/** ISO 8601 to the microsecond. */
function formatTime(epochMs: number): string {
  const wholeMs = Math.floor(epochMs);
  const micros = Math.min(Math.round((epochMs - wholeMs) * 1000), 999);
  const text = new Date(wholeMs).toISOString();
  return micros === 0 ? text : `${text.slice(0, -1)}${String(micros).padStart(3, '0')}Z`;
}

/** V1 corrects every time by the clock of the request that brings it, unless it is told not to (protocol.md 8.2). */
function withoutCorrection(options: string | undefined): string {
  const object = options === undefined || options === 'null' ? '{}' : options;
  return changed(object, ['disable_skew_correction'], [['disable_skew_correction', 'true']]);
}
