/**
 * Sends requests of every kind that the OpenAPI document tells of, and of kinds that it does not, to started servers, and has
 * them recorded: its own examples, the vectors of both protocols, every refusal that can be had from outside.
 */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { sideRouteOf } from '../../src/http/side-routes.ts';
import { protocolRows } from '../vectors/protocol-v0.ts';
import { eventVectors, SDK_INFO } from '../vectors/protocol-v1.ts';
import { bodyRefusals, headerRefusals } from '../vectors/protocol-v1-refusals.ts';
import {
  ask, bearer, bin, cleanEnv, type Hedgerow, post, startHedgerow, stopAndRemove, testKeys, untilCounted,
} from './hedgerow.ts'; // prettier-ignore
import type { DocumentedOperation, OpenApiChecker } from './openapi-checker.ts';
import type { RecordedExchange, Recorder, Sent } from './recorder.ts';
import { until } from './until.ts';

type Json = Readonly<Record<string, unknown>>;
type Headers = Readonly<Record<string, string>>;

const ORIGIN = { Origin: 'https://shop.example' };
const JSON_TYPE = { 'Content-Type': 'application/json' };
const MIB = 1 << 20;
/** Of the second server: room for a batch that finds none before the disk. */
const PRESSED_BODY_BYTES = 2 * MIB;
const AT_ONCE = 6;

/** Personal keys, by what they may do. */
interface Keys {
  /** Nothing but `admin`: neither capture nor query. */
  readonly admin: string;
  /** Everything, in another project. */
  readonly elsewhere: string;
  readonly captureOnly: string;
  readonly revokedPublic: string;
}

