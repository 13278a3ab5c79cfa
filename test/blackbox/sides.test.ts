/** The routes that SDKs call beside capture, over real HTTP: one row a route, method and encoding, with its section. */
import { createHash, randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { Agent, request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { runInNewContext } from 'node:vm';
import { brotliCompressSync, deflateRawSync, deflateSync, gunzipSync, gzipSync } from 'node:zlib';
import lzString from 'lz-string';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ask,
  bearer,
  post,
  root,
  startHedgerow,
  stopAndRemove,
  testKeys,
  untilCounted,
  type Hedgerow,
} from '../harness/hedgerow.ts';

const MIB = 1 << 20;
const ORIGIN = 'https://www.example.com';
const PREFIX = '/some/where';
const dist = join(root, 'node_modules/posthog-js/dist');
const { version } = JSON.parse(readFileSync(join(root, 'node_modules/posthog-js/package.json'), 'utf8')) as {
  version: string;
};

let server: Hedgerow;
let agent: Agent;

beforeAll(async () => {
  server = await startHedgerow({ args: ['--ingest-path', `${PREFIX}/`] });
  agent = new Agent({ keepAlive: true, maxSockets: 1 });
});
afterAll(async () => {
  agent.destroy();
  await stopAndRemove(server);
});

interface RawAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  readonly json: unknown;
}

interface Sent {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** As a browser's page asks, on one connection, without decoding the answer. */
function call(path: string, { method = 'GET', headers = {}, body }: Sent = {}): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    // Named here: Node frames no body of a DELETE by itself, and the next request would begin with it.
    const length = body === undefined ? {} : { 'Content-Length': String(Buffer.byteLength(body)) };
    const all = { Origin: ORIGIN, ...length, ...headers };
    const request = httpRequest(
      { host: '127.0.0.1', port: server.port, path, method, agent, headers: all },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const bytes = Buffer.concat(chunks);
          let json: unknown;
          try {
            json = JSON.parse(bytes.toString());
          } catch {
            json = undefined;
          }
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: bytes, json });
        });
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

const text = { 'Content-Type': 'text/plain' };
const jsonType = { 'Content-Type': 'application/json' };
const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
const protobuf = { 'Content-Type': 'application/x-protobuf' };
const gzipHeader = { 'Content-Encoding': 'gzip' };
const withKey = { Authorization: 'Bearer phc_nobody' };

const flagsBody = JSON.stringify({ token: 'phc_flags', distinct_id: 'd', groups: {}, person_properties: { a: 1 } });
const flagsBodyPython = JSON.stringify({ distinct_id: 'd', api_key: 'phc_flags' });
const base64Form = `data=${encodeURIComponent(Buffer.from(flagsBody).toString('base64'))}`;
const logs = '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"a"}},{}]}]}]}';
const metrics =
  '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","sum":{"dataPoints":[{"asInt":"1"}]}}]}]}]}';
const spans = '{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"s"},{"name":"t"},{"name":"u"}]}]}]}';
/** One resource, one scope, two records of no fields, in protobuf. */
const logsProtobuf = Buffer.from('0a06120412001200', 'hex');

const newFlags = {
  flags: {},
  errorsWhileComputingFlags: false,
  requestId: expect.any(String) as string,
  evaluatedAt: expect.any(Number) as number,
};
const oldFlags = { featureFlags: {}, featureFlagPayloads: {}, errorsWhileComputingFlags: false };
/** sdks.md 2.7, without `surveys` (20.2). */
const configKeys = {
  supportedCompression: ['gzip', 'gzip-js'],
  hasFeatureFlags: false,
  captureDeadClicks: false,
  capturePerformance: false,
  autocapture_opt_out: false,
  autocaptureExceptions: false,
  analytics: { endpoint: '/i/v0/e/' },
  elementsChainAsString: true,
  errorTracking: { autocaptureExceptions: false, suppressionRules: [] },
  sessionRecording: false,
  heatmaps: false,
  productTours: false,
  conversations: false,
  logs: { captureConsoleLogs: false },
  defaultIdentifiedOnly: true,
  siteApps: [],
  isAuthenticated: false,
  toolbarParams: {},
};
const echoed = { token: 'phc_flags', ...configKeys };
const decided = { ...echoed, config: { enable_collect_everything: true } };
const definitions = { flags: [], group_type_mapping: {}, cohorts: {} };
const partial = (name: string, count: string) => ({
  partialSuccess: { [name]: count, errorMessage: expect.stringContaining('keeps events only') as string },
});
const recordings = { status: 'Ok', quota_limited: ['recordings'] };
const fault = (code: string) => expect.objectContaining({ code }) as unknown;

