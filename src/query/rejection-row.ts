/** One rejected event as the store's row, and as the reading API's JSON. */
import { z } from 'zod';
import { formatInstant, formatMicros } from './instant.ts';
import type { PendingRejection } from './pending-lookup.ts';

/** In the order of `rejectionRow`. A rejected event without a uuid has a NULL or an empty text. */
export const rejectionColumns = [
  'toString(request_id) AS request_text',
  '`index`',
  'toString(toUnixTimestamp64Micro(received_at)) AS received_micros',
  'code',
  'detail',
  'event',
  "ifNull(toString(uuid), '') AS uuid_text",
  'raw',
].join(', ');

/** What the list shows beside `rejectionColumns`: all that sending the event again needs. In the order of `listedRow`. */
export const listedColumns = [
  'distinct_id',
  "ifNull(toString(toUnixTimestamp64Micro(sent_at)), '') AS sent_micros",
  'ip',
  'authenticated',
  'is_historical',
].join(', ');

export interface RejectionRow {
  readonly requestId: string;
  readonly index: number;
  /** Exact, for cursors; undefined for a rejection that is not in the store yet. */
  readonly receivedMicros: string | undefined;
  readonly receivedAt: string;
  readonly code: string;
  readonly detail: string;
  readonly event: string;
  readonly uuid: string;
  readonly raw: string;
}

/** Positions as in `rejectionColumns`; columns behind them are the page's own. */
const rejectionRow = z
  .tuple(
    [z.string(), z.number(), z.string(), z.string(), z.string(), z.string().nullable(), z.string(), z.string()],
    z.unknown(),
  )
  .transform(([requestId, index, receivedMicros, code, detail, event, uuid, raw]): RejectionRow => ({
    requestId,
    index,
    receivedMicros,
    receivedAt: formatMicros(receivedMicros),
    code,
    detail,
    event: event ?? '',
    uuid,
    raw,
  }));
const rejectionRows = z.array(rejectionRow);
const REJECTION_COLUMNS = 8;

/** @throws when the store's answer has other columns than `rejectionColumns`: our own bug. */
export function parseRejectionRows(rows: unknown): readonly RejectionRow[] {
  return rejectionRows.parse(rows);
}

export interface ListedRejection extends RejectionRow {
  readonly distinctId: string;
  readonly sentAt: string | null;
  readonly ip: string;
  readonly isAuthenticated: boolean;
  readonly isHistorical: boolean;
  readonly isRetried: boolean;
}

/** Behind `rejectionColumns`: `listedColumns`, and whether it was sent again. */
const listedRow = z
  .tuple([z.string(), z.string(), z.string(), z.boolean(), z.boolean(), z.number()], z.unknown())
  .transform(([distinctId, sentMicros, ip, isAuthenticated, isHistorical, retried]) => ({
    distinctId,
    sentAt: sentMicros === '' ? null : formatMicros(sentMicros),
    ip,
    isAuthenticated,
    isHistorical,
    isRetried: retried !== 0,
  }));

/** @throws when the store's answer has other columns: our own bug. */
export function parseListedRows(rows: readonly (readonly unknown[])[]): readonly ListedRejection[] {
  return rows.map((row) => ({ ...rejectionRow.parse(row), ...listedRow.parse(row.slice(REJECTION_COLUMNS)) }));
}

export function rowOfPendingRejection(pending: PendingRejection): RejectionRow {
  const { requestId, index, receivedAtMs, code, detail, event, uuid, raw } = pending;
  const receivedAt = formatInstant(receivedAtMs);
  return { requestId, index, receivedMicros: undefined, receivedAt, code, detail, event, uuid, raw };
}

/** As the list shows it. `raw` is a text, since what was rejected need not be an object. */
export function rejectionJson(row: ListedRejection): string {
  return JSON.stringify({
    request_id: row.requestId,
    index: row.index,
    received_at: row.receivedAt,
    sent_at: row.sentAt,
    code: row.code,
    detail: row.detail,
    event: row.event,
    distinct_id: row.distinctId,
    uuid: row.uuid === '' ? null : row.uuid,
    ip: row.ip,
    authenticated: row.isAuthenticated,
    historical: row.isHistorical,
    retried: row.isRetried,
    raw: row.raw,
  });
}

/** As the look-up of its uuid shows it: nothing is said that was not found out before the event was rejected. */
export function rejectedEventJson(row: RejectionRow): string {
  return JSON.stringify({
    uuid: row.uuid,
    id: row.uuid,
    event: row.event,
    received_at: row.receivedAt,
    request_id: row.requestId,
    index: row.index,
    raw: row.raw,
    status: 'rejected',
    code: row.code,
    detail: row.detail,
    duplicates: 0,
  });
}
