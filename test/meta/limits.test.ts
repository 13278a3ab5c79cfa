/** docs/limits.md and the code agree: every number in its tables is compared with the constant or the setting it tells of. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { MAX_CODE_POINTS } from '../../src/admission/distinct-id.ts';
import { ATTEMPT_INTERVAL_MS, MAX_FAILED_ATTEMPTS } from '../../src/admission/failed-attempts.ts';
import { MAX_RETRY_AFTER_SECONDS } from '../../src/admission/rate-gate.ts';
import { MAX_READING_BYTES } from '../../src/app.ts';
import { MAX_V1_BODY_BYTES, V1_INFLATED_LIMIT_BYTES } from '../../src/capture/capture-v1.ts';
import { MAX_WAITING_LZ } from '../../src/capture/inflate.ts';
import {
  FIRST_WAIT_MS,
  MAX_ATTEMPTS,
  MAX_BATCH_BYTES,
  MAX_BATCH_EVENTS,
  MAX_WAIT_MS,
} from '../../src/cli/batch-sender.ts';
import { MAX_LINE_BYTES } from '../../src/cli/outgoing-event.ts';
import { settings } from '../../src/config/settings.ts';
import { type ErrorEntry, errors } from '../../src/errors.ts';
import { MAX_PERSONAL_KEY_BYTES, MAX_PROJECT_KEY_BYTES } from '../../src/event/key-shape.ts';
import { DRAIN_MS } from '../../src/http/body-reader.ts';
import { KEEP_ALIVE_MS, MAX_HEADER_BYTES } from '../../src/http/server.ts';
import { MAX_INFLATED_BYTES } from '../../src/http/side-answers.ts';
import { sideRouteOf } from '../../src/http/side-routes.ts';
import { SYNC_MS } from '../../src/limits/limits.ts';
import { MAX_AHEAD_MS } from '../../src/normalize/event-time.ts';
import { MAX_OFFSET } from '../../src/query/event-list.ts';
import { DEFAULT_PAGE_ROWS, MAX_PAGE_ROWS } from '../../src/query/page.ts';
import { MAX_FILTERS, MAX_PATTERNS, MAX_VALUES } from '../../src/query/property-filter.ts';
import { MAX_RETRIED_EVENTS, MAX_RETRY_REQUESTS } from '../../src/query/rejection-retries.ts';
import { defaultReadLimits } from '../../src/query/store-reads.ts';
import { RECHECK_MS, USE_INTERVAL_MS } from '../../src/registry/lmdb/lmdb-registry.ts';
import { MAX_ANSWER_BYTES, MAX_QUERY_TEXT_BYTES } from '../../src/store/chdb/engine-limits.ts';
import { ROW_BYTES } from '../../src/store/rejection-retention.ts';
import { MAX_NESTING } from '../../src/wire/json/json-scanner.ts';
import { MAX_EVENTS_PER_REQUEST } from '../../src/wire/v0/document-decoder.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const document = readFileSync(join(root, 'docs/limits.md'), 'utf8');
const errorTable: Readonly<Record<string, ErrorEntry>> = errors;
const node = createServer(); // its deadlines are Node's own, which the listener leaves as they are

function count(value: number): string {
  return value.toLocaleString('en-US');
}

function bytes(value: number): string {
  return `${count(value)} bytes`;
}

function mib(value: number): string {
  return `${value / (1 << 20)} MiB`;
}

function kib(value: number): string {
  return `${value / 1024} KiB`;
}

function seconds(ms: number): string {
  return `${ms / 1000} s`;
}

function settingOf(name: string): number {
  const setting = Object.values(settings).find((each) => each.fileKey === name);
  if (setting === undefined) throw new Error(`no setting ${name}`);
  return Number(setting.defaultText);
}

function sideBody(...paths: readonly string[]): string {
  const sizes = new Set(paths.map((path) => sideRouteOf(path)?.maxBodyBytes));
  const [size] = sizes;
  if (sizes.size !== 1 || size === undefined) throw new Error(`${paths.join(', ')} differ, or are no routes`);
  return size < 1 << 20 ? kib(size) : mib(size);
}

/** The numbers of each row, in the order in which they stand in it; statuses before a code are compared with the table of errors. */
const NUMBERS: Readonly<Record<string, readonly string[]>> = {
  'body as sent': [mib(settingOf('max-body-bytes')), bytes(settingOf('max-body-bytes')), seconds(DRAIN_MS)],
  'body once decompressed': [mib(settingOf('max-inflated-bytes')), bytes(settingOf('max-inflated-bytes'))],
  'protocol V1: body as sent, once decompressed': [mib(MAX_V1_BODY_BYTES), mib(V1_INFLATED_LIMIT_BYTES)],
  'events in a request': [count(MAX_EVENTS_PER_REQUEST)],
  'bodies that are being read, together': [mib(MAX_READING_BYTES)],
  'large LZ-string payloads that wait for their turn': [count(MAX_WAITING_LZ)],
  'no event at all': ['1'],
  'JSON nesting': [`${MAX_NESTING} levels`],
  'request line and headers, and so `data` in the query of a GET': [kib(MAX_HEADER_BYTES)],
  'silence within the body': [seconds(settingOf('body-timeout-ms'))],
  'time to send the headers / the whole request': [seconds(node.headersTimeout), seconds(node.requestTimeout)],
  'idle connection': [seconds(KEEP_ALIVE_MS)],
  'open connections': [count(settingOf('max-connections'))],
  'requests under way, those sent without waiting for answers too': [],

  'its JSON as sent': [bytes(settingOf('max-event-bytes')), String(errors.event_too_large.status)],
  'the same for the AI events to which PostHog allows more': [mib(settingOf('max-ai-event-bytes'))],
  '`distinct_id`': [`${MAX_CODE_POINTS} characters`, String(MAX_CODE_POINTS)],
  '`event`': ['1 character'],
  '`timestamp` ahead of the server': [`${MAX_AHEAD_MS / 3_600_000} hours`],
  'number of properties, length of names': [],
  '`$performance_event`': [],

  'events a second': [`${MAX_RETRY_AFTER_SECONDS} s`],
  'events at once (burst)': [],
  'events a calendar month, UTC': [`${MAX_RETRY_AFTER_SECONDS} s`],
  'a changed limit': [RECHECK_MS < 1000 ? '1 s' : seconds(RECHECK_MS)],
  'use of a month that a crash may leave uncounted': [seconds(SYNC_MS)],

  'project key': [`${MAX_PROJECT_KEY_BYTES} bytes`],
  'personal key': [`${MAX_PERSONAL_KEY_BYTES} bytes`],
  'a new, renamed or revoked key or project': [RECHECK_MS < 1000 ? '1 s' : seconds(RECHECK_MS)],
  'wrong personal keys from one address': [String(MAX_FAILED_ATTEMPTS), seconds(ATTEMPT_INTERVAL_MS)],
  'last use of a personal key': USE_INTERVAL_MS === 60_000 ? [] : [seconds(USE_INTERVAL_MS)], // in words: once a minute

  'bytes that wait for the disk': [mib(settingOf('max-queue-bytes'))],
  'a project’s part of them': [],
  'how long events wait for their write to begin': [seconds(settingOf('max-queue-age-ms'))],
  'room left on the disk': [mib(settingOf('reserve-bytes'))],
  'the log cannot be written': [],
  'the server is stopping': [],

  'time of a query': [`${settingOf('query-seconds')} s`],
  'rows in an answer': [count(settingOf('query-max-rows'))],
  'bytes in an answer': [mib(MAX_ANSWER_BYTES)],
  'memory of the store, all queries together': [bytes(settingOf('store-max-memory-bytes'))],
  'queries at once': [count(settingOf('query-concurrency'))],
  'queries that wait': [count(defaultReadLimits.maxWaiting)],
  'text of a query': [mib(MAX_QUERY_TEXT_BYTES)],
  '`limit` of a list': ['1', count(MAX_PAGE_ROWS), count(DEFAULT_PAGE_ROWS)],
  '`offset` of the event list': [count(MAX_OFFSET)],
  'properties on one page of a list': [mib(defaultReadLimits.maxPageBytes)],
  '`properties` filters': [count(MAX_FILTERS), count(MAX_VALUES), count(MAX_PATTERNS)],

  'days since a rejected event was received': [String(settingOf('rejections-max-days'))],
  'bytes of their texts as sent, and 100 for each': ROW_BYTES === 100 ? [mib(settingOf('rejections-max-bytes'))] : [],
  'requests named in a note of what is sent again': [count(MAX_RETRY_REQUESTS)],
  'events named in it': [count(MAX_RETRIED_EVENTS)],

  'body to `/flags` and `/decide`': [sideBody('/flags', '/decide')],
  'body to `/i/v0/ai/otel`, `/i/v1/logs`, `/i/v1/metrics`, `/i/v1/traces`': [
    sideBody('/i/v0/ai/otel', '/i/v1/logs', '/i/v1/metrics', '/i/v1/traces'),
  ],
  'the same once decompressed': [mib(MAX_INFLATED_BYTES)],
  'body to `/s`; read off, not kept': [sideBody('/s')],
  'body to `/i/v0/ai`; read off, not kept': [sideBody('/i/v0/ai')],
  'body to the others, which expect none': [sideBody('/api/push_subscriptions', '/array/key/config')],

  'events in a batch': [count(MAX_BATCH_EVENTS)],
  'bytes in a batch': [mib(MAX_BATCH_BYTES)],
  'a line of the file': [mib(MAX_LINE_BYTES)],
  'attempts at a batch': [count(MAX_ATTEMPTS)],
  'wait between them, without a `Retry-After`': [seconds(FIRST_WAIT_MS), seconds(MAX_WAIT_MS)],
};