type Row = readonly [section: string, what: string, path: string, sent: Sent, status: number, json: unknown];
const POST = (body: string | Uint8Array, headers: Readonly<Record<string, string>>): Sent => ({
  method: 'POST',
  headers,
  body,
});

const rows: readonly Row[] = [
  ['2.7', 'config as JSON', `/array/${testKeys.public}/config`, {}, 200, { token: testKeys.public, ...configKeys }],
  ['2.7', 'config of a key that nobody has', '/array/phc_nobody/config/', {}, 200, { token: 'phc_nobody', ...configKeys }],
  ['2.7', 'config for a percent-encoded key', '/array/a%22b/config', {}, 200, { token: 'a"b', ...configKeys }],
  ['(a)', 'config for a personal key', '/array/phx_secret/config', {}, 401, fault('invalid_api_key')],
  ['(a)', 'config for a key that is no text', '/array/%ff/config', {}, 401, fault('invalid_api_key')],
  ['(a)', 'config script for a personal key', '/array/phx_secret/config.js', {}, 401, fault('invalid_api_key')],
  ['14', 'flags in JSON', '/flags/?v=2', POST(flagsBody, jsonType), 200, newFlags],
  ['11', 'flags of iOS, no slash', '/flags?v=2', POST(flagsBody, jsonType), 200, newFlags],
  ['2.1', 'flags of posthog-js, gzip in text/plain without a header', '/flags/?v=2', POST(gzipSync(flagsBody), text), 200, newFlags],
  ['12', 'flags of Elixir, gzip with its header', '/flags?v=2', POST(gzipSync(flagsBodyPython), { ...jsonType, ...gzipHeader }), 200, newFlags],
  ['2.1', 'flags of posthog-js 1.418, base64 form', '/flags/?v=2&compression=base64', POST(base64Form, form), 200, newFlags],
  ['2.1', 'flags of posthog-js 1.350, base64 form', '/flags/?v=2&ip=0&_=1795615510000&ver=1.350.0&compression=base64', POST(base64Form, form), 200, newFlags],
  ['2.1', 'decide of very old posthog-js, LZ-string form', '/decide/?v=2&compression=lz64', POST(`data=${encodeURIComponent(lzString.compressToBase64(flagsBody))}&compression=lz64`, form), 200, { ...oldFlags, ...decided }],
  ['20.3', 'flags of Python 7.91', '/flags/?v=4', POST(flagsBodyPython, jsonType), 200, newFlags],
  ['3.2', 'flags with config, JSON', '/flags/?v=2&config=true', POST(flagsBody, jsonType), 200, { ...newFlags, ...echoed }],
  ['3.2', 'flags with config, gzip', '/flags/?v=2&config=true', POST(gzipSync(flagsBodyPython), text), 200, { ...newFlags, ...echoed }],
  ['3.2', 'flags with config, base64 form', '/flags/?v=2&config=true', POST(base64Form, form), 200, { ...newFlags, ...echoed }],
  ['14', 'flags without v', '/flags/', POST(flagsBody, jsonType), 200, { ...oldFlags, ...echoed }],
  ['14', 'decide v3 of old SDKs', '/decide/?v=3', POST(base64Form, form), 200, { ...oldFlags, ...decided }],
  ['20.3', 'decide v3 of old Java', '/decide/?v=3', POST(flagsBodyPython, jsonType), 200, { ...oldFlags, ...decided }],
  ['14', 'decide v4', '/decide?v=4', POST(flagsBody, jsonType), 200, { ...newFlags, ...decided }],
  ['14', 'decide by GET', `/decide/?v=3&data=${encodeURIComponent(Buffer.from(flagsBody).toString('base64'))}`, {}, 200, { ...oldFlags, ...decided }],
  ['14', 'flags by GET without anything', '/flags/?v=2', {}, 200, newFlags],
  ['14', 'flags that are no JSON', '/flags/?v=2', POST('{"token":', jsonType), 400, fault('invalid_json')],
  ['14', 'flags in damaged gzip', '/flags/?v=2', POST(gzipSync(flagsBody).subarray(0, 40), text), 400, fault('invalid_encoding')],
  ['3.1', 'definitions of node', '/flags/definitions?token=phc_x&send_cohorts', { headers: { Authorization: 'Bearer phs_x' } }, 200, definitions],
  ['9', 'definitions of Rust, slash before the query', '/flags/definitions/?send_cohorts&token=phc_x', {}, 200, definitions],
  ['8', 'local evaluation of Java', '/api/feature_flag/local_evaluation/?token=phc_x&send_cohorts', {}, 200, definitions],
  ['14', 'a remote config flag', '/api/projects/@current/feature_flags/a-flag/remote_config?token=phc_x', { headers: bearer }, 200, null],
  ['14', 'a remote config flag, last slash', '/api/projects/7/feature_flags/a-flag/remote_config/', {}, 200, null],
  ['2.2', 'surveys', '/api/surveys/?token=phc_x&ver=1.449.2', {}, 200, { surveys: [] }],
  ['2.2', 'early access features', '/api/early_access_features/?token=phc_x', {}, 200, { earlyAccessFeatures: [] }],
  ['2.2', 'product tours', '/api/product_tours/?token=phc_x', {}, 200, { product_tours: [] }],
  ['2.2', 'web experiments', '/api/web_experiments?token=phc_x', {}, 200, { experiments: [] }],
  ['15', 'push subscriptions', '/api/push_subscriptions/', POST('{"token":"x"}', jsonType), 200, {}],
  ['15', 'push subscriptions taken back', '/api/push_subscriptions', { method: 'DELETE', headers: jsonType, body: '{}' }, 200, {}],
  ['2.5', 'recordings of the browser, gzip', '/s/?ip=0&_=1&ver=1.350.0&compression=gzip-js', POST(gzipSync('[{"event":"$snapshot"}]'), text), 200, recordings],
  ['8', 'recordings of Android, gzip with its header', '/s', POST(gzipSync('[]'), { ...jsonType, ...gzipHeader }), 200, recordings],
  ['protocol.md 1', 'recordings by GET', '/s/', {}, 200, recordings],
  ['15', 'logs of the browser, gzip in text/plain', '/i/v1/logs?token=phc_nobody', POST(gzipSync(logs), text), 200, partial('rejectedLogRecords', '2')],
  ['15', 'logs of the browser, gzip by parameter', '/i/v1/logs?token=phc_nobody&compression=gzip-js', POST(gzipSync(logs), text), 200, partial('rejectedLogRecords', '2')],
  ['15', 'logs of a collector, JSON', '/i/v1/logs/', POST(logs, { ...jsonType, ...withKey }), 200, partial('rejectedLogRecords', '2')],
  ['15', 'logs without records', '/i/v1/logs?token=phc_x', POST('{"resourceLogs":[]}', jsonType), 200, {}],
  ['15', 'metrics of Python, gzip', '/i/v1/metrics?token=phc_x', POST(gzipSync(metrics), { ...jsonType, ...gzipHeader }), 200, partial('rejectedDataPoints', '1')],
  ['15', 'traces of node', '/i/v1/traces', POST(spans, { ...jsonType, ...withKey }), 200, partial('rejectedSpans', '3')],
  ['3.3', 'AI traces of an OpenTelemetry exporter', '/i/v0/ai/otel', POST(spans, { ...jsonType, ...withKey }), 200, partial('rejectedSpans', '3')],
  ['16', 'OTLP with its key in the query, and a personal key that goes with every request', '/i/v1/logs?token=phc_x', POST(logs, { ...jsonType, ...bearer }), 200, partial('rejectedLogRecords', '2')],
  ['15', 'OTLP without a key', '/i/v1/logs', POST(logs, jsonType), 401, fault('missing_api_key')],
  ['15', 'OTLP with a personal key', '/i/v1/logs', POST(logs, { ...jsonType, ...bearer }), 401, fault('invalid_api_key')],
  ['15', 'OTLP that is no JSON', '/i/v1/traces', POST('[', { ...jsonType, ...withKey }), 400, fault('invalid_json')],
  ['15', 'OTLP that is no protobuf', '/i/v1/traces', POST(Buffer.from([0x0a, 0x7f]), { ...protobuf, ...withKey }), 400, fault('invalid_encoding')],
  ['15', 'multipart AI events', '/i/v0/ai', POST('--x\r\n\r\n--x--', { 'Content-Type': 'multipart/form-data; boundary=x' }), 415, fault('unsupported_media_type')],
  ['15', 'AI events, which are kept', '/i/v0/ai/batch/', POST(JSON.stringify({ api_key: testKeys.public, batch: [{ event: '$ai_generation', distinct_id: 'd' }] }), jsonType), 200, { status: 'Ok' }],
  ['2.2', 'the toolbar, which is in no package', `/static/${version}/toolbar.js`, {}, 404, fault('not_found')],
  ['(a)', 'conversations, which no config turns on', '/api/conversations/v1/widget/x', {}, 404, fault('not_found')],
]; // prettier-ignore

