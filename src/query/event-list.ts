import { fault, type Fault } from '../errors.ts';
import type { EpochMs } from '../event/ids.ts';
import { formatUuid, parseUuid } from '../event/uuid.ts';
import { eventColumns, eventJson, parseEventRows } from './event-row.ts';
import { nextUrl, parsePage, readCount, readInstant, readLimit, withinPageBytes } from './page.ts';
import { parsePropertyFilters } from './property-filter.ts';
import { jsonAnswer, type ProjectRead, type ReadAnswer } from './read-exchange.ts';
import { Where } from './where.ts';
import type { Sql, StoreReads } from './store-reads.ts';

export const MAX_OFFSET = 1_000_000;
const NEWEST_FIRST = 'timestamp DESC, uuid DESC';
const CURSOR = /^(-?\d{1,18})_([0-9a-f-]{36})$/;

/** `GET /api/projects/:project/events/`: events that pass all filters, newest first. */
export async function listEvents(read: ProjectRead, store: StoreReads, nowMs: EpochMs): Promise<ReadAnswer | Fault> {
  const query = read.request.query;
  const limit = readLimit(query);
  if (typeof limit !== 'number') return limit;
  const offset = readCount(query, 'offset', { absent: 0, least: 0, most: MAX_OFFSET });
  if (typeof offset !== 'number') return offset;
  const where = new Where(read.project.id);
  const refusal = addFilters(where, query, nowMs);
  if (refusal !== undefined) return refusal;

  const sql = pageSql(where, { limit, offset, maxPageBytes: store.limits.maxPageBytes });
  const answer = await store.rows(sql, limit + 1, read.request.signal);
  if (answer.kind === 'fault') return answer;
  const { rows, found } = parsePage(answer.rowsJson);
  const page = parseEventRows(rows.slice(0, limit));
  const last = page.at(-1);
  const hasMore = last !== undefined && found > page.length;
  const next = hasMore ? nextUrl(read.request, `${last.timestampMicros ?? ''}_${last.uuid}`) : null;
  const results = page.map((row) => eventJson(row)).join(',');
  return jsonAnswer(`{"results":[${results}],"next":${JSON.stringify(next)}}`);
}

/** Adds a condition for each filter of the query; the first one that cannot be read is the refusal. */
function addFilters(where: Where, query: URLSearchParams, nowMs: EpochMs): Fault | undefined {
  const event = query.get('event') ?? '';
  if (event !== '') where.add('event = {event:String}', { event });
  const distinctId = query.get('distinct_id') ?? '';
  if (distinctId !== '') where.add('distinct_id = {distinct_id:String}', { distinct_id: distinctId });

  const personId = query.get('person_id') ?? '';
  if (personId !== '') {
    const bytes = parseUuid(personId);
    if (bytes === undefined) return fault('invalid_parameter', { name: 'person_id', expected: 'a UUID' });
    where.add('person_id = {person_id:UUID}', { person_id: formatUuid(bytes) });
  }

  const after = readInstant(query, 'after', nowMs);
  if (typeof after === 'object') return after;
  if (after !== undefined) where.add("timestamp > fromUnixTimestamp64Micro({after:Int64}, 'UTC')", { after });
  const before = readInstant(query, 'before', nowMs);
  if (typeof before === 'object') return before;
  if (before !== undefined) where.add("timestamp < fromUnixTimestamp64Micro({before:Int64}, 'UTC')", { before });

  const cursor = query.get('cursor') ?? '';
  if (cursor !== '') {
    const [, micros, uuid] = CURSOR.exec(cursor) ?? [];
    if (micros === undefined || uuid === undefined || parseUuid(uuid) === undefined)
      return fault('invalid_parameter', { name: 'cursor', expected: 'the one of a "next"' });
    const instant = "fromUnixTimestamp64Micro({cursor_micros:Int64}, 'UTC')";
    // The first half says nothing new, but the primary key can use it.
    where.add(`timestamp <= ${instant} AND (timestamp, uuid) < (${instant}, {cursor_uuid:UUID})`, {
      cursor_micros: BigInt(micros),
      cursor_uuid: uuid,
    });
  }

  const properties = query.get('properties') ?? '';
  if (properties === '') return undefined;
  const conditions = parsePropertyFilters(properties);
  if ('kind' in conditions) return conditions;
  for (const condition of conditions) where.add(condition.sql, condition.parameters);
  return undefined;
}

interface PageSize {
  readonly limit: number;
  readonly offset: number;
  readonly maxPageBytes: number;
}

/** One row more than `limit`, to know whether there is a next page. */
function pageSql(where: Where, size: PageSize): Sql {
  const rows = `SELECT ${eventColumns}, timestamp, uuid FROM events WHERE ${where.sql} ORDER BY ${NEWEST_FIRST} LIMIT {row_limit:UInt64} OFFSET {row_offset:UInt64}`;
  return {
    text: withinPageBytes(rows, 'properties_raw', NEWEST_FIRST),
    parameters: {
      ...where.parameters,
      row_limit: size.limit + 1,
      row_offset: size.offset,
      max_page_bytes: size.maxPageBytes,
    },
  };
}
