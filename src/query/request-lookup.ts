import { z } from 'zod';
import { fault, type Fault } from '../errors.ts';
import { formatUuid, parseUuid } from '../event/uuid.ts';
import { internalDatabase } from '../store/schema.ts';
import { formatInstant } from './instant.ts';
import type { PendingRequests } from './pending-lookup.ts';
import { jsonAnswer, type ProjectRead, type ReadAnswer } from './read-exchange.ts';
import type { StoreReads } from './store-reads.ts';
import { Where } from './where.ts';

/** A longer request is shown up to here. */
export const MAX_REQUEST_EVENTS = 10_000;

/** One event of a request, by the place of its record in the log. */
interface Found {
  readonly status: 'stored' | 'pending' | 'duplicate' | 'rejected';
  /** Null for a rejected event without a readable one. */
  readonly uuid: string | null;
  readonly index: number;
  readonly code: string | undefined;
  readonly receivedAtMs: number;
  readonly stream: string;
  readonly sequence: number;
}

/**
 * `GET /api/projects/:project/requests/:request_id/`: what became of each event of a request. Clients choose ids, and send
 * a request again under the same one: then the events of all are shown, in the order in which they arrived.
 */
export async function lookUpRequest(
  read: ProjectRead,
  places: { readonly store: StoreReads; readonly pending: PendingRequests },
  name: string,
): Promise<ReadAnswer | Fault> {
  const bytes = parseUuid(name);
  if (bytes === undefined) return fault('invalid_parameter', { name: 'request_id', expected: 'a UUID' });
  const requestId = formatUuid(bytes);

  // The log first: what the loader moves meanwhile is then found twice, and not missed.
  const pending = await places.pending.findRequest(read.project.id, bytes, MAX_REQUEST_EVENTS + 1);
  const stored = await findStored(read, places.store, requestId);
  if ('kind' in stored) return stored;
  const found = new Map(stored.map((each) => [`${each.stream}:${each.sequence}`, each]));
  for (const { stream, sequence, kind, uuid, index, receivedAtMs, code } of pending) {
    const key = `${stream}:${sequence}`;
    if (found.has(key)) continue;
    const status = kind === 'event' ? 'pending' : 'rejected';
    found.set(key, { status, uuid: uuid ?? null, index, code, receivedAtMs, stream, sequence });
  }
  const all = [...found.values()].toSorted(
    (a, b) => a.receivedAtMs - b.receivedAtMs || a.index - b.index || a.sequence - b.sequence,
  );
  const [first] = all;
  if (first === undefined) return fault('unknown_request');
  const events = all.slice(0, MAX_REQUEST_EVENTS).map(({ index, uuid, status, code }) => ({
    index,
    uuid,
    status,
    ...(code === undefined ? {} : { code }),
  }));
  return jsonAnswer(
    JSON.stringify({
      request_id: requestId,
      received_at: formatInstant(first.receivedAtMs),
      events,
      ...(all.length > MAX_REQUEST_EVENTS ? { hasMore: true } : {}),
    }),
  );
}

const statuses = ['stored', 'duplicate', 'rejected'] as const;
const storedRows = z.array(
  z.tuple([z.enum(statuses), z.string(), z.number(), z.string(), z.number(), z.string(), z.number()]),
);

async function findStored(read: ProjectRead, store: StoreReads, requestId: string): Promise<readonly Found[] | Fault> {
  const where = new Where(read.project.id);
  where.add('request_id = {request_id:UUID}', { request_id: requestId });
  const micros = 'toUnixTimestamp64Micro(received_at) AS micros';
  const origin = 'toString(stream) AS origin, sequence';
  const select = (status: string, columns: string, table: string): string =>
    `SELECT '${status}' AS status, ${columns}, ${micros}, ${origin} FROM ${table} WHERE ${where.sql}`;
  const parts = [
    select('stored', "toString(uuid) AS id, request_index AS place, '' AS code", 'events'),
    // A replay may have written one of them again.
    select('duplicate', "toString(uuid) AS id, request_index AS place, '' AS code", `${internalDatabase}.duplicates`),
    select(
      'rejected',
      "ifNull(toString(uuid), '') AS id, `index` AS place, toString(rejections.code) AS code",
      'rejections',
    ),
  ];
  const limit = MAX_REQUEST_EVENTS + 1;
  const text =
    `SELECT DISTINCT status, id, place, code, micros, origin, sequence FROM (${parts.join(' UNION ALL ')}) ` +
    'ORDER BY micros, place, sequence LIMIT {row_limit:UInt64}';
  const sql = { text, parameters: { ...where.parameters, row_limit: limit } };
  const answer = await store.rows(sql, limit, read.request.signal);
  if (answer.kind === 'fault') return answer;
  const rows = storedRows.parse(JSON.parse(answer.rowsJson));
  return rows.map(([status, id, index, code, receivedMicros, stream, sequence]) => ({
    status,
    uuid: id === '' ? null : id,
    index,
    code: code === '' ? undefined : code,
    receivedAtMs: receivedMicros / 1000,
    stream,
    sequence,
  }));
}
