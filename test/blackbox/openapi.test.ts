/**
 * The OpenAPI document is true: requests of every kind are sent to started servers and recorded; then each exchange has to
 * match what the document says of its path, method and status, and everything that the document says has to be met.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, freshFolder, type Hedgerow, startHedgerow, stopAndRemove } from '../harness/hedgerow.ts';
import { type DocumentedOperation, OpenApiChecker, type Verdict } from '../harness/openapi-checker.ts';
import { OpenApiDriver } from '../harness/openapi-driver.ts';
import { readRecording, type RecordedExchange, Recorder } from '../harness/recorder.ts';

type Json = Readonly<Record<string, unknown>>;

const ORIGIN = { Origin: 'https://shop.example' };

const folder = freshFolder();
const file = join(folder, 'exchanges.ndjson');
const recorder = new Recorder(file);
let server: Hedgerow;
let checker: OpenApiChecker;
let driver: OpenApiDriver;
const met = new Map<string, Set<string>>();
const metCodes = new Map<string, Set<string>>();
const verdicts: (Verdict & { readonly exchange: RecordedExchange })[] = [];

function note({ operation }: Verdict, exchange: RecordedExchange): void {
  if (operation === undefined) return;
  met.set(operation.name, (met.get(operation.name) ?? new Set()).add(String(exchange.status)));
  for (const found of Buffer.from(exchange.body, 'base64')
    .toString()
    .matchAll(/"(?:code|error|details)":"(\w+)"/g)) {
    metCodes.set(operation.tag, (metCodes.get(operation.tag) ?? new Set()).add(found[1] ?? ''));
  }
}

beforeAll(async () => {
  server = await startHedgerow();
  checker = new OpenApiChecker((await ask(`${server.url}/openapi.json`)).json as Json);
  driver = new OpenApiDriver(server, recorder, checker);
  await driver.drive();
  for (const exchange of readRecording(file)) {
    const verdict = checker.check(exchange);
    note(verdict, exchange);
    verdicts.push({ ...verdict, exchange });
  }
}, 300_000);

afterAll(async () => {
  recorder.close();
  rmSync(folder, { recursive: true, force: true });
  await stopAndRemove(server);
});

it('is served without a key, with and without its last slash, and 304 to whoever has it', async () => {
  const first = await ask(`${server.url}/openapi.json`, { headers: ORIGIN });
  expect(first.status).toBe(200);
  expect(first.headers.get('content-type')).toBe('application/json');
  expect(first.headers.get('access-control-allow-origin')).toBe(ORIGIN.Origin);
  expect((await ask(`${server.url}/openapi.json/`)).text).toBe(first.text);
  const tag = first.headers.get('etag') ?? '';
  const again = await ask(`${server.url}/openapi.json`, { headers: { 'If-None-Match': tag } });
  expect({ status: again.status, text: again.text }).toEqual({ status: 304, text: '' });
  expect((await ask(`${server.url}/openapi.json`, { headers: { 'If-None-Match': '"other"' } })).status).toBe(200);
  const head = await ask(`${server.url}/openapi.json`, { method: 'HEAD' });
  expect(head.headers.get('content-length')).toBe(String(Buffer.byteLength(first.text)));
});

describe('every answer is as the document says', () => {
  it('whatever was asked', () => {
    const wrong = verdicts.flatMap(({ exchange, problems }) =>
      problems.map((problem) => `${exchange.method} ${exchange.target.slice(0, 100)} ${exchange.status}: ${problem}`),
    );
    expect([...new Set(wrong)]).toEqual([]);
    expect(verdicts.length).toBeGreaterThan(1_500);
  });

  it('and never a fault of our own', () => {
    const faults = verdicts.filter(({ exchange }) => exchange.status === 500);
    expect(faults.map(({ exchange }) => `${exchange.method} ${exchange.target.slice(0, 100)}`)).toEqual([]);
  });

  it('and what its examples ask for is done', () => {
    // Its folder is one of the machine that the server runs on, so the document has no example of it.
    const withoutExample = 'post /api/backups/ (no body): 400';
    expect(driver.failedExamples.filter((failed) => failed !== withoutExample)).toEqual([]);
  });
});

/** What no request from outside leads to: status, of which operations, and why. */
const unmet: readonly (readonly [status: string, isMeant: (operation: DocumentedOperation) => boolean, why: string])[] = [
  ['500', () => true, 'a fault of our own'],
  ['503', ({ method }) => method === 'options', 'while the server starts'],
  ['503', ({ tag, path }) => ['SDK support', 'Status'].includes(tag) && path !== '/_readiness', 'while the server starts'],
  ['503', ({ tag }) => tag === 'Reading', 'while server or store start, and beyond 100 waiting queries'],
]; // prettier-ignore

/** The same of codes; where tags are named, of those alone. */
const unmetCodes: readonly (readonly [code: string, why: string, tags?: readonly string[]])[] = [
  ['disk_full', 'needs a full disk: src/log/segments/segment-log.test.ts'],
  ['draining', 'the log refuses so only once it is closed', ['Capture']],
  ['internal_error', 'a fault of our own'],
  ['ledger_behind', 'while the log cannot be read: src/query/ledger-answer.test.ts'],
  ['log_unavailable', 'needs a broken disk: src/log/segments/segment-log.test.ts'],
  ['over_fair_share', 'needs a disk that does not keep up: test/crash/overload.test.ts'],
  ['overloaded', 'needs more bodies at once than memory takes', ['Reading', 'SDK support', 'Status']],
  ['query_memory', 'test/blackbox/sql-door.test.ts'],
  ['query_timeout', 'test/blackbox/sql-door.test.ts'],
  ['starting', 'while the server starts'],
  ['store_unavailable', 'while the store starts'],
  ['too_many_connections', 'test/blackbox/hostile-senders.test.ts'],
  ['too_many_queries', 'needs 104 slow queries at once: src/query/query-gate.test.ts'],
];

describe('everything in the document is met', () => {
  it('each status of each operation', () => {
    const missing = checker.operations.flatMap((operation) =>
      [...operation.responses.keys()]
        .filter((status) => met.get(operation.name)?.has(status) !== true)
        .filter((status) => !unmet.some(([except, isMeant]) => except === status && isMeant(operation)))
        .map((status) => `${operation.name} ${status}`),
    );
    expect(missing).toEqual([]);
  });

  it('each error code of each family of paths', () => {
    const missing = new Set<string>();
    for (const { tag, responses } of checker.operations) {
      for (const found of JSON.stringify([...responses.values()]).matchAll(/"(?:code|error)":\{"enum":\[([^\]]*)\]/g)) {
        for (const [, code = ''] of (found[1] ?? '').matchAll(/"(\w+)"/g)) {
          const isUnmet = unmetCodes.some(([name, , tags]) => name === code && (tags?.includes(tag) ?? true));
          if (metCodes.get(tag)?.has(code) !== true && !isUnmet) missing.add(`${tag}: ${code}`);
        }
      }
    }
    expect([...missing]).toEqual([]);
  });
});
