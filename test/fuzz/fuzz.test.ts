/**
 * Mutated requests of every encoding against a running server, for HEDGEROW_FUZZ_SECONDS (20): never a 5xx, never a
 * crash, every answer of a known shape, and every event of a 200 readable afterwards.
 *
 * A failure prints the seed; HEDGEROW_TEST_SEED=<seed> sends the same requests again.
 */
import { gzipSync } from 'node:zlib';
import { request as httpRequest, Agent } from 'node:http';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { SeededRandom } from '../harness/random.ts';
import {
  metric,
  post,
  sql,
  startHedgerow,
  stopAndRemove,
  testKeys,
  untilLoaded,
  type Hedgerow,
} from '../harness/hedgerow.ts';
import { nextV1Request, v1ProblemOf } from './v1-requests.ts';

const seconds = Number(process.env['HEDGEROW_FUZZ_SECONDS'] ?? 20);
const seed = Number(process.env['HEDGEROW_TEST_SEED'] ?? Date.now() % 1_000_000_000);
const IN_FLIGHT = 16;
const ANSWER_DEADLINE_MS = 15_000;

const random = new SeededRandom(seed);
const agent = new Agent({ keepAlive: true, maxSockets: IN_FLIGHT });
let server: Hedgerow;

beforeAll(async () => {
  server = await startHedgerow();
});
afterAll(async () => {
  agent.destroy();
  await stopAndRemove(server);
});

function pick<T>(items: readonly [T, ...T[]]): T {
  return items[random.below(items.length)] ?? items[0];
}

const words = [
  '',
  'a',
  '$set',
  'a.b',
  '\u0000',
  '😀',
  'ÿ',
  '__proto__',
  'x'.repeat(300),
  '"',
  '\\',
  '&',
  '+ =',
  '%',
] as const;
const scalars = [
  ...['0', '-0', '1', '1.0', '1e308', '5e-324', '-1e-400', '9007199254740993', '18446744073709551616', '1'.repeat(60)],
  ...['null', 'true', 'false', '""', '"\\u0000"', '"\\ud83d\\ude00"', '[]', '{}', '"2026-01-01"', '" "'],
] as [string, ...string[]];

function json(depth: number): string {
  const roll = random.below(10);
  if (depth <= 0 || roll < 5) return pick(scalars);
  if (roll < 7) return `[${Array.from({ length: random.below(5) }, () => json(depth - 1)).join(',')}]`;
  if (roll < 8) return JSON.stringify(pick(words));
  return `{${Array.from({ length: random.below(6) }, () => `${JSON.stringify(pick(words))}:${json(depth - 1)}`).join(',')}}`;
}

function field(name: string, usual: string): string {
  if (random.chance(0.04)) return '';
  const value = random.chance(0.06) ? json(2) : usual;
  const twice = random.chance(0.01) ? `,"${name}":${json(1)}` : '';
  return `,"${name}":${value}${twice}`;
}

function randomUuid(): string {
  const hex = Array.from({ length: 32 }, () => random.below(16).toString(16)).join('');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

const times = [
  '"2026-11-25T00:00:00Z"',
  '"0001-01-01"',
  '"9999-12-31T23:59:59Z"',
  '"1700000000"',
  '"no"',
  '""',
] as const;

/** An event of name `name`; without its closing brace's key, as it stands in a batch, when `key` is undefined. */
function eventText(name: string, key: string | undefined): string {
  let text = field('event', JSON.stringify(name)) + field('distinct_id', pick(['"d"', '7', '"ÿ"', '["a"]', '1.50']));
  if (key !== undefined) text += field(pick(['api_key', 'token', '$token']), JSON.stringify(key));
  if (random.chance(0.9)) text += field('properties', `{"p":${json(4)},${JSON.stringify(pick(words))}:${json(3)}}`);
  if (random.chance(0.3)) text += field('uuid', JSON.stringify(randomUuid()));
  if (random.chance(0.4)) text += field('timestamp', pick(times));
  if (random.chance(0.1)) text += field('offset', pick(['0', '-5', '9223372036854775807']));
  if (random.chance(0.2)) text += field(pick(['$set', '$set_once', '$unset']), json(2));
  return `{${text.slice(1)}}`;
}

interface Sent {
  readonly method: 'POST' | 'GET' | 'HEAD';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

function documentText(name: string): string {
  const key = pick([testKeys.public, testKeys.public, testKeys.public, testKeys.server, 'phc_unknown', '']);
  const count = random.chance(0.05) ? 200 : random.below(6);
  const events = (inner: string | undefined): string =>
    Array.from({ length: count }, () => (random.chance(0.05) ? json(2) : eventText(name, inner))).join(',');
  switch (random.below(8)) {
    case 0:
      return `[${events(key)}]`;
    case 1:
    case 2:
    case 3:
      return `{"api_key":${JSON.stringify(key)}${field('sent_at', '"2026-11-25T00:00:00Z"')}${field('historical_migration', 'true')},"batch":[${events(undefined)}]}`;
    case 4:
      return json(6);
    default:
      return eventText(name, key);
  }
}

/** A few bytes changed, cut out, repeated or added. */
function mutated(bytes: Buffer): Buffer {
  const at = random.below(bytes.length + 1);
  switch (random.below(4)) {
    case 0:
      return Buffer.concat([bytes.subarray(0, at), Buffer.from([random.below(256)]), bytes.subarray(at + 1)]);
    case 1:
      return bytes.subarray(0, at);
    case 2:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.max(0, at - random.below(20)))]);
    default:
      return Buffer.concat([Buffer.from(pick(['\ufeff', ' ', '\n', '[', '=', '&', '\0'])), bytes]);
  }
}

