/** One event as the store's row, and as the reading API's JSON (interface.md 3, `Event`). */
import { z } from 'zod';
import { formatInstant, formatMicros } from './instant.ts';
import type { PendingEvent } from './pending-lookup.ts';

/** In the order of `eventRow`. Instants are text of whole microseconds, so that no number rounds them. */
export const eventColumns = [
  'toString(uuid) AS uuid_text',
  'event',
  'distinct_id',
  'toString(person_id) AS person_text',
  'toString(toUnixTimestamp64Micro(timestamp)) AS timestamp_micros',
  'toString(toUnixTimestamp64Micro(received_at)) AS received_micros',
  'toString(toUnixTimestamp64Micro(sent_at)) AS sent_micros',
  'properties_raw',
  'ip',
  'authenticated',
  'is_cookieless',
  'toString(request_id) AS request_text',
  'lib',
  'lib_version',
].join(', ');

/** ClickHouse gives a Bool as true, and as 1 where the column is a UInt8. */
const flag = z.union([z.boolean(), z.number()]).transform((value) => value === true || value === 1);

/** Positions as in `eventColumns`; columns behind them are the page's own. */
const eventRow = z
  .tuple(
    [
      z.string(),
      z.string(),
      z.string(),
      z.string(),
      z.string(),
      z.string(),
      z.string().nullable(),
      z.string(),
      z.string(),
      flag,
      flag,
      z.string(),
      z.string(),
      z.string(),
    ],
    z.unknown(),
  )
  .transform(
    ([
      uuid,
      event,
      distinctId,
      personId,
      timestampMicros,
      receivedMicros,
      sentMicros,
      propertiesRaw,
      ip,
      isAuthenticated,
      isCookieless,
      requestId,
      lib,
      libVersion,
    ]): EventRow => ({
      uuid,
      event,
      distinctId,
      personId,
      timestampMicros,
      timestamp: formatMicros(timestampMicros),
      receivedAt: formatMicros(receivedMicros),
      sentAt: sentMicros === null ? null : formatMicros(sentMicros),
      propertiesRaw,
      ip,
      isAuthenticated,
      isCookieless,
      requestId,
      lib,
      libVersion,
    }),
  );
const eventRows = z.array(eventRow);

export interface EventRow {
  readonly uuid: string;
  readonly event: string;
  readonly distinctId: string;
  readonly personId: string;
  /** Exact, for cursors; undefined for an event that is not in the store yet. */
  readonly timestampMicros: string | undefined;
  readonly timestamp: string;
  readonly receivedAt: string;
  readonly sentAt: string | null;
  /** As the client sent it. */
  readonly propertiesRaw: string;
  readonly ip: string;
  readonly isAuthenticated: boolean;
  readonly isCookieless: boolean;
  readonly requestId: string;
  readonly lib: string;
  readonly libVersion: string;
}

/** @throws when the store's answer has other columns than `eventColumns`: our own bug. */
export function parseEventRows(rows: unknown): readonly EventRow[] {
  return eventRows.parse(rows);
}

export function rowOfPending(pending: PendingEvent): EventRow {
  return {
    uuid: pending.uuid,
    event: pending.event,
    distinctId: pending.distinctId,
    personId: pending.personId,
    timestampMicros: undefined,
    timestamp: formatInstant(pending.timestampMs),
    receivedAt: formatInstant(pending.receivedAtMs),
    sentAt: pending.sentAtMs === undefined ? null : formatInstant(pending.sentAtMs),
    propertiesRaw: pending.propertiesRaw,
    ip: pending.ip,
    isAuthenticated: pending.isAuthenticated,
    isCookieless: pending.isCookieless,
    requestId: pending.requestId,
    lib: pending.lib,
    libVersion: pending.libVersion,
  };
}

/**
 * `properties` goes into the text as it is, so that numbers stay as sent.
 * @param status JSON members of the event's fate, put last; empty in lists.
 */
export function eventJson(row: EventRow, status = ''): string {
  const said = readKnownProperties(row.propertiesRaw);
  const hasPerson = !row.isCookieless && !said.isPersonless;
  const person = hasPerson ? { id: row.personId, distinct_ids: [row.distinctId], properties: {} } : null;
  const head = {
    uuid: row.uuid,
    id: row.uuid,
    event: row.event,
    distinct_id: row.distinctId,
    timestamp: row.timestamp,
    received_at: row.receivedAt,
    sent_at: row.sentAt,
  };
  const tail = {
    person,
    elements_chain: said.elementsChain,
    ip: row.ip,
    authenticated: row.isAuthenticated,
    request_id: row.requestId,
    lib: row.lib,
    lib_version: row.libVersion,
  };
  const properties = row.propertiesRaw === '' ? '{}' : row.propertiesRaw;
  const open = JSON.stringify(head).slice(0, -1);
  const rest = JSON.stringify(tail).slice(1, -1);
  return `${open},"properties":${properties},${rest}${status === '' ? '' : `,${status}`}}`;
}

interface KnownProperties {
  readonly elementsChain: string;
  /** The client asked for no person (`$process_person_profile: false`). */
  readonly isPersonless: boolean;
}

const noneKnown: KnownProperties = { elementsChain: '', isPersonless: false };
const known = z.object({
  $elements_chain: z.string().catch(''),
  $process_person_profile: z.boolean().catch(true),
});

/** Parses only a text that names one of them: most events of servers do not. */
function readKnownProperties(propertiesRaw: string): KnownProperties {
  if (!propertiesRaw.includes('$elements_chain') && !propertiesRaw.includes('$process_person_profile'))
    return noneKnown;
  let properties: unknown;
  try {
    properties = JSON.parse(propertiesRaw);
  } catch {
    return noneKnown; // nothing but this courtesy depends on it
  }
  const read = known.safeParse(properties);
  if (!read.success) return noneKnown;
  return { elementsChain: read.data.$elements_chain, isPersonless: !read.data.$process_person_profile };
}