describe.each(['', PREFIX])('below "%s"', (prefix) => {
  it.each(rows)('sdks.md %s: %s is answered as SDKs expect', async (_section, _what, path, sent, status, json) => {
    const requestId = randomUUID();
    const answer = await call(`${prefix}${path}`, { ...sent, headers: { ...sent.headers, 'X-Request-Id': requestId } });
    expect({ status: answer.status, json: answer.json }).toEqual({ status, json });
    expect(answer.headers).toMatchObject({
      'content-type': 'application/json',
      'x-request-id': requestId,
      'access-control-allow-origin': ORIGIN,
      'access-control-allow-credentials': 'true',
    });
  });
});

describe('the config script (sdks.md 2.2)', () => {
  it('leaves the config where posthog-js looks for it', async () => {
    const answer = await call(`/array/${testKeys.public}/config.js`);
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('text/javascript; charset=utf-8');
    const window: { _POSTHOG_REMOTE_CONFIG?: unknown } = {};
    runInNewContext(answer.body.toString(), { window });
    expect(JSON.parse(JSON.stringify(window._POSTHOG_REMOTE_CONFIG))).toEqual({
      [testKeys.public]: { config: { token: testKeys.public, ...configKeys }, siteApps: [] },
    });
  });
});

/** RFC 8878 by hand: magic, a frame of one segment and its length, one raw last block. */
function zstdOf(bytes: Buffer): Buffer {
  const block = Buffer.alloc(3);
  block.writeUIntLE((bytes.length << 3) | 1, 0, 3);
  return Buffer.concat([Buffer.from('28b52ffd20', 'hex'), Buffer.from([bytes.length]), block, bytes]);
}

