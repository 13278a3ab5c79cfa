/**
 * What lists share: `limit`, the time range, the page's budget of bytes, and `next`. Pages go on from the last row seen
 * and not from a count, so events that arrive meanwhile neither repeat nor hide others.
 */
import { z } from 'zod';
import { fault, type Fault } from '../errors.ts';
import type { EpochMs } from '../event/ids.ts';
import { parseInstantMicros } from './instant.ts';
import type { ReadRequest } from './read-exchange.ts';

export const MAX_PAGE_ROWS = 1000;
export const DEFAULT_PAGE_ROWS = 100;

/** A row count from the query; `least` to `most`. An empty text counts as absent. */
export function readCount(
  query: URLSearchParams,
  name: 'limit' | 'offset',
  range: { readonly absent: number; readonly least: number; readonly most: number },
): number | Fault {
  const text = query.get(name) ?? '';
  if (text === '') return range.absent;
  const count = /^[0-9]{1,9}$/.test(text) ? Number(text) : -1;
  if (count >= range.least && count <= range.most) return count;
  return fault('invalid_parameter', { name, expected: `a whole number from ${range.least} to ${range.most}` });
}

export function readLimit(query: URLSearchParams): number | Fault {
  return readCount(query, 'limit', { absent: DEFAULT_PAGE_ROWS, least: 1, most: MAX_PAGE_ROWS });
}

/** Undefined when absent or empty. */
export function readInstant(
  query: URLSearchParams,
  name: 'after' | 'before' | 'from' | 'to',
  nowMs: EpochMs,
): bigint | Fault | undefined {
  const text = query.get(name) ?? '';
  if (text === '') return undefined;
  const expected = 'a time in ISO 8601, such as 2026-01-31T12:00:00Z, or a relative one, such as -24h or -7d';
  return parseInstantMicros(text, nowMs) ?? fault('invalid_parameter', { name, expected });
}

/** The request's own URL, going on behind the last row of this page. */
export function nextUrl(request: ReadRequest, cursor: string): string {
  const query = new URLSearchParams(request.query);
  query.delete('offset'); // the cursor already stands behind what was skipped
  query.set('cursor', cursor);
  return `${request.origin ?? ''}${request.path}?${query.toString()}`;
}

/**
 * Wraps the SQL of one page so that it ends early once `sizeColumn` adds up to more than `{max_page_bytes:UInt64}`;
 * the first row always comes. The last column, `found`, says how many rows there were before the cut.
 */
export function withinPageBytes(inner: string, sizeColumn: string, order: string): string {
  return (
    `SELECT * EXCEPT (running) FROM (SELECT *, count() OVER () AS found, sum(length(${sizeColumn})) OVER ` +
    `(ORDER BY ${order} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS running FROM (${inner})) ` +
    `WHERE running <= {max_page_bytes:UInt64} OR running = length(${sizeColumn}) ORDER BY ${order}`
  );
}

const rowsWithFound = z.array(z.array(z.unknown()));

/** Rows of `withinPageBytes`, and how many there were before the cut. */
export function parsePage(rowsJson: string): { readonly rows: readonly unknown[][]; readonly found: number } {
  const rows = rowsWithFound.parse(JSON.parse(rowsJson));
  return { rows, found: Number(rows[0]?.at(-1) ?? 0) };
}