function hedgerow(dataDir: string, ...args: readonly string[]): Json {
  const text = execFileSync(process.execPath, [bin, ...args, '--data-dir', dataDir, '--json'], {
    env: cleanEnv({ HEDGEROW_SKIP_BUILD: '1' }),
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return text.trim() === '' ? {} : (JSON.parse(text) as Json);
}

async function makeKeys({ url, dataDir }: Hedgerow): Promise<Keys> {
  hedgerow(dataDir, 'projects', 'create', 'other');
  const key = (...args: readonly string[]): Json => hedgerow(dataDir, 'keys', 'create', '--kind', ...args);
  const admin = String(key('personal', '--scopes', 'admin')['key']);
  const captureOnly = String(key('personal', '--scopes', 'capture')['key']);
  const scopes = ['--scopes', 'capture,query,admin'];
  const elsewhere = String(key('personal', ...scopes, '--project', 'other')['key']);
  const doomed = key('public', '--project', '1');
  hedgerow(dataDir, 'keys', 'revoke', String(doomed['id']));
  const authorization = { Authorization: `Bearer ${elsewhere}` };
  await until(async () => (await ask(`${url}/api/projects/`, { headers: authorization })).status === 200, {
    deadlineMs: 5_000,
    what: 'the server knows the new keys',
  });
  return { admin, elsewhere, captureOnly, revokedPublic: String(doomed['key']) };
}

async function forAll<T>(items: readonly T[], work: (item: T) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < items.length; i = next++) await work(items[i] as T);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** With the keys that this server has instead of those that stand in the examples. */
function withKeys(text: string): string {
  return text.replaceAll('phc_your_public_key', testKeys.public);
}

/** Each type's examples as they go over the wire. */
function bodiesOf({ json }: DocumentedOperation): readonly { readonly type: string; readonly text: string }[] {
  const content = ((json['requestBody'] as Json | undefined)?.['content'] ?? {}) as Readonly<Record<string, Json>>;
  return Object.entries(content).flatMap(([type, media]) => {
    const named = Object.values((media['examples'] ?? {}) as Readonly<Record<string, Json>>).map(({ value }) => value);
    const examples = 'example' in media ? [media['example'], ...named] : named;
    return examples.map((example) => {
      if (type === 'application/json') return { type, text: withKeys(JSON.stringify(example)) };
      if (type !== 'application/x-www-form-urlencoded') {
        return { type: type === '*/*' ? 'application/octet-stream' : type, text: withKeys(String(example)) };
      }
      const fields = Object.entries(example as Readonly<Record<string, string>>).map(
        ([name, value]): [string, string] => [name, withKeys(value)],
      );
      return { type, text: new URLSearchParams(fields).toString() };
    });
  });
}

const v1Headers = (): Record<string, string> => ({
  ...ORIGIN,
  Authorization: `Bearer ${testKeys.public}`,
  'Content-Type': 'application/json',
  'User-Agent': 'test',
  'PostHog-Sdk-Info': SDK_INFO,
  'PostHog-Attempt': '1',
  'PostHog-Request-Id': randomUUID(),
  'PostHog-Request-Timestamp': new Date().toISOString(),
});
const v1Event = (fields: object = {}): object => ({
  event: 'e',
  uuid: randomUUID(),
  distinct_id: 'ann',
  timestamp: new Date().toISOString(),
  ...fields,
});
const v1Batch = (events: readonly unknown[] = [v1Event()], root: object = {}): string =>
  JSON.stringify({ created_at: new Date().toISOString(), batch: events, ...root });

const event = (fields: object = {}): string =>
  JSON.stringify({ api_key: testKeys.public, event: 'e', distinct_id: 'd', ...fields });

export class OpenApiDriver {
  /** What was sent just as the document shows it, and did not succeed. */
  readonly failedExamples: string[] = [];
  readonly #server: Hedgerow;
  readonly #recorder: Recorder;
  readonly #checker: OpenApiChecker;

  constructor(server: Hedgerow, recorder: Recorder, checker: OpenApiChecker) {
    this.#server = server;
    this.#recorder = recorder;
    this.#checker = checker;
  }

  async drive(): Promise<void> {
    const keys = await makeKeys(this.#server);
    const { operations } = this.#checker;
    // What is captured first can be read back by its example.
    const ordered = [...operations].toSorted((a, b) => Number(a.tag === 'Reading') - Number(b.tag === 'Reading'));
    for (const operation of ordered) await this.#sendExamples(operation);
    for (const path of new Set(operations.map((operation) => operation.path))) await this.#sendOtherMethods(path);
    await this.#sendV0Vectors();
    await this.#sendV1Vectors();
    await this.#sendToEveryCapturePath(keys);
    await this.#sendToSides();
    const endRecording = this.#recorder.recordFetch();
    try {
      await this.#readBack(keys);
    } finally {
      endRecording();
    }
    await this.#press();
  }

  #parametersOf({ json }: DocumentedOperation): readonly Json[] {
    return ((json['parameters'] ?? []) as unknown[]).map((parameter) => this.#checker.followed(parameter));
  }

  /** As somebody sends who has read nothing but the document: its examples, and keys. */
  #exampleOf(operation: DocumentedOperation): Sent & { readonly headers: Headers } {
    let path = operation.path;
    const query = new URLSearchParams();
    const headers: Record<string, string> = { ...ORIGIN };
    for (const { name, in: place, example } of this.#parametersOf(operation)) {
      if (typeof example !== 'string') continue;
      const value = withKeys(example);
      if (place === 'path') path = path.replace(`{${String(name)}}`, value);
      else if (place === 'query') query.set(String(name), value);
      else headers[String(name)] = value;
    }
    const schemes = (operation.json['security'] as readonly Json[]).flatMap((entry) => Object.keys(entry));
    if (schemes.includes('projectKeyBearer')) headers['Authorization'] = `Bearer ${testKeys.public}`;
    else if (schemes.includes('personalKey')) Object.assign(headers, bearer);
    const [body] = bodiesOf(operation);
    return {
      method: operation.method.toUpperCase(),
      target: query.size === 0 ? path : `${path}?${query.toString()}`,
      headers: { ...headers, ...(body === undefined ? {} : { 'Content-Type': body.type }) },
      body: body?.text,
    };
  }

  #send(sent: Sent): Promise<RecordedExchange> {
    return this.#recorder.send(this.#server.port, sent);
  }

  async #sendExamples(operation: DocumentedOperation): Promise<void> {
    const example = this.#exampleOf(operation);
    const bodies = bodiesOf(operation);
    const forms = bodies.length === 0 ? [example] : bodies.map(({ type, text }) => ({
      ...example, headers: { ...example.headers, 'Content-Type': type }, body: text,
    })); // prettier-ignore
    const hasSuccess = [...operation.responses.keys()].some((status) => status.startsWith('2'));
    for (const form of forms) {
      const { status } = await this.#send(form);
      if (hasSuccess && status !== 200)
        this.failedExamples.push(`${operation.name} (${form.headers['Content-Type'] ?? 'no body'}): ${status}`);
    }
    const [path = '', query] = example.target.split('?');
    const other = path.endsWith('/') ? path.slice(0, -1) : `${path}/`;
    if (other !== '') await this.#send({ ...example, target: query === undefined ? other : `${other}?${query}` });
    await this.#send({ ...example, hasNoHost: true });
    if (operation.responses.has('304'))
      await this.#send({ ...example, headers: { ...example.headers, 'If-None-Match': '*' } });
  }

  /** To a path that is there, with methods that it has not. */
  async #sendOtherMethods(path: string): Promise<void> {
    const operations = this.#checker.operations.filter((operation) => operation.path === path);
    const [first] = operations.filter(({ method }) => method !== 'options');
    if (first === undefined) return;
    const { target } = this.#exampleOf(first);
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']) {
      const isDocumented = operations.some((operation) => operation.method === method.toLowerCase());
      if (!isDocumented) await this.#send({ method, target, headers: { ...ORIGIN, ...bearer } });
    }
  }

  async #sendV0Vectors(): Promise<void> {
    await forAll(protocolRows, ({ request }) => {
      const { method = 'POST', path = '/e/', query, headers = {}, body } = request;
      return this.#send({ method, target: query === undefined ? path : `${path}?${query}`, headers, body });
    });
  }

  async #sendV1Vectors(): Promise<void> {
    const changed = (changes: Readonly<Record<string, string | null>> = {}): Headers =>
      Object.fromEntries(
        Object.entries({ ...v1Headers(), ...changes }).filter((entry): entry is [string, string] => entry[1] !== null),
      );
    const path = '/i/v1/analytics/events';
    await forAll([...headerRefusals, ...bodyRefusals], (row) =>
      this.#send({
        method: row.method ?? 'POST',
        target: row.path ?? path,
        headers: changed(row.headers),
        body: row.method === 'GET' ? '' : (row.body ?? v1Batch()),
      }),
    );
    await forAll(eventVectors, (row) => {
      const uuid = randomUUID();
      const batch = v1Batch([v1Event({ ...row.event, uuid })], row.root);
      const body =
        row.json === undefined
          ? batch
          : v1Batch(['EVENT'], row.root).replace('"EVENT"', () => (row.json ?? '').replace('UUID', uuid));
      return this.#send({ target: path, headers: changed(row.headers), body });
    });
  }

  /** What every path of capture has, whatever the method: 204, 401, 403. */
  async #sendToEveryCapturePath(keys: Keys): Promise<void> {
    const operations = this.#checker.operations.filter(
      ({ tag, method }) => tag.startsWith('Capture') && method !== 'options',
    );
    await forAll(operations, async ({ tag, method: name, path }) => {
      const method = name.toUpperCase();
      const personal = [keys.admin, keys.elsewhere, 'phx_nobody'];
      if (tag === 'Capture') {
        const headers = { ...ORIGIN, ...JSON_TYPE };
        await this.#send({ method, target: `${path}?beacon=1`, headers, body: event() });
        for (const api_key of ['phc_nobody', keys.revokedPublic, testKeys.server, 'phx_no']) {
          await this.#send({ method, target: path, headers, body: event({ api_key }) });
        }
        for (const key of personal) {
          await this.#send({
            method,
            target: path,
            headers: { ...headers, Authorization: `Bearer ${key}` },
            body: event(),
          });
        }
        return;
      }
      for (const key of ['phc_nobody', keys.revokedPublic, testKeys.server]) {
        await this.#send({
          method,
          target: path,
          headers: { ...v1Headers(), Authorization: `Bearer ${key}` },
          body: v1Batch(),
        });
      }
      for (const key of personal) {
        await this.#send({
          method,
          target: path,
          headers: { ...v1Headers(), 'X-Personal-Api-Key': key },
          body: v1Batch(),
        });
      }
      await this.#send({
        method,
        target: path,
        headers: { ...v1Headers(), 'Content-Type': 'text/html' },
        body: v1Batch(),
      });
    });
  }

  /** What SDKs call beside capture, refused in each way that it can be. */
  async #sendToSides(): Promise<void> {
    const text = { ...ORIGIN, 'Content-Type': 'text/plain' };
    const form = { ...ORIGIN, 'Content-Type': 'application/x-www-form-urlencoded' };
    const damaged = gzipSync('{"token":"phc_x","distinct_id":"d"}').subarray(0, 30);
    for (const path of ['/flags/', '/decide/']) {
      for (const target of [path, `${path}?v=1`, `${path}?v=4`, `${path}?v=2&config=true`, `${path}?v=3`])
        await this.#send({ target });
      await this.#send({ target: path, headers: text, body: '{' });
      await this.#send({ target: path, headers: text, body: damaged });
      await this.#send({ target: path, headers: form, body: 'nothing' });
    }
    const key = { Authorization: 'Bearer phc_nobody' };
    const requests = {
      '/i/v0/ai/otel': '{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"s"}]}]}]}',
      '/i/v1/logs': '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{}]}]}]}',
      '/i/v1/metrics': '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":{"dataPoints":[{"asInt":"1"}]}}]}]}]}',
      '/i/v1/traces': '{"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"s"}]}]}]}',
    };
    for (const [target, body] of Object.entries(requests)) {
      const protobuf = { ...ORIGIN, ...key, 'Content-Type': 'application/x-protobuf' };
      await this.#send({ target, headers: { ...JSON_TYPE, ...key }, body });
      await this.#send({ target, headers: protobuf, body: Buffer.from('0a06120412001200', 'hex') });
      await this.#send({ target, headers: protobuf, body: Buffer.from('0a7f', 'hex') });
      await this.#send({ target, headers: { ...protobuf, 'Content-Encoding': 'snappy' }, body });
      await this.#send({ target, headers: { ...protobuf, 'Content-Encoding': 'br' }, body: 'no brotli' });
      await this.#send({ target, headers: { ...JSON_TYPE, ...key }, body: '[' });
      await this.#send({ target, headers: JSON_TYPE, body });
      await this.#send({ target, headers: { ...JSON_TYPE, ...bearer }, body });
    }
    for (const method of ['GET', 'HEAD']) {
      await this.#send({ method, target: '/array/phx_secret/config', headers: ORIGIN });
      await this.#send({ method, target: '/array/phx_secret/config.js', headers: ORIGIN });
      await this.#send({ method, target: '/static/nothing.js', headers: ORIGIN });
      await this.#send({ method, target: '/static/1.0.0/nothing.js', headers: ORIGIN });
      await this.#send({ method, target: '/static/array.js', headers: { ...ORIGIN, 'Accept-Encoding': 'gzip' } });
      await this.#send({ method, target: '/static/array.js.map', headers: ORIGIN });
      await this.#send({ method, target: '/nowhere', headers: ORIGIN });
      await this.#send({ method, target: '/api/projects/@current/nothing/', headers: { ...ORIGIN, ...bearer } });
    }
    await this.#backUp();
    await this.#send({
      method: 'OPTIONS',
      target: '/nowhere',
      headers: { ...ORIGIN, 'Access-Control-Request-Headers': 'x-mine' },
    });
  }

  async #backUp(): Promise<void> {
    const dir = `${this.#server.dataDir}-backup`;
    const target = '/api/backups/';
    await this.#send({ method: 'POST', target, headers: { ...ORIGIN, ...bearer }, body: JSON.stringify({ dir }) });
    const state = async (): Promise<boolean> => {
      const { body } = await this.#send({ method: 'GET', target, headers: { ...ORIGIN, ...bearer } });
      return Buffer.from(body, 'base64').toString().includes('"state":"done"');
    };
    await until(state, { deadlineMs: 20_000, what: 'the backup is made' });
    rmSync(dir, { recursive: true });
  }

  /** By `fetch`, as the other suites read. */
  async #readBack(keys: Keys): Promise<void> {
    const batch = [
      { event: '' },
      { event: 'e', distinct_id: '' },
      { event: 'for pages', distinct_id: 'd', uuid: randomUUID() },
    ];
    const rejected = randomUUID();
    await post(`${this.#server.url}/batch/`, {
      api_key: testKeys.public,
      batch: [...batch, { event: '', distinct_id: 'd', uuid: rejected }],
    });
    await untilCounted(this.#server, "event = 'for pages'", 1);
    const project = `${this.#server.url}/api/projects/@current`;
    const read = (path: string) => ask(`${project}${path}`, { headers: { ...ORIGIN, ...bearer } });
    await read(`/events/${rejected}/`);
    await until(
      async () => ((await read('/rejections/')).json as { results: unknown[] }).results.length > 2 || undefined,
      {
        deadlineMs: 20_000,
        what: 'rejections are listed',
      },
    );
    await read('/events/?limit=1');
    await read('/events/?limit=1000');
    await read('/rejections/?limit=1');
    for (const body of ['{"requests":["x"]}', '{', '{}']) await post(`${project}/rejections/retries/`, body, bearer);
    const query = (body: string | object) => post(`${project}/query/`, body, bearer);
    const hogql = (text: string, values?: object) => ({ query: { kind: 'HogQLQuery', query: text, values } });
    await query(hogql('select uuid, timestamp, 1.5, null, [1], 18446744073709551615 from events limit 3'));
    await query(hogql('select nothing from nowhere'));
    await query(hogql('select {name}', {}));
    await query('{');
    for (const body of ['{"burst":"many"}', '{', '{"events_per_second":null,"burst":null}']) {
      await ask(`${project}/limits/`, { method: 'PUT', headers: { ...ORIGIN, ...bearer }, body });
    }
    for (const body of ['{"address":"hide"}', '{', '{"address":"keep","redact":[]}']) {
      await ask(`${project}/privacy/`, { method: 'PUT', headers: { ...ORIGIN, ...bearer }, body });
    }

    const operations = this.#checker.operations.filter(({ tag, method }) => tag === 'Reading' && method !== 'options');
    for (const operation of operations) {
      const { method = 'GET', target, headers, body } = this.#exampleOf(operation);
      const again = (path: string, authorization: string | undefined) => {
        const { Authorization: _, ...others } = headers;
        const own: Headers =
          authorization === undefined ? others : { ...others, Authorization: `Bearer ${authorization}` };
        return this.#send({ method, target: path, headers: own, body });
      };
      const needsAdmin = operation.method === 'put' || operation.path.endsWith('/retries/');
      const withoutScope = needsAdmin ? keys.captureOnly : keys.admin;
      for (const stranger of [undefined, 'phx_nobody', withoutScope, keys.elsewhere]) {
        await again(target.replace('@current', '1'), stranger);
      }
      await again(target.replace('@current', '777'), testKeys.personal);
      const isList = /events\/$|rejections\/$/.test(operation.path);
      if (isList) await again(`${target}?limit=none`, testKeys.personal);
      if (operation.path.endsWith('{uuid}/')) {
        await again(target.replace(/[^/]+\/$/, `${randomUUID()}/`), testKeys.personal);
        await again(target.replace(/[^/]+\/$/, 'x/'), testKeys.personal);
      }
    }
  }

  /** A server with little patience and room: 408, 413, 503; then with little left to send: 402, 429; then draining. */
  async #press(): Promise<void> {
    const pressed = await startHedgerow({
      args: ['--drain-delay', '3s'],
      env: {
        HEDGEROW_MAX_BODY_BYTES: String(PRESSED_BODY_BYTES),
        HEDGEROW_BODY_TIMEOUT_MS: '300',
        HEDGEROW_MAX_QUEUE_BYTES: String(MIB),
      },
    });
    const sendThere = (sent: Sent): Promise<RecordedExchange> => this.#recorder.send(pressed.port, sent);
    try {
      const operations = this.#checker.operations.filter(({ method }) => method !== 'options');
      await forAll(operations, async (operation) => {
        const example = this.#exampleOf(operation);
        if (operation.responses.has('408')) await sendThere({ ...example, stalls: true });
        if (!operation.responses.has('413')) return;
        const route = sideRouteOf(example.target.split('?', 1)[0]?.replace(/\/$/, '') ?? '');
        const body = Buffer.alloc((route?.maxBodyBytes ?? PRESSED_BODY_BYTES) + 1, ' ');
        await sendThere({ ...example, body });
      });
      // A wrong key: 401, until there were too many from one address.
      const reading = operations.filter(({ tag }) => tag === 'Reading');
      const wrongKey = { Authorization: 'Bearer phx_nobody' };
      for (const round of [1, 2, 3, 4]) {
        for (const operation of reading) {
          const example = this.#exampleOf(operation);
          const headers = { ...example.headers, ...wrongKey };
          if (round === 1 || round === 4) await sendThere({ ...example, headers });
          else await Promise.all(Array.from({ length: 3 }, () => sendThere({ ...example, headers })));
        }
      }
      const capturing = operations.filter(({ tag }) => tag.startsWith('Capture'));
      const large = { properties: { a: 'x'.repeat(600_000) } };
      const batch = { api_key: testKeys.public, batch: [1, 2].map(() => ({ event: 'e', distinct_id: 'd', ...large })) };
      const v1Large = (): string => v1Batch([v1Event(large), v1Event(large)]);
      const sendEach = (body: string, v1Body: () => string) =>
        forAll(capturing, ({ tag, method, path }) =>
          tag === 'Capture'
            ? sendThere({ method: method.toUpperCase(), target: path, headers: { ...ORIGIN, ...JSON_TYPE }, body })
            : sendThere({ target: path, headers: v1Headers(), body: v1Body() }),
        );
      await sendEach(JSON.stringify(batch), v1Large);
      const setLimits = (limits: object) =>
        sendThere({
          method: 'PUT',
          target: '/api/projects/@current/limits/',
          headers: bearer,
          body: JSON.stringify(limits),
        });
      await setLimits({ events_per_second: 0.001, burst: 1 });
      await until(async () => (await sendThere({ target: '/e/', body: event() })).status === 429 || undefined, {
        deadlineMs: 10_000,
        what: 'the rate holds',
      });
      await sendEach(event(), () => v1Batch());
      await setLimits({ events_per_second: null, burst: null, monthly_quota: 0 });
      await until(
        async () => {
          const answer = await sendThere({ target: '/e/', body: event() });
          return Buffer.from(answer.body, 'base64').toString().includes('quota_exceeded') || undefined;
        },
        { deadlineMs: 10_000, what: 'the quota holds' },
      );
      await sendEach(event(), () => v1Batch());
      await sendThere({ target: '/e/?beacon=1', body: event() });

      pressed.process.kill('SIGTERM');
      await until(async () => (await sendThere({ target: '/_readiness' })).status === 503 || undefined, {
        deadlineMs: 2_500,
        what: 'it drains',
      });
      await sendThere({ method: 'HEAD', target: '/_readiness' });
    } finally {
      await stopAndRemove(pressed);
    }
  }
}
