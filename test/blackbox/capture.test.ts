/** The write side as clients meet it: the real command, HTTP alone. */
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ask,
  bearer,
  post,
  sql,
  startHedgerow,
  stopAndRemove,
  testKeys,
  untilCounted,
  type Answer,
  type Hedgerow,
} from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';

let server: Hedgerow;

beforeAll(async () => {
  server = await startHedgerow();
});
afterAll(async () => {
  await stopAndRemove(server);
});

const event = (fields: object = {}) => ({ api_key: testKeys.public, event: 'e', distinct_id: 'd', ...fields });
const send = (body: string | Uint8Array | object, headers = {}, path = '/capture/'): Promise<Answer> =>
  post(`${server.url}${path}`, body, headers);

function code(answer: Answer): unknown {
  const body = answer.json as { code?: unknown } | undefined;
  return body?.code;
}

describe('an event that was answered 200', () => {
  it('is in SQL with its properties within seconds', async () => {
    const uuid = '0190b3f2-5d5c-7c2a-9e1b-0123456789ab';
    const text = JSON.stringify(
      event({ event: 'bought', distinct_id: 'ann', uuid, properties: { $browser: 'Firefox', price: 9.5 } }),
    );
    const answer = await send(text.replace('9.5', '9.5,"n":12345678901234567,"one":1.0'));
    expect({ status: answer.status, text: answer.text }).toEqual({ status: 200, text: '{"status":"Ok"}' });
    await untilCounted(server, "event = 'bought'", 1);
    expect(
      await sql(server, "select distinct_id, properties.$browser, properties.price from events where event = 'bought'"),
    ).toEqual([['ann', 'Firefox', 9.5]]);
    const found = await ask(`${server.url}/api/projects/@current/events/${uuid}/`, { headers: bearer });
    expect(found.json).toMatchObject({
      uuid,
      event: 'bought',
      distinct_id: 'ann',
      status: 'stored',
      authenticated: false,
    });
    expect(found.text).toContain('{"$browser":"Firefox","price":9.5,"n":12345678901234567,"one":1.0}');
  });

  it('is found by its uuid at once, before it is in the store', async () => {
    const uuid = '0190b3f2-5d5c-7c2a-9e1b-0123456789ac';
    await send(event({ uuid, event: 'quick' }));
    const found = await ask(`${server.url}/api/projects/@current/events/${uuid}/`, { headers: bearer });
    expect(found.status).toBe(200);
    expect(['pending', 'stored']).toContain((found.json as { status: string }).status);
  });

  it('is stored once, however often the same uuid is sent', async () => {
    const uuid = '0190b3f2-5d5c-7c2a-9e1b-0123456789ad';
    for (let i = 0; i < 3; i++)
      expect((await send(event({ uuid, event: 'again', properties: { i } }))).status).toBe(200);
    await send(event({ event: 'behind' }));
    await untilCounted(server, "event = 'behind'", 1);
    expect(await sql(server, "select properties.i from events where event = 'again'")).toEqual([[0]]);
  });
});

describe('keys (design.md 3)', () => {
  const withServerKey = event({ api_key: testKeys.server });
  it.each<[string, object | string, Record<string, string>, number, string | undefined]>([
    ['no key', { event: 'e', distinct_id: 'd' }, {}, 401, 'missing_api_key'],
    ['an unknown key', event({ api_key: 'phc_nobody' }), {}, 401, 'unknown_api_key'],
    ['a personal key as project key', event({ api_key: testKeys.personal }), {}, 401, 'invalid_api_key'],
    ['a server key without a personal key', withServerKey, {}, 401, 'missing_personal_api_key'],
    [
      'a server key with a bearer that is no personal key',
      withServerKey,
      { Authorization: 'Bearer abc' },
      401,
      'missing_personal_api_key',
    ],
    [
      'a server key with an unknown personal key',
      withServerKey,
      { Authorization: 'Bearer phx_nobody' },
      401,
      'invalid_personal_api_key',
    ],
    ['a server key with its personal key', withServerKey, bearer, 200, undefined],
    [
      'a server key with the personal key in its own header',
      withServerKey,
      { 'X-Personal-Api-Key': testKeys.personal },
      200,
      undefined,
    ],
    ['a public key alone', event(), {}, 200, undefined],
    ['a public key with a foreign Authorization', event(), { Authorization: 'Basic abc' }, 200, undefined],
    [
      'a public key with a wrong personal key',
      event(),
      { Authorization: 'Bearer phx_nobody' },
      401,
      'invalid_personal_api_key',
    ],
  ])('%s', async (_name, body, headers, status, wanted) => {
    const answer = await send(body, headers);
    expect({ status: answer.status, code: code(answer) }).toEqual({ status, code: wanted });
  });

  it('a GET with data needs the project key alone', async () => {
    const data = Buffer.from(JSON.stringify(event({ api_key: testKeys.server, event: 'by get' }))).toString('base64');
    expect((await ask(`${server.url}/capture/?data=${data}`)).status).toBe(200);
    await untilCounted(server, "event = 'by get' and not authenticated", 1);
  });
});