describe('OTLP in protobuf (sdks.md 15)', () => {
  it.each([
    ['plain', logsProtobuf, protobuf],
    ['gzip', gzipSync(logsProtobuf), { ...protobuf, ...gzipHeader }],
    ['deflate', deflateSync(logsProtobuf), { ...protobuf, 'Content-Encoding': 'deflate' }],
    ['deflate without a frame', deflateRawSync(logsProtobuf), { ...protobuf, 'Content-Encoding': 'deflate' }],
    ['br', brotliCompressSync(logsProtobuf), { ...protobuf, 'Content-Encoding': 'br' }],
    ['zstd', zstdOf(logsProtobuf), { ...protobuf, 'Content-Encoding': 'zstd' }],
    ['plain with a gzip header', logsProtobuf, { ...protobuf, ...gzipHeader }],
  ])('%s is answered in protobuf, with the number of records that were not kept', async (_name, body, headers) => {
    const answer = await call('/i/v1/logs', POST(body, { ...headers, ...withKey }));
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('application/x-protobuf');
    // partial_success (1), its rejected_log_records (1) = 2, error_message (2).
    const [outer, , inner, count, message] = answer.body;
    expect([outer, inner, count, message]).toEqual([0x0a, 0x08, 2, 0x12]);
    expect(answer.body.toString()).toContain('keeps events only');
  });

  it('in an unknown encoding is 415', async () => {
    const answer = await call(
      '/i/v1/logs',
      POST(logsProtobuf, { ...protobuf, ...withKey, 'Content-Encoding': 'snappy' }),
    );
    expect({ status: answer.status, json: answer.json }).toEqual({
      status: 415,
      json: fault('unsupported_encoding'),
    });
  });
});

