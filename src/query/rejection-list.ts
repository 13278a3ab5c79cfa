import { fault, type Fault } from '../errors.ts';
import type { EpochMs } from '../event/ids.ts';
import { parseUuid } from '../event/uuid.ts';
import { nextUrl, parsePage, readInstant, readLimit, withinPageBytes } from './page.ts';
import { jsonAnswer, type ProjectRead, type ReadAnswer } from './read-exchange.ts';
import { parseRejectionRows, rejectionColumns, rejectionJson } from './rejection-row.ts';
import type { StoreReads } from './store-reads.ts';
import { Where } from './where.ts';

const NEWEST_FIRST = 'received_at DESC, request_id DESC, `index` DESC';
const CURSOR = /^(-?\d{1,18})_([0-9a-f-]{36})_(\d{1,9})$/;

/** `GET /api/projects/:project/rejections/`: rejected events with their reasons, newest first. */
export async function listRejections(
  read: ProjectRead,
  store: StoreReads,
  nowMs: EpochMs,
): Promise<ReadAnswer | Fault> {
  const query = read.request.query;
  const limit = readLimit(query);
  if (typeof limit !== 'number') return limit;
  const where = new Where(read.project.id);
  const refusal = addFilters(where, query, nowMs);
  if (refusal !== undefined) return refusal;

  const rowsSql =
    `SELECT ${rejectionColumns}, received_at, request_id FROM rejections WHERE ${where.sql} ` +
    `ORDER BY ${NEWEST_FIRST} LIMIT {row_limit:UInt64}`;
  const sql = {
    text: withinPageBytes(rowsSql, 'raw', NEWEST_FIRST),
    parameters: { ...where.parameters, row_limit: limit + 1, max_page_bytes: store.limits.maxPageBytes },
  };
  const answer = await store.rows(sql, limit + 1, read.request.signal);
  if (answer.kind === 'fault') return answer;
  const { rows, found } = parsePage(answer.rowsJson);
  const page = parseRejectionRows(rows.slice(0, limit));
  const last = page.at(-1);
  const hasMore = last !== undefined && found > page.length;
  const cursor = hasMore ? `${last.receivedMicros ?? ''}_${last.requestId}_${last.index}` : undefined;
  const next = cursor === undefined ? null : nextUrl(read.request, cursor);
  return jsonAnswer(`{"results":[${page.map(rejectionJson).join(',')}],"next":${JSON.stringify(next)}}`);
}

function addFilters(where: Where, query: URLSearchParams, nowMs: EpochMs): Fault | undefined {
  const code = query.get('code') ?? '';
  if (code !== '') where.add('code = {code:String}', { code });
  const after = readInstant(query, 'after', nowMs);
  if (typeof after === 'object') return after;
  if (after !== undefined) where.add("received_at > fromUnixTimestamp64Micro({after:Int64}, 'UTC')", { after });
  const before = readInstant(query, 'before', nowMs);
  if (typeof before === 'object') return before;
  if (before !== undefined) where.add("received_at < fromUnixTimestamp64Micro({before:Int64}, 'UTC')", { before });

  const cursor = query.get('cursor') ?? '';
  if (cursor === '') return undefined;
  const [, micros, requestId, index] = CURSOR.exec(cursor) ?? [];
  if (micros === undefined || requestId === undefined || parseUuid(requestId) === undefined)
    return fault('invalid_parameter', { name: 'cursor', expected: 'the one of a "next"' });
  const instant = "fromUnixTimestamp64Micro({cursor_micros:Int64}, 'UTC')";
  // The first half says nothing new, but the primary key can use it.
  where.add(
    `received_at <= ${instant} AND ` +
      `(received_at, request_id, \`index\`) < (${instant}, {cursor_request:UUID}, {cursor_index:UInt32})`,
    { cursor_micros: BigInt(micros), cursor_request: requestId, cursor_index: Number(index) },
  );
  return undefined;
}