describe('a batch', () => {
  it('with one bad event among 99 good ones stores the good ones and names the bad one by its index', async () => {
    const batch = Array.from({ length: 100 }, (_, i) =>
      i === 41 ? { event: 'mixed' } : { event: 'mixed', distinct_id: `u${i}` },
    );
    const answer = await send({ api_key: testKeys.public, batch }, {}, '/batch/');
    expect(answer.status).toBe(200);
    expect(answer.json).toMatchObject({ status: 'Ok', rejected: [{ index: 41, code: 'missing_distinct_id' }] });
    await untilCounted(server, "event = 'mixed'", 99);
  });

  it('of bad events alone is 400 with the first one’s code', async () => {
    const answer = await send({ api_key: testKeys.public, batch: [{ event: 'x' }, 7] }, {}, '/batch');
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({
      type: 'validation_error',
      code: 'missing_distinct_id',
      attr: 'batch.0.distinct_id',
    });
  });

  it('with strict=1 stores all or nothing', async () => {
    const answer = await send(
      { api_key: testKeys.public, batch: [{ event: 'strict', distinct_id: 'd' }, { event: 'strict' }] },
      {},
      '/batch/?strict=1',
    );
    expect(answer.status).toBe(400);
    expect(answer.json).toMatchObject({ code: 'missing_distinct_id', attr: 'batch.1.distinct_id' });
    await send(event({ event: 'behind strict' }));
    await untilCounted(server, "event = 'behind strict'", 1);
    expect(await sql(server, "select count() from events where event = 'strict'")).toEqual([[0]]);
  });

  it('keeps a rejected event where it can be looked up', async () => {
    const uuid = '0190b3f2-5d5c-7c2a-9e1b-0123456789ae';
    await send(event({ uuid, distinct_id: '' }));
    const found = await until(
      async () => {
        const answer = await ask(`${server.url}/api/projects/@current/events/${uuid}/`, { headers: bearer });
        return answer.status === 200 ? answer : undefined;
      },
      { deadlineMs: 10_000, what: 'the rejected event is found' },
    );
    expect(found.json).toMatchObject({ status: 'rejected', code: 'missing_distinct_id' });
  });
});

describe('encodings', () => {
  const paths = [
    '/capture',
    '/capture/',
    '/batch',
    '/batch/',
    '/e',
    '/e/',
    '/i/v0/e',
    '/i/v0/e/',
    '/track/',
    '/engage/',
  ];
  it.each(paths)('%s takes JSON, gzip, base64 and forms', async (path) => {
    const name = `enc ${path}`;
    const json = JSON.stringify(event({ event: name }));
    const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const bodies: [string | Uint8Array, object][] = [
      [json, {}],
      [gzipSync(json), {}],
      [gzipSync(json), { 'Content-Encoding': 'gzip' }],
      [Buffer.from(json).toString('base64'), { 'Content-Type': 'text/plain' }],
      [`data=${encodeURIComponent(json)}`, form],
      [`data=${encodeURIComponent(Buffer.from(json).toString('base64'))}`, form],
      [`[${json}]`, {}],
    ];
    for (const [body, headers] of bodies) {
      const answer = await send(body, headers, path);
      expect({ status: answer.status, text: answer.text }).toEqual({ status: 200, text: '{"status":"Ok"}' });
    }
    await untilCounted(server, `event = '${name}'`, bodies.length);
  });
});