describe('posthog-js as files (sdks.md 2.2, 20.2)', () => {
  const array = readFileSync(join(dist, 'array.js'));
  it.each([
    ['/static/array.js', 'array.js', 'public, max-age=300'],
    [`/static/${version}/array.js`, 'array.js', 'public, max-age=31536000, immutable'],
    [`/static/array.js?v=${version}`, 'array.js', 'public, max-age=31536000, immutable'],
    ['/static/surveys.js?v=1.350.0', 'surveys.js', 'public, max-age=300'],
    ['/static/1.999.0/lazy-recorder.js', 'lazy-recorder.js', 'public, max-age=300'],
    ['/static/array.js.map', 'array.js.map', 'public, max-age=300'],
    [`${PREFIX}/static/array.full.js`, 'array.full.js', 'public, max-age=300'],
  ])('%s is the package’s %s', async (path, name, cacheControl) => {
    const answer = await call(path);
    expect(answer.status).toBe(200);
    expect(answer.body.equals(readFileSync(join(dist, name)))).toBe(true);
    expect(answer.headers).toMatchObject({
      'content-type': name.endsWith('.map') ? 'application/json' : 'text/javascript; charset=utf-8',
      'content-length': String(answer.body.length),
      'cache-control': cacheControl,
      'access-control-allow-origin': ORIGIN,
    });
    expect(answer.headers['vary']).toContain('accept-encoding');
  });

  it('come compressed to those who take it, and keep a tag of their own', async () => {
    const plain = await call('/static/array.js');
    const answer = await call('/static/array.js', { headers: { 'Accept-Encoding': 'br, gzip;q=0.8' } });
    expect(answer.headers['content-encoding']).toBe('gzip');
    expect(gunzipSync(answer.body).equals(array)).toBe(true);
    expect(answer.headers['etag']).not.toBe(plain.headers['etag']);
    const refused = await call('/static/array.js', { headers: { 'Accept-Encoding': 'gzip;q=0, identity' } });
    expect(refused.headers['content-encoding']).toBeUndefined();
    expect(refused.body.equals(array)).toBe(true);
  });

  it('answer HEAD with the headers of GET and no body', async () => {
    const answer = await call('/static/array.js', { method: 'HEAD' });
    expect({ status: answer.status, length: answer.headers['content-length'], body: answer.body.length }).toEqual({
      status: 200,
      length: String(array.length),
      body: 0,
    });
  });

  it('are every script and map of the package, and nothing else of it', async () => {
    for (const name of readdirSync(dist)) {
      const isServed = /\.js(?:\.map)?$/.test(name);
      const answer = await call(`/static/${name}`, { method: 'HEAD' });
      expect({ name, status: answer.status }).toEqual({ name, status: isServed ? 200 : 404 });
    }
  });

  it.each([
    '/static/',
    '/static/../package.json',
    '/static/1.2.3/../../package.json',
    '/static/..%2fpackage.json',
    '/static/%2e%2e/package.json',
    '/static/..%5cpackage.json',
    '/static//etc/passwd',
    '/static/src/index.js',
    '/static/1.449.2/src/index.js',
    '/static/array.js%00',
    '/static/__proto__',
    '/static/constructor',
  ])('hold no way out: %s is 404', async (path) => {
    expect((await call(path)).status).toBe(404);
  });
});

