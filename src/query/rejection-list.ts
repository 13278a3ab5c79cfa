import { z } from 'zod';
import { fault, type Fault } from '../errors.ts';
import type { EpochMs } from '../event/ids.ts';
import { parseUuid } from '../event/uuid.ts';
import { internalDatabase } from '../store/schema.ts';
import { nextUrl, parsePage, readInstant, readLimit, withinPageBytes } from './page.ts';
import { jsonAnswer, type ProjectRead, type ReadAnswer } from './read-exchange.ts';
import { listedColumns, parseListedRows, rejectionColumns, rejectionJson } from './rejection-row.ts';
import type { StoreReads } from './store-reads.ts';
import { Where } from './where.ts';

const NEWEST_FIRST = 'received_at DESC, request_id DESC, `index` DESC';
const countRow = z.tuple([z.tuple([z.number()])]);
const CURSOR = /^(-?\d{1,18})_([0-9a-f-]{36})_(\d{1,9})$/;

/** In the project of the query: it was sent again and stored, or is itself the copy of one that was sent again. */
const RETRIED =
  `((request_id, \`index\`, toUnixTimestamp64Milli(received_at)) IN (SELECT request_id, \`index\`, ` +
  `toUnixTimestamp64Milli(received_at) FROM ${internalDatabase}.retried WHERE project_id = {project_id:UInt32}) OR ` +
  `request_id IN (SELECT retry_request_id FROM ${internalDatabase}.retried WHERE project_id = {project_id:UInt32}))`;

/**
 * `GET /api/projects/:project/rejections/`: rejected events with their reasons, newest first. Those that were sent again
 * are left out unless `all` is set. The first page has `count`, how many there are on all pages.
 */
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
  const unpaged = { sql: where.sql, parameters: where.parameters };
  const cursorRefusal = addCursor(where, query);
  if (cursorRefusal !== undefined) return cursorRefusal;

  const rowsSql =
    `SELECT ${rejectionColumns}, ${listedColumns}, ${RETRIED} AS is_retried, received_at, request_id FROM rejections ` +
    `WHERE ${where.sql} ORDER BY ${NEWEST_FIRST} LIMIT {row_limit:UInt64}`;
  const sql = {
    text: withinPageBytes(rowsSql, 'raw', NEWEST_FIRST),
    parameters: { ...where.parameters, row_limit: limit + 1, max_page_bytes: store.limits.maxPageBytes },
  };
  const answer = await store.rows(sql, limit + 1, read.request.signal);
  if (answer.kind === 'fault') return answer;
  const { rows, found } = parsePage(answer.rowsJson);
  const page = parseListedRows(rows.slice(0, limit));
  const last = page.at(-1);
  const hasMore = last !== undefined && found > page.length;
  const cursor = hasMore ? `${last.receivedMicros ?? ''}_${last.requestId}_${last.index}` : undefined;
  const next = cursor === undefined ? null : nextUrl(read.request, cursor);
  const isFirstPage = (query.get('cursor') ?? '') === '';
  const count = isFirstPage && hasMore ? await countOf(unpaged, read, store) : page.length;
  if (typeof count !== 'number') return count;
  const counted = isFirstPage ? `,"count":${count}` : '';
  return jsonAnswer(`{"results":[${page.map(rejectionJson).join(',')}],"next":${JSON.stringify(next)}${counted}}`);
}

async function countOf(
  where: Pick<Where, 'sql' | 'parameters'>,
  read: ProjectRead,
  store: StoreReads,
): Promise<number | Fault> {
  const text = `SELECT toInt64(count()) FROM rejections WHERE ${where.sql}`;
  const answer = await store.rows({ text, parameters: where.parameters }, 1, read.request.signal);
  return answer.kind === 'fault' ? answer : countRow.parse(JSON.parse(answer.rowsJson))[0][0];
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

  const request = query.get('request') ?? '';
  if (request !== '') {
    if (parseUuid(request) === undefined) return fault('invalid_parameter', { name: 'request', expected: 'a UUID' });
    where.add('request_id = {request:UUID}', { request });
  }
  const index = query.get('index') ?? '';
  if (index !== '') {
    if (!/^\d{1,9}$/.test(index)) return fault('invalid_parameter', { name: 'index', expected: 'a whole number' });
    where.add('`index` = {index:UInt32}', { index: Number(index) });
  }
  const all = query.get('all') ?? '';
  if (!/^(?:|0|1|true|false)$/.test(all)) {
    return fault('invalid_parameter', { name: 'all', expected: '1, for those that were sent again too, or 0' });
  }
  if (all !== '1' && all !== 'true') where.add(`NOT ${RETRIED}`, {});
  return undefined;
}

function addCursor(where: Where, query: URLSearchParams): Fault | undefined {
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