describe('bad input gets a clear 4xx', () => {
  it.each<[string, string | Uint8Array, object, number, string]>([
    ['nothing', '', {}, 400, 'missing_payload'],
    ['broken JSON', '{"event":', {}, 400, 'invalid_json'],
    ['base64 of nonsense', 'bm9uc2Vuc2U=', {}, 400, 'invalid_json'],
    ['broken gzip', gzipSync('{}').subarray(0, 12), {}, 400, 'invalid_encoding'],
    ['an empty array', '[]', {}, 400, 'empty_batch'],
    ['an object without an event', '{}', {}, 400, 'missing_event_name'],
    ['an empty event name', JSON.stringify(event({ event: '' })), {}, 400, 'empty_event_name'],
    ['no distinct_id', JSON.stringify({ api_key: testKeys.public, event: 'e' }), {}, 400, 'missing_distinct_id'],
    ['a wrong uuid', JSON.stringify(event({ uuid: 'x' })), {}, 400, 'invalid_uuid'],
    [
      'an event over 1 MB',
      JSON.stringify(event({ properties: { a: 'x'.repeat(1_000_000) } })),
      {},
      413,
      'event_too_large',
    ],
    ['a 200 MB gzip bomb', gzipSync(Buffer.alloc(200 << 20, 0x20)), {}, 413, 'payload_too_large'],
    ['a body over 20 MiB', 'x'.repeat((20 << 20) + 1), {}, 413, 'payload_too_large'],
  ])('%s', async (_name, body, headers, status, wanted) => {
    const answer = await send(body, headers);
    expect({ status: answer.status, code: code(answer) }).toEqual({ status, code: wanted });
    expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('names the place of broken JSON', async () => {
    expect((await send('{"event":\n  nope}')).json).toMatchObject({
      detail: expect.stringContaining('line 2 column') as string,
    });
  });

  it('405, 404 and 400 for a bad query', async () => {
    expect((await ask(`${server.url}/capture/`, { method: 'PUT' })).status).toBe(405);
    expect((await ask(`${server.url}/nowhere`)).status).toBe(404);
    expect(code(await send('{}', {}, '/e/?_=abc'))).toBe('invalid_query');
  });
});

describe('answers', () => {
  it('carry CORS as browsers need it, on errors too', async () => {
    const answer = await send('{}', { Origin: 'https://shop.example' });
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://shop.example');
    expect(answer.headers.get('access-control-allow-credentials')).toBe('true');
    expect(answer.headers.get('access-control-expose-headers')).toBe('Retry-After, X-Request-Id');
    const preflight = await ask(`${server.url}/e/`, {
      method: 'OPTIONS',
      headers: {
        Origin: 'https://shop.example',
        'Access-Control-Request-Method': 'POST',
        'Access-Control-Request-Headers': 'content-type',
      },
    });
    expect(preflight.status).toBe(200);
    expect(preflight.headers.get('access-control-allow-methods')).toBe('GET,POST,OPTIONS');
    expect(preflight.headers.get('access-control-allow-headers')).toBe('content-type');
  });

  it('repeat the client’s request id and store it', async () => {
    const id = '0190b3f2-0000-7c2a-9e1b-0123456789ff';
    expect((await send(event({ event: 'traced' }), { 'X-Request-Id': id })).headers.get('x-request-id')).toBe(id);
    await untilCounted(server, `event = 'traced' and request_id = '${id}'`, 1);
  });

  it('are 204 with beacon=1', async () => {
    const answer = await send(event(), {}, '/e/?beacon=1');
    expect({ status: answer.status, text: answer.text }).toEqual({ status: 204, text: '' });
  });

  it('are 200 for performance events, which are not kept', async () => {
    const answer = await send({ event: '$performance_event', distinct_id: 'd' });
    expect({ status: answer.status, text: answer.text }).toEqual({ status: 200, text: '{"status":"Ok"}' });
  });

  it('tell health and metrics', async () => {
    expect((await ask(`${server.url}/`)).text).toBe('capture');
    expect((await ask(`${server.url}/_liveness`)).status).toBe(200);
    expect((await ask(`${server.url}/_readiness/`)).status).toBe(200);
    expect((await ask(`${server.url}/metrics`)).text).toMatch(/hedgerow_events_accepted_total \d+/);
  });
});

describe('times', () => {
  it('are corrected for the sender’s clock', async () => {
    const ahead = Date.now() + 3_600_000;
    const body = {
      api_key: testKeys.public,
      sent_at: new Date(ahead).toISOString(),
      batch: [{ event: 'skewed', distinct_id: 'd', timestamp: new Date(ahead - 60_000).toISOString() }],
    };
    await send(body, {}, '/batch/');
    await untilCounted(server, "event = 'skewed' and abs(dateDiff('second', timestamp, received_at) - 60) <= 2", 1);
  });
});