describe('an answer with an ETag', () => {
  it.each([
    `/array/${testKeys.public}/config`,
    `/array/${testKeys.public}/config.js`,
    '/api/feature_flag/local_evaluation/?token=x&send_cohorts',
    '/flags/definitions?token=x',
    '/static/array.js',
    '/api/surveys/',
  ])('of %s is 304 to whoever has it, until it changes', async (path) => {
    const first = await call(path);
    const tag = String(first.headers['etag']);
    expect(tag).toMatch(/^"[^"]+"$/);
    for (const known of [tag, `W/${tag}`, `"other", ${tag}`, '*']) {
      const again = await call(path, { headers: { 'If-None-Match': known } });
      expect({ status: again.status, body: again.body.length, tag: again.headers['etag'] }).toEqual({
        status: 304,
        body: 0,
        tag,
      });
      expect(again.headers).toMatchObject({ 'access-control-allow-origin': ORIGIN });
      expect(again.headers).not.toHaveProperty('content-length');
    }
    expect((await call(path, { headers: { 'If-None-Match': '"other"' } })).status).toBe(200);
  });

  it('differs from key to key', async () => {
    const [a, b] = await Promise.all([call('/array/phc_a/config'), call('/array/phc_b/config')]);
    expect(a.headers['etag']).not.toBe(b.headers['etag']);
  });
});

describe('methods', () => {
  const READ = 'GET, HEAD, OPTIONS';
  const BOTH = 'GET, HEAD, POST, OPTIONS';
  it.each([
    ['/array/x/config', 'POST', READ],
    ['/static/array.js', 'POST', READ],
    ['/api/surveys/', 'PUT', READ],
    ['/flags/definitions', 'POST', READ],
    ['/api/feature_flag/local_evaluation/', 'DELETE', READ],
    ['/flags/', 'PUT', BOTH],
    ['/decide/', 'DELETE', BOTH],
    ['/s/', 'PUT', BOTH],
    ['/i/v1/logs', 'GET', 'POST, OPTIONS'],
    ['/i/v0/ai', 'GET', 'POST, OPTIONS'],
    ['/api/push_subscriptions/', 'GET', 'POST, DELETE, OPTIONS'],
  ])('%s refuses %s and says which it has', async (path, method, allowed) => {
    const answer = await call(path, { method, headers: jsonType, body: method === 'GET' ? '' : '{}' });
    expect({ status: answer.status, json: answer.json, allow: answer.headers['allow'] }).toEqual({
      status: 405,
      json: fault('method_not_allowed'),
      allow: allowed,
    });
  });

  it.each(['/array/x/config', '/static/array.js', '/flags/?v=2', '/s/', '/i/v1/logs', '/api/surveys/', '/i/v0/ai'])(
    'a preflight of %s is answered for every header it asks for (sdks.md 2.6)',
    async (path) => {
      const answer = await call(path, {
        method: 'OPTIONS',
        headers: { 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'content-type, x-mine' },
      });
      expect(answer.status).toBe(200);
      expect(answer.headers).toMatchObject({
        'access-control-allow-origin': ORIGIN,
        'access-control-allow-methods': 'GET,POST,OPTIONS',
        'access-control-allow-headers': 'content-type, x-mine',
      });
    },
  );
});

describe('sizes', () => {
  const padded = (bytes: number): Buffer => Buffer.concat([Buffer.from('{}'), Buffer.alloc(bytes - 2, ' ')]);
  it.each([
    ['/flags/?v=2', 2 * MIB, 200, jsonType],
    ['/s/', 25 * MIB, 200, text],
    ['/i/v1/logs?token=x', 10 * MIB, 200, jsonType],
    ['/i/v0/ai', 27.5 * MIB, 415, text],
    ['/api/push_subscriptions/', 64 * 1024, 200, jsonType],
  ])(
    '%s takes %i bytes, and refuses one more on a connection that stays usable',
    async (path, limit, status, headers) => {
      expect((await call(path, POST(padded(limit), headers))).status).toBe(status);
      const refused = await call(path, POST(padded(limit + 1), headers));
      expect({ status: refused.status, json: refused.json }).toEqual({ status: 413, json: fault('payload_too_large') });
      expect(refused.headers['connection']).not.toBe('close');
      expect(refused.headers).toMatchObject({ 'access-control-allow-origin': ORIGIN });
      expect((await call('/api/surveys/')).status).toBe(200);
    },
  );

  it.each(['/flags/?v=2', '/i/v1/logs?token=x'])('%s inflates 20 MiB at most', async (path) => {
    expect((await call(path, POST(gzipSync(padded(20 * MIB)), text))).status).toBe(200);
    const bomb = await call(path, POST(gzipSync(padded(20 * MIB + 1)), text));
    expect({ status: bomb.status, json: bomb.json }).toEqual({ status: 413, json: fault('payload_too_large') });
  });
});