interface Row {
  readonly label: string;
  readonly cells: string;
}

function rowsOf(text: string): Row[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('|') && !line.startsWith('| Limit ') && !line.startsWith('| --'))
    .map((line) => {
      const [label, ...cells] = line.slice(1, -1).split('|');
      return { label: (label ?? '').trim(), cells: cells.join('|') };
    });
}

const STATUS_AND_CODE = /\b(\d{3}) `([a-z_]+)`/g;
const UNITS = 'MiB|KiB|bytes|s|hours?|levels|characters?';
const NUMBER = new RegExp(`\\d+(?:,\\d{3})*(?:\\.\\d+)?(?: (?:${UNITS})\\b)?`, 'g');

function numbersIn(cells: string): string[] {
  return (
    cells
      .replace(STATUS_AND_CODE, '')
      .replace(/`[^`]*`/g, '')
      .match(NUMBER) ?? []
  );
}

const rows = rowsOf(document);

describe('docs/limits.md', () => {
  it('has the rows that are compared, each once, and no others', () => {
    expect(rows.map(({ label }) => label)).toEqual(Object.keys(NUMBERS));
  });

  it.each(rows.map((row) => [row.label, row] as const))('%s: as in the code', (label, row) => {
    expect(numbersIn(row.cells)).toEqual(NUMBERS[label]);
  });

  it('answers with the statuses of the table of errors', () => {
    const named = [...document.matchAll(STATUS_AND_CODE)];
    expect(named.length).toBeGreaterThan(20);
    for (const [text, status, code] of named)
      expect([text, errorTable[code ?? '']?.status]).toEqual([text, Number(status)]);
  });

  it('names settings that exist', () => {
    const names = Object.values(settings).map((setting) => setting.fileKey);
    const withSetting = rows.filter(({ cells }) => /\| `[a-z]+(-[a-z]+)+` /.test(`|${cells}`));
    expect(withSetting.length).toBeGreaterThan(10);
    for (const { cells } of withSetting) {
      const name = /\| `([a-z]+(?:-[a-z]+)+)` /.exec(`|${cells}`)?.[1] ?? '';
      expect(names).toContain(name);
    }
  });

  it('is right that every 503, 429 and 408 says when to come again', () => {
    // The client of a cancelled query is gone: it gets no answer.
    const { query_cancelled: _, ...answered } = errorTable;
    const away = Object.values(answered).filter(({ status }) => [503, 429, 408].includes(status));
    expect(away.length).toBeGreaterThan(5);
    expect(away.filter(({ retry }) => retry !== 'later')).toEqual([]);
  });
});
