/** Protocol V1 over HTTP against the started command: the rows of test/vectors/protocol-v1.ts, and what needs several events. */
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ask,
  bearer,
  type Hedgerow,
  sql,
  startHedgerow,
  stopAndRemove,
  testKeys,
  untilCounted,
} from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';
import { eventVectors, type EventVector, type HeaderChanges, LIB, SDK_INFO } from '../vectors/protocol-v1.ts';
import { bodyRefusals, headerRefusals, type RefusalVector } from '../vectors/protocol-v1-refusals.ts';
import { uuidsOfAnEncoder, zstdOfAnEncoder, zstdOfRawBlocks, zstdThatNeverEnds } from '../vectors/zstd-frames.ts';

const PATH = '/i/v1/analytics/events';
const REQUEST_ID = '01900000-aaaa-7000-8000-000000000001';

let server: Hedgerow;
beforeAll(async () => {
  server = await startHedgerow();
});
afterAll(async () => {
  await stopAndRemove(server);
});

interface Got {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly text: string;
  readonly json: Readonly<Record<string, unknown>>;
}

const goodHeaders = (): Record<string, string> => ({
  Authorization: `Bearer ${testKeys.public}`,
  'Content-Type': 'application/json',
  'User-Agent': 'test',
  'PostHog-Sdk-Info': SDK_INFO,
  'PostHog-Attempt': '1',
  'PostHog-Request-Id': REQUEST_ID,
  'PostHog-Request-Timestamp': new Date().toISOString(),
});