const FORM = 'application/x-www-form-urlencoded';

function nextRequest(name: string): Sent {
  let bytes: Buffer = Buffer.from(documentText(name));
  if (random.chance(0.15)) bytes = mutated(bytes);
  const headers: Record<string, string> = {};
  const query = new URLSearchParams();
  if (random.chance(0.3)) {
    bytes = gzipSync(bytes);
    const hint = pick(['header', 'query', 'magic', 'wrong']);
    if (hint === 'header') headers['Content-Encoding'] = pick(['gzip', 'gzip-js', 'br', 'lz64']);
    if (hint === 'query') query.set('compression', pick(['gzip', 'gzip-js', 'GZIP', 'base64', 'nonsense']));
  }
  if (random.chance(0.25)) bytes = Buffer.from(bytes.toString(pick(['base64', 'base64url'])));
  let method: Sent['method'] = 'POST';
  const carrier = random.below(10);
  if (carrier < 2) {
    headers['Content-Type'] = pick([FORM, `${FORM}; charset=UTF-8`]);
    bytes = Buffer.from(
      `${pick(['', 'ip=1&', 'compression=gzip&'])}data=${encodeURIComponent(bytes.toString('latin1'))}`,
    );
  } else if (carrier < 4 && bytes.length < 3_000) {
    query.set('data', bytes.toString('latin1'));
    bytes = Buffer.alloc(0);
    method = pick(['GET', 'POST', 'HEAD']);
  } else {
    headers['Content-Type'] = pick(['application/json', 'text/plain', FORM, 'nonsense/;;']);
  }
  if (random.chance(0.05)) bytes = mutated(bytes);
  if (random.chance(0.1)) query.set('beacon', pick(['1', '0', 'true']));
  if (random.chance(0.1)) query.set('strict', '1');
  if (random.chance(0.1)) query.set('_', pick(['1764028800000', '-1', 'x', '253402300799999']));
  if (random.chance(0.1))
    headers['Authorization'] = pick([`Bearer ${testKeys.personal}`, 'Bearer phx_no', 'Basic x', '']);
  if (random.chance(0.1))
    headers['X-Forwarded-For'] = pick(['1.2.3.4, 5.6.7.8', '::1', 'nonsense', '[::ffff:1.2.3.4]:80']);
  if (random.chance(0.1)) headers['X-Request-Id'] = pick([randomUuid(), 'nonsense']);
  const path = pick(['/capture/', '/batch/', '/e', '/i/v0/e/', '/track', '/engage/', '/i/v0/ai/batch']);
  const asked = query.toString();
  return { method, path: asked === '' ? path : `${path}?${asked}`, headers, body: bytes };
}

interface Got {
  readonly status: number;
  readonly text: string;
}

function send({ method, path, headers, body }: Sent): Promise<Got> {
  return new Promise((resolve, reject) => {
    const hasBody = method === 'POST';
    const sent = httpRequest(
      {
        host: '127.0.0.1',
        port: server.port,
        method,
        path,
        agent,
        headers: { ...headers, 'Content-Length': hasBody ? body.length : 0 },
      },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
      },
    );
    sent.setTimeout(ANSWER_DEADLINE_MS, () => sent.destroy(new Error(`no answer in ${ANSWER_DEADLINE_MS} ms`)));
    sent.on('error', reject);
    sent.end(hasBody ? body : undefined);
  });
}