it('recordings take no memory: more of them at once than may be read together', async () => {
  const count = 11; // 11 x 25 MiB are more than the 256 MiB of all bodies
  const piece = Buffer.alloc(MIB, ' ');
  const sent: { readonly end: () => void; readonly status: Promise<number> }[] = [];
  for (let i = 0; i < count; i++) {
    const request = httpRequest({ host: '127.0.0.1', port: server.port, path: '/s/', method: 'POST', agent: false });
    const status = new Promise<number>((resolve, reject) => {
      request.on('error', reject);
      request.on('response', (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      });
    });
    for (let n = 0; n < 25; n++) {
      if (!request.write(piece)) await new Promise((resolve) => request.once('drain', resolve));
    }
    sent.push({ end: () => request.end(), status });
  }
  for (const { end } of sent) end();
  expect(await Promise.all(sent.map(({ status }) => status))).toEqual(Array.from({ length: count }, () => 200));
});

describe('below --ingest-path', () => {
  it('an event is stored like any other', async () => {
    const body = { api_key: testKeys.public, event: 'first party', distinct_id: 'd' };
    for (const path of ['/e/', '/i/v0/e', '/batch/', '/capture']) {
      expect((await post(`${server.url}${PREFIX}${path}`, body)).text).toBe('{"status":"Ok"}');
    }
    await untilCounted(server, "event = 'first party'", 4);
  });

  it('V1 is served too (sdks.md 13)', async () => {
    const uuid = randomUUID();
    const event = { event: 'first party v1', uuid, distinct_id: 'd', timestamp: '2026-01-02T03:04:05.000Z' };
    const answer = await post(
      `${server.url}${PREFIX}/i/v1/analytics/events`,
      { created_at: '2026-01-02T03:04:05.000Z', batch: [{ ...event, options: {}, properties: {} }] },
      {
        Authorization: `Bearer ${testKeys.public}`,
        'User-Agent': 'test/1',
        'PostHog-Sdk-Info': 'test/1',
        'PostHog-Attempt': '1',
        'PostHog-Request-Id': randomUUID(),
        'PostHog-Request-Timestamp': new Date().toISOString(),
      },
    );
    expect(answer.json).toEqual({ results: { [uuid]: { result: 'ok' } } });
  });

  it.each(['', '/', '/metrics', '/_readiness', '/_liveness', '/api/projects/', '/api/projects/@current/events/'])(
    'the reading API, metrics and health are not there: %s',
    async (path) => {
      const answer = await ask(`${server.url}${PREFIX}${path}`, { headers: bearer });
      expect({ status: answer.status, json: answer.json }).toEqual({ status: 404, json: fault('not_found') });
    },
  );

  it('means the prefix and a slash, not a path that begins alike', async () => {
    expect((await call(`${PREFIX}e/`, POST('{}', jsonType))).status).toBe(404);
  });
});

it('serves the very files whose hashes the package publishes', async () => {
  const { files } = JSON.parse(readFileSync(join(dist, 'integrity.json'), 'utf8')) as { files: Record<string, string> };
  const answer = await call(`/static/${version}/surveys.js`);
  expect(`sha384-${createHash('sha384').update(answer.body).digest('base64')}`).toBe(files['surveys.js']);
});

it('is counted by route, and never by what a client wrote into the path', async () => {
  const metrics = await ask(`${server.url}/metrics`);
  for (const route of ['/flags', '/array', '/static', '/s', '/i/v1/logs', '/api/surveys']) {
    expect(metrics.text).toMatch(new RegExp(`^hedgerow_http_requests_total\\{.*route="${route}"`, 'm'));
  }
  expect(metrics.text).not.toContain('phc_nobody');
});