/** Through `node:http`, since fetch adds headers of its own. */
function send(
  body: string | Uint8Array,
  changes: HeaderChanges = {},
  {
    method = 'POST',
    path = PATH,
    port = server.port,
  }: { readonly method?: string; readonly path?: string; readonly port?: number } = {},
): Promise<Got> {
  const kept = Object.entries({ ...goodHeaders(), ...changes }).filter(
    (entry): entry is [string, string] => entry[1] !== null,
  );
  return new Promise((resolve, reject) => {
    const headers = { ...Object.fromEntries(kept), 'Content-Length': String(Buffer.byteLength(body)) };
    const sent = httpRequest({ host: '127.0.0.1', port, path, method, headers }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      answer.on('end', () => {
        const json = text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
        resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text, json });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

let made = 0;
function nextUuid(): string {
  made += 1;
  return `01900000-0000-7000-8000-${String(made).padStart(12, '0')}`;
}

const goodEvent = (fields: object = {}): Record<string, unknown> => ({
  event: 'e',
  uuid: nextUuid(),
  distinct_id: 'ann',
  timestamp: new Date().toISOString(),
  ...fields,
});
const batchOf = (events: readonly unknown[], root: object = {}): string =>
  JSON.stringify({ created_at: new Date().toISOString(), batch: events, ...root });

async function found(
  uuid: string,
): Promise<{ readonly text: string; readonly json: Readonly<Record<string, unknown>> }> {
  return until(
    async () => {
      const answer = await ask(`${server.url}/api/projects/@current/events/${uuid}/`, { headers: bearer });
      return answer.status === 200 ? { text: answer.text, json: answer.json as Record<string, unknown> } : undefined;
    },
    { deadlineMs: 20_000, what: `event ${uuid} is found` },
  );
}

describe.each([
  ['headers', headerRefusals],
  ['body', bodyRefusals],
] as const)('a request is refused as a whole for its %s', (_part, rows) => {
  it.each(rows.map((row): [string, RefusalVector] => [`${row.source}: ${row.name}`, row]))('%s', async (_name, row) => {
    const body = row.method === 'GET' ? '' : (row.body ?? batchOf([goodEvent()]));
    const got = await send(body, row.headers, { method: row.method ?? 'POST', path: row.path ?? PATH });
    expect({ status: got.status, error: got.json['error'] }).toEqual({ status: row.status, error: row.error });
    expect(Object.keys(got.json)).toEqual(['error', 'error_description', 'error_uri']);
    expect(got.json['error_uri']).toBe('https://posthog.com/docs/api');
    expect(got.json['error_description']).toMatch(/\S/);
    if (row.says !== undefined) expect(String(got.json['error_description']).startsWith(row.says)).toBe(true);
    expect(got.headers['retry-after']).toBeUndefined();
    expect(got.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
    expect(got.headers['date']).toMatch(/^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} \+0000$/);
    const sentId = row.headers?.['PostHog-Request-Id'];
    expect(got.headers['posthog-request-id']).toBe(sentId === null ? undefined : (sentId ?? REQUEST_ID));
  });
});

describe('one event', () => {
  it.each(eventVectors.map((row): [string, EventVector] => [`${row.source}: ${row.name}`, row]))(
    '%s',
    async (_name, row) => {
      const event = goodEvent(row.event);
      const uuid = String(event['uuid']);
      const body =
        row.json === undefined
          ? batchOf([event], row.root)
          : batchOf(['EVENT'], row.root).replace('"EVENT"', () => (row.json ?? '').replace('UUID', uuid));
      const got = await send(body, row.headers);
      expect({ status: got.status, text: got.text }).toEqual({
        status: 200,
        text: JSON.stringify({ results: { [uuid]: row.result } }),
      });
      expect(got.headers['content-type']).toBe('application/json');
      expect(got.headers['retry-after']).toBeUndefined();
      if (row.isGone === true) {
        await send(batchOf([goodEvent({ event: 'behind', uuid: '01900000-0000-7000-9000-000000000001' })]));
        await found('01900000-0000-7000-9000-000000000001');
        expect((await ask(`${server.url}/api/projects/@current/events/${uuid}/`, { headers: bearer })).status).toBe(
          404,
        );
        return;
      }
      const { text, json } = await found(uuid);
      if (row.stored !== undefined) expect(json).toMatchObject(row.stored);
      if (row.propertiesText !== undefined) {
        expect(text).toContain(`"properties":${row.propertiesText.replace('LIB', () => LIB)}`);
      }
      if (row.msFromReceipt !== undefined) {
        const apartMs = Date.parse(String(json['timestamp'])) - Date.parse(String(json['received_at']));
        expect(apartMs).toBe(row.msFromReceipt);
      }
    },
  );
});

describe('a batch', () => {
  it('8.3: is answered per event, in its order, under the canonical uuids, and keeps the good ones', async () => {
    const events = [
      goodEvent({ event: 'v1 mixed', uuid: '0190AAAA-0000-7000-8000-000000000001' }),
      goodEvent({ event: '', uuid: '{0190aaaa-0000-7000-8000-000000000002}' }),
      goodEvent({ event: 'v1 mixed', distinct_id: 'guest', uuid: '0190aaaa000070008000000000000003' }),
      goodEvent({ event: '$performance_event', uuid: 'urn:uuid:0190aaaa-0000-7000-8000-000000000004' }),
    ];
    const got = await send(batchOf(events));
    expect(got.text).toBe(
      '{"results":{"0190aaaa-0000-7000-8000-000000000001":{"result":"ok"},' +
        '"0190aaaa-0000-7000-8000-000000000002":{"result":"drop","details":"missing_event_name"},' +
        '"0190aaaa-0000-7000-8000-000000000003":{"result":"ok","details":"person_processing_disabled"},' +
        '"0190aaaa-0000-7000-8000-000000000004":{"result":"drop","details":"dropped_performance_event"}}}',
    );
    await untilCounted(server, "event = 'v1 mixed'", 2);
    expect((await found('0190aaaa-0000-7000-8000-000000000002')).json).toMatchObject({ status: 'rejected' });
  });

  it('8.3: of bad events alone is a 200 that drops them all', async () => {
    const got = await send(batchOf([goodEvent({ event: '' }), goodEvent({ distinct_id: '' })]));
    expect(got.status).toBe(200);
    expect(Object.values(got.json['results'] as object)).toEqual([
      { result: 'drop', details: 'missing_event_name' },
      { result: 'drop', details: 'missing_distinct_id' },
    ]);
  });

  it('8.4: with one bad uuid stores nothing', async () => {
    const got = await send(batchOf([goodEvent({ event: 'v1 all or none' }), goodEvent({ uuid: 'x' })]));
    expect(got.status).toBe(400);
    await send(batchOf([goodEvent({ event: 'v1 behind' })]));
    await untilCounted(server, "event = 'v1 behind'", 1);
    expect(await sql(server, "select count() from events where event = 'v1 all or none'")).toEqual([[0]]);
  });

  it('8.6: that is sent again answers the same and is stored once', async () => {
    const body = batchOf([goodEvent({ event: 'v1 again' }), goodEvent({ event: 'v1 again' })]);
    const first = await send(body);
    const second = await send(body, { 'PostHog-Attempt': '2' });
    expect(second.text).toBe(first.text);
    await send(batchOf([goodEvent({ event: 'v1 behind again' })]));
    await untilCounted(server, "event = 'v1 behind again'", 1);
    expect(await sql(server, "select count() from events where event = 'v1 again'")).toEqual([[2]]);
  });

  it('8.5: is found under its PostHog-Request-Id', async () => {
    const requestId = '01900000-bbbb-7000-8000-000000000001';
    const event = goodEvent();
    const got = await send(batchOf([event]), { 'PostHog-Request-Id': requestId.toUpperCase() });
    expect(got.headers['posthog-request-id']).toBe(requestId.toUpperCase());
    expect(got.headers['x-request-id']).toBe(requestId);
    expect((await found(String(event['uuid']))).json).toMatchObject({ request_id: requestId });
  });
});

describe('8.1: encodings', () => {
  const encoders: readonly [name: string, header: string, encode: (text: string) => Uint8Array][] = [
    ['gzip', 'gzip', gzipSync],
    ['gzip in capitals', 'GZIP', gzipSync],
    ['deflate as zlib', 'deflate', deflateSync],
    ['deflate without a frame', 'deflate', deflateRawSync],
    ['br', 'br', (text) => brotliCompressSync(text, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } })],
    ['zstd', 'zstd', (text) => zstdOfRawBlocks(Buffer.from(text))],
  ];
  it.each(encoders)('%s: small and large', async (name, header, encode) => {
    for (const count of [1, 5_000]) {
      const events = Array.from({ length: count }, (_, i) =>
        goodEvent({ event: `v1 ${name}`, properties: { i, filler: `${'x'.repeat(300)}${Math.sin(i)}` } }),
      );
      const got = await send(encode(batchOf(events)), { 'Content-Encoding': header });
      expect(got.status).toBe(200);
      expect(Object.values(got.json['results'] as object)).toEqual(events.map(() => ({ result: 'ok' })));
    }
    await untilCounted(server, `event = 'v1 ${name}'`, 5_001);
  });
});

describe('8.1: zstd', () => {
  const zstd = { 'Content-Encoding': 'zstd' };

  it('of a real encoder is read', async () => {
    const got = await send(zstdOfAnEncoder, zstd);
    expect(got.json).toEqual({ results: Object.fromEntries(uuidsOfAnEncoder.map((uuid) => [uuid, { result: 'ok' }])) });
    await untilCounted(server, "event = 'v1 zstd encoder'", 3);
  });

  it('that is cut short is refused wherever the cut is', async () => {
    for (let end = 1; end < zstdOfAnEncoder.length; end += 7) {
      const got = await send(zstdOfAnEncoder.subarray(0, end), zstd);
      expect({ end, status: got.status, error: got.json['error'] }).toEqual({
        end,
        status: 400,
        error: 'request_decoding_error',
      });
    }
  });

  it('that keeps a decoder busy for ever is refused in time, and holds up nobody else', async () => {
    let isAnswered = false;
    const stuck = send(zstdThatNeverEnds, zstd).finally(() => (isAnswered = true));
    while (!isAnswered) {
      const startedMs = performance.now();
      expect((await send(batchOf([goodEvent()]))).status).toBe(200);
      expect(performance.now() - startedMs).toBeLessThan(5_000);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const got = await stuck;
    expect({ status: got.status, error: got.json['error'] }).toEqual({ status: 400, error: 'request_decoding_error' });
    expect((await send(zstdOfAnEncoder, zstd)).status).toBe(200);
  });
});

describe('paths, methods and headers', () => {
  it.each([PATH, `${PATH}/`, '/i/v1/ai/events', '/i/v1/ai/events/', `${PATH}?retry_count=1&x=%zz`])(
    '1: %s',
    async (path) => {
      expect((await send(batchOf([goodEvent()]), {}, { path })).status).toBe(200);
    },
  );

  it('8.5: a preflight allows POST and OPTIONS alone', async () => {
    const got = await send(
      '',
      { Origin: 'https://a.example', 'Access-Control-Request-Headers': 'authorization, posthog-attempt' },
      { method: 'OPTIONS' },
    );
    expect(got.status).toBe(200);
    expect(got.headers).toMatchObject({
      'access-control-allow-origin': 'https://a.example',
      'access-control-allow-methods': 'POST,OPTIONS',
      'access-control-allow-headers': 'authorization, posthog-attempt',
      'access-control-allow-credentials': 'true',
      'posthog-request-id': REQUEST_ID,
    });
  });

  it('8.5: a 405 names the methods, and a browser may read it', async () => {
    const got = await send('', { Origin: 'https://a.example' }, { method: 'GET' });
    expect(got.status).toBe(405);
    expect(got.headers).toMatchObject({ allow: 'POST, OPTIONS', 'access-control-allow-origin': 'https://a.example' });
  });

  it('keeps the connection usable behind a refusal whose body was not read', async () => {
    const text = await rawPipelined([
      `POST ${PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345`,
      'GET /_liveness HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
    ]);
    expect(text).toMatch(/HTTP\/1\.1 401[\s\S]*missing_authorization[\s\S]*HTTP\/1\.1 200[\s\S]*alive/);
  });
});

describe('keys (interface.md 2)', () => {
  it.each<[string, HeaderChanges, number, string | undefined]>([
    ['a public key alone', {}, 200, undefined],
    ['an unknown key', { Authorization: 'Bearer phc_nobody' }, 401, 'unknown_api_token'],
    ['a server key alone', { Authorization: `Bearer ${testKeys.server}` }, 401, 'missing_personal_api_key'],
    [
      'a server key with an unknown personal key',
      { Authorization: `Bearer ${testKeys.server}`, 'X-Personal-Api-Key': 'phx_nobody' },
      401,
      'invalid_personal_api_key',
    ],
    [
      'a server key with its personal key',
      { Authorization: `Bearer ${testKeys.server}`, 'X-Personal-Api-Key': testKeys.personal },
      200,
      undefined,
    ],
    ['a public key with a wrong personal key', { 'X-Personal-Api-Key': 'phx_nobody' }, 401, 'invalid_personal_api_key'],
  ])('%s', async (_name, headers, status, error) => {
    const got = await send(batchOf([goodEvent()]), headers);
    expect({ status: got.status, error: got.json['error'] }).toEqual({ status, error });
  });

  it('a personal key vouches for its events', async () => {
    const event = goodEvent();
    await send(batchOf([event]), { 'X-Personal-Api-Key': testKeys.personal });
    expect((await found(String(event['uuid']))).json).toMatchObject({ authenticated: true });
  });
});

describe('8.4, 8.5: what may be sent again says when', () => {
  it('a body that stalls is 408 with Retry-After', async () => {
    const slow = await startHedgerow({ env: { HEDGEROW_BODY_TIMEOUT_MS: '300' } });
    try {
      const head = Object.entries(goodHeaders()).map(([name, value]) => `${name}: ${value}`);
      const text = await raw(
        slow.port,
        `POST ${PATH} HTTP/1.1\r\nHost: x\r\n${head.join('\r\n')}\r\nContent-Length: 9\r\n\r\n{`,
      );
      expect(text).toMatch(/^HTTP\/1\.1 408 /);
      expect(text).toContain('Retry-After: 1\r\n');
      expect(text).toContain(`PostHog-Request-Id: ${REQUEST_ID}\r\n`);
      expect(text).toContain('{"error":"body_read_timeout","error_description":"client stopped sending data');
    } finally {
      await stopAndRemove(slow);
    }
  });

  it('a batch that finds no room before the disk is 503 with Retry-After, and none of it is stored', async () => {
    const full = await startHedgerow({ env: { HEDGEROW_MAX_QUEUE_BYTES: String(1 << 20) } });
    try {
      const events = [1, 2].map(() => goodEvent({ event: 'v1 full', properties: { a: 'x'.repeat(600_000) } }));
      const got = await send(batchOf(events), { Origin: 'https://a.example' }, { port: full.port });
      expect({ status: got.status, error: got.json['error'] }).toEqual({ status: 503, error: 'service_unavailable' });
      expect(got.headers).toMatchObject({
        'retry-after': '1',
        'posthog-request-id': REQUEST_ID,
        'access-control-allow-origin': 'https://a.example',
      });
      expect((await send(batchOf([goodEvent({ event: 'v1 fits' })]), {}, { port: full.port })).status).toBe(200);
      await untilCounted(full, "event = 'v1 fits'", 1);
      expect(await sql(full, "select count() from events where event = 'v1 full'")).toEqual([[0]]);
    } finally {
      await stopAndRemove(full);
    }
  });
});

function rawPipelined(requests: readonly string[]): Promise<string> {
  return raw(server.port, requests.join(''));
}

function raw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    socket.on('error', reject).on('close', () => resolve(text));
  });
}