/** 429: so many wrong personal keys come from this address, on purpose. */
const REFUSALS = new Set([400, 401, 403, 413, 429]);
const v1Parts = {
  random,
  json,
  uuid: randomUuid,
  mutated,
  keys: [testKeys.public, testKeys.public, testKeys.public, testKeys.server, 'phc_unknown'],
} as const;

/** @returns what is wrong with the answer, undefined when nothing is. */
function problemOf(sent: Sent, got: Got): string | undefined {
  if (sent.method === 'HEAD' || got.status === 204) {
    if (got.text !== '') return 'a body where none may be';
    return got.status === 200 || got.status === 204 || REFUSALS.has(got.status) ? undefined : `status ${got.status}`;
  }
  let body: unknown;
  try {
    body = JSON.parse(got.text);
  } catch {
    return 'no JSON';
  }
  if (sent.path.startsWith('/i/v1/')) return v1ProblemOf(got.status, body as object);
  const keys = Object.keys(body as object).join();
  if (got.status === 200) return keys === 'status' || keys === 'status,rejected' ? undefined : `keys ${keys}`;
  if (!REFUSALS.has(got.status)) return `status ${got.status}`;
  return keys === 'type,code,detail,attr' ? undefined : `keys ${keys}`;
}

function shown(sent: Sent): string {
  const { method, path, headers, body } = sent;
  return JSON.stringify({ seed, method, path, headers, bodyBase64: body.toString('base64').slice(0, 4_000) });
}

it(
  `takes ${seconds} s of mutated requests (HEDGEROW_TEST_SEED=${seed})`,
  { timeout: seconds * 1_000 + 120_000 },
  async () => {
    const endMs = Date.now() + seconds * 1_000;
    const problems: string[] = [];
    const perStatus = new Map<number, number>();
    let sentCount = 0;
    while (Date.now() < endMs && problems.length < 5) {
      const group = Array.from({ length: IN_FLIGHT }, () =>
        random.chance(0.3) ? nextV1Request(v1Parts, 'fuzzed') : nextRequest('fuzzed'),
      );
      sentCount += group.length;
      const answers = await Promise.all(
        group.map((sent) => send(sent).catch((error: unknown): Got => ({ status: 0, text: String(error) }))),
      );
      group.forEach((sent, i) => {
        const got = answers[i] ?? { status: 0, text: 'nothing' };
        perStatus.set(got.status, (perStatus.get(got.status) ?? 0) + 1);
        const problem = problemOf(sent, got);
        if (problem !== undefined) problems.push(`${problem}: ${got.text.slice(0, 300)}\n  ${shown(sent)}`);
      });
    }
    console.info(`seed ${seed}: ${sentCount} requests`, Object.fromEntries(perStatus));
    expect(problems).toEqual([]);
    expect(server.process.exitCode).toBeNull();
    expect(perStatus.get(200) ?? 0).toBeGreaterThan(sentCount / 20);

    // What was accepted is what the store has: the loader got past every one of them.
    await untilLoaded(server);
    const accepted = await metric(server, 'hedgerow_events_accepted_total');
    const duplicates = await metric(server, 'hedgerow_events_duplicate_total');
    const [[stored] = []] = await sql(server, 'select count() from events');
    expect(Number(stored) + duplicates).toBe(accepted);
    expect(server.output.stderr + server.output.stdout).not.toMatch(/"level":(50|60)/);
  },
);

it(
  `stores exactly the events that a 200 names as good (HEDGEROW_TEST_SEED=${seed})`,
  { timeout: 120_000 },
  async () => {
    const expected = new Map<string, number>();
    for (let i = 0; i < 200; i++) {
      const name = `sample ${i}`;
      const count = 1 + random.below(20);
      const events = Array.from({ length: count }, () => eventText(name, undefined));
      const answer = await post(
        `${server.url}/batch/`,
        `{"api_key":"${testKeys.public}","batch":[${events.join(',')}]}`,
      );
      if (answer.status !== 200) continue;
      const bad = new Set(
        ((answer.json as { rejected?: { index: number }[] }).rejected ?? []).map(({ index }) => index),
      );
      const good = events.filter((text, index) => !bad.has(index) && nameOf(text) === name);
      expected.set(name, good.length);
    }
    await untilLoaded(server);
    const rows = await sql(
      server,
      "select event, count() from events where startsWith(event, 'sample ') group by event",
    );
    const stored = new Map(rows.map((row): [string, number] => [String(row[0]), Number(row[1])]));
    for (const [name, count] of expected) expect([name, stored.get(name) ?? 0]).toEqual([name, count]);
  },
);

function nameOf(text: string): unknown {
  return (JSON.parse(text) as { event?: unknown }).event;
}
