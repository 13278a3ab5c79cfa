/** HTTP as hostile and clumsy clients write it: bytes on a socket, against a started server. */
import { rmSync } from 'node:fs';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ask,
  post,
  sql,
  startHedgerow,
  stopAndRemove,
  testKeys,
  untilCounted,
  type Hedgerow,
} from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';

const MIB = 1 << 20;
const MAX_BODY_BYTES = 20 * MIB;
const BODY_TIMEOUT_MS = 1_000;

let server: Hedgerow;

beforeAll(async () => {
  server = await startHedgerow({ args: ['--body-timeout-ms', String(BODY_TIMEOUT_MS)] });
});
afterAll(async () => {
  await stopAndRemove(server);
});

interface RawAnswer {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

interface Conversation {
  readonly answers: readonly RawAnswer[];
  /** The server ended the connection. */
  readonly isEnded: boolean;
  readonly error: string | undefined;
}

/** Final answers in `text`, one after the other; `100 Continue` is left out. `heads`: answers without a body. */
function answersIn(text: string, isHead: boolean): RawAnswer[] {
  const answers: RawAnswer[] = [];
  let at = 0;
  for (;;) {
    const headEnd = text.indexOf('\r\n\r\n', at);
    if (headEnd < 0) return answers;
    const [line = '', ...fields] = text.slice(at, headEnd).split('\r\n');
    const headers = new Map(
      fields.map((field): [string, string] => {
        const colon = field.indexOf(':');
        return [field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim()];
      }),
    );
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(line)?.[1]);
    const bodyStart = headEnd + 4;
    const length = isHead || status === 100 || status === 204 ? 0 : Number(headers.get('content-length') ?? 0);
    if (text.length < bodyStart + length) return answers;
    if (status !== 100) answers.push({ status, headers, body: text.slice(bodyStart, bodyStart + length) });
    at = bodyStart + length;
  }
}

interface TalkOptions {
  /** Resolves when so many answers are there, or the connection ends. */
  readonly answers?: number;
  readonly isHead?: boolean;
  /** Half-closes behind the last piece. */
  readonly isEnding?: boolean;
}

function talk(pieces: readonly (string | Uint8Array)[], options: TalkOptions = {}): Promise<Conversation> {
  const { answers: wanted = 1, isHead = false, isEnding = false } = options;
  return new Promise((resolve) => {
    const socket = connect(server.port, '127.0.0.1');
    let text = '';
    const finish = (isEnded: boolean, error?: string): void => {
      clearTimeout(deadline);
      socket.destroy();
      resolve({ answers: answersIn(text, isHead), isEnded, error });
    };
    const deadline = setTimeout(() => finish(false, 'no end in 30 s'), 30_000);
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      text += chunk;
      if (answersIn(text, isHead).length >= wanted) finish(false);
    });
    socket.on('end', () => finish(true));
    socket.on('error', (error: NodeJS.ErrnoException) => finish(true, error.code));
    socket.on('connect', () => {
      for (const piece of pieces) socket.write(piece);
      if (isEnding) socket.end();
    });
  });
}

const eventJson = (name: string): string =>
  JSON.stringify({ api_key: testKeys.public, event: name, distinct_id: 'raw' });

interface RequestParts {
  readonly method?: string;
  readonly target?: string;
  readonly headers?: readonly string[];
  readonly version?: string;
}

function request(body: string, parts: RequestParts = {}): string {
  const { method = 'POST', target = '/e/', headers = [], version = 'HTTP/1.1' } = parts;
  const fields = ['Host: hedgerow', `Content-Length: ${Buffer.byteLength(body)}`, ...headers];
  return `${method} ${target} ${version}\r\n${fields.join('\r\n')}\r\n\r\n${body}`;
}

function chunked(body: string): string {
  const length = Buffer.byteLength(body).toString(16);
  return `POST /e/ HTTP/1.1\r\nHost: hedgerow\r\nTransfer-Encoding: chunked\r\n\r\n${length}\r\n${body}\r\n0\r\n\r\n`;
}

const statuses = (conversation: Conversation): readonly number[] => conversation.answers.map(({ status }) => status);
const codeOf = (answer: RawAnswer | undefined): unknown =>
  (JSON.parse(answer?.body ?? 'null') as { code?: unknown } | null)?.code;

/** Every refusal is an envelope of ours. */
function expectEnvelope(answer: RawAnswer | undefined): void {
  expect(JSON.parse(answer?.body ?? 'null')).toEqual({
    type: expect.any(String) as string,
    code: expect.any(String) as string,
    detail: expect.any(String) as string,
    attr: null,
  });
}

describe('a body', () => {
  it('that stalls is 408 with Retry-After, and the connection ends', async () => {
    const startedMs = Date.now();
    const stalled = await talk([request('x'.repeat(500)).slice(0, -100)], { answers: 2 });
    expect(statuses(stalled)).toEqual([408]);
    expect(codeOf(stalled.answers[0])).toBe('body_timeout');
    expect(stalled.answers[0]?.headers.get('retry-after')).toBe('1');
    expect(stalled.isEnded).toBe(true);
    expect(Date.now() - startedMs).toBeLessThan(BODY_TIMEOUT_MS + 3_000);
  });

  it.each<[string, (body: string) => string]>([
    ['with a Content-Length', (body) => request(body)],
    ['in chunks', chunked],
  ])('over the limit %s is 413, and the connection goes on', async (_name, write) => {
    const large = 'x'.repeat(MAX_BODY_BYTES + 1);
    const both = await talk([write(large), request(eventJson('behind a 413'))], { answers: 2 });
    expect(statuses(both)).toEqual([413, 200]);
    expect(codeOf(both.answers[0])).toBe('payload_too_large');
  });

  it('of twice the limit still gets its 413 on a usable connection', async () => {
    const both = await talk([request('x'.repeat(2 * MAX_BODY_BYTES)), request(eventJson('behind a 413'))], {
      answers: 2,
    });
    expect(statuses(both)).toEqual([413, 200]);
  });

  it('that announces 10 GB and sends little is 413 within the drain time', async () => {
    const answer = await talk(['POST /e/ HTTP/1.1\r\nHost: hedgerow\r\nContent-Length: 10000000000\r\n\r\n{"event":']);
    expect(statuses(answer)).toEqual([413]);
  });

  it('of exactly the limit is read', async () => {
    const text = `[${' '.repeat(MAX_BODY_BYTES - 2)}]`;
    expect(codeOf((await talk([request(text)])).answers[0])).toBe('empty_batch');
  });

  it('in chunks of one byte is read', async () => {
    const body = eventJson('bytewise');
    const pieces = [...body].map((byte) => `1\r\n${byte}\r\n`).join('');
    const head = 'POST /e/ HTTP/1.1\r\nHost: hedgerow\r\nTransfer-Encoding: chunked\r\n\r\n';
    expect(statuses(await talk([`${head}${pieces}0\r\n\r\n`]))).toEqual([200]);
    await untilCounted(server, "event = 'bytewise'", 1);
  });

  it('that ends in the middle stores nothing', async () => {
    const body = eventJson('cut short');
    const head = `POST /e/ HTTP/1.1\r\nHost: hedgerow\r\nContent-Length: ${body.length + 50}\r\n\r\n`;
    const cut = await talk([head + body], { isEnding: true, answers: 2 });
    expect(statuses(cut).filter((status) => status < 400)).toEqual([]);
    await talk([request(eventJson('after the cut'))]);
    await untilCounted(server, "event = 'after the cut'", 1);
    expect(await sql(server, "select count() from events where event = 'cut short'")).toEqual([[0]]);
  });
});

describe('framing that lies is refused, and ends the connection', () => {
  const body = eventJson('smuggled');
  const head = 'POST /e/ HTTP/1.1\r\nHost: hedgerow\r\n';
  it.each<[string, string]>([
    ['two lengths', `${head}Content-Length: 5\r\nContent-Length: 6\r\n\r\n${body}`],
    ['a negative length', `${head}Content-Length: -5\r\n\r\n${body}`],
    ['a length of 23 digits', `${head}Content-Length: 99999999999999999999999\r\n\r\n${body}`],
    ['a length beside chunks', `${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n`],
    ['a chunk size that is no number', `${head}Transfer-Encoding: chunked\r\n\r\nzz\r\n${body}\r\n0\r\n\r\n`],
    ['a request line of one word', 'GARBAGE\r\n\r\n'],
    ['HTTP/2 without asking', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['an unknown version', 'GET / HTTP/9.9\r\n\r\n'],
    ['a header line without a colon', 'GET / HTTP/1.1\r\nHost: hedgerow\r\nnonsense\r\n\r\n'],
    ['a folded header with NUL', 'GET / HTTP/1.1\r\nHost: hedge\0row\r\n\r\n'],
    ['64 KiB of headers', `GET / HTTP/1.1\r\nHost: hedgerow\r\n${'X-Fill: aaaaaaaaaaaaaaaa\r\n'.repeat(2600)}\r\n`],
    ['a target of 64 KiB', `GET /e/?data=${'a'.repeat(65_536)} HTTP/1.1\r\nHost: hedgerow\r\n\r\n`],
  ])('%s', async (_name, bytes) => {
    const refused = await talk([bytes], { answers: 2 });
    expect(statuses(refused)).toEqual([400]);
    expectEnvelope(refused.answers[0]);
    expect(refused.isEnded).toBe(true);
    expect((await ask(`${server.url}/_liveness`)).status).toBe(200);
  });

  it('a length that is too small makes the rest no event', async () => {
    const short = await talk([`${head}Content-Length: 10\r\n\r\n${body}`], { answers: 3 });
    expect(statuses(short).filter((status) => status < 400)).toEqual([]);
  });
});

describe('requests behind one another on one connection', () => {
  it('are answered in order', async () => {
    const pieces = [request(eventJson('p1')), request('', { method: 'GET', target: '/nowhere' }), request('{}')];
    expect(statuses(await talk([pieces.join('')], { answers: 3 }))).toEqual([200, 404, 400]);
  });

  it('go on after every refusal', async () => {
    const refused = [request(''), request('{"event":'), request('{}', { method: 'PUT' }), request('[]')];
    const all = await talk([...refused, request(eventJson('after refusals'))], { answers: 5 });
    expect(statuses(all)).toEqual([400, 400, 405, 400, 200]);
  });

  it('of which the second is garbage: the first one’s 200 arrives before the 400', async () => {
    const both = await talk([`${request(eventJson('before garbage'))}GARBAGE\r\n\r\n`], { answers: 2 });
    expect(statuses(both)).toEqual([200, 400]);
  });

  it('200 at once are all stored', async () => {
    const all = Array.from({ length: 200 }, () => request(eventJson('pipelined'))).join('');
    expect(new Set(statuses(await talk([all], { answers: 200 })))).toEqual(new Set([200]));
    await untilCounted(server, "event = 'pipelined'", 200);
  });
});

describe('what HTTP allows', () => {
  it('Expect: 100-continue', async () => {
    expect(statuses(await talk([request(eventJson('expects'), { headers: ['Expect: 100-continue'] })]))).toEqual([200]);
  });

  it('HEAD has no body', async () => {
    const target = `/e/?data=${encodeURIComponent(eventJson('by head'))}`;
    const head = `HEAD ${target} HTTP/1.1\r\nHost: hedgerow\r\n\r\n`;
    const both = await talk([head + head], { answers: 2, isHead: true });
    expect(statuses(both)).toEqual([200, 200]);
  });

  it('HTTP/1.0, after which the connection ends', async () => {
    const old = await talk([request(eventJson('old'), { version: 'HTTP/1.0' })], { answers: 2 });
    expect(statuses(old)).toEqual([200]);
    expect(old.isEnded).toBe(true);
  });

  it('a target in absolute form (RFC 9112 3.2.2)', async () => {
    expect(statuses(await talk([request(eventJson('absolute'), { target: `${server.url}/e/` })]))).toEqual([200]);
  });

  it.each(['//e/', '/e//', '/../e/', '/%65/', '/E/', '/e/x', '/api/projectsfoo'])(
    'the path %s is none of ours: 404',
    async (target) => {
      const answer = await talk([request(eventJson('nowhere'), { target })]);
      expect(statuses(answer)).toEqual([404]);
      expectEnvelope(answer.answers[0]);
    },
  );

  it('a request without Host is refused with an envelope', async () => {
    const answer = await talk(['POST /e/ HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}']);
    expect(statuses(answer)).toEqual([400]);
    expectEnvelope(answer.answers[0]);
  });

  it('a refusal at the HTTP level has a request id, as every answer', async () => {
    const answer = await talk(['GARBAGE\r\n\r\n']);
    expect(answer.answers[0]?.headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
  });
});

it('clients that leave in the middle of a body leave nothing behind', async () => {
  await Promise.all(
    Array.from(
      { length: 50 },
      () =>
        new Promise<void>((resolve) => {
          const socket = connect(server.port, '127.0.0.1', () => {
            socket.write(request(eventJson('left')).slice(0, -5), () => {
              socket.resetAndDestroy();
              resolve();
            });
          });
        }),
    ),
  );
  expect((await post(`${server.url}/e/`, eventJson('stayed'))).status).toBe(200);
  await untilCounted(server, "event = 'stayed'", 1);
  expect(await sql(server, "select count() from events where event = 'left'")).toEqual([[0]]);
});

describe('beacon=1 and strict', () => {
  const batch = (...events: object[]): string => JSON.stringify({ api_key: testKeys.public, batch: events });
  const good = { event: 'b', distinct_id: 'd' };
  const bad = { event: 'b' };
  it.each<[string, string, string, number]>([
    ['all good', 'beacon=1', batch(good), 204],
    ['one bad', 'beacon=1', batch(good, bad), 204],
    ['all bad', 'beacon=1', batch(bad), 400],
    ['performance events alone', 'beacon=1', batch({ event: '$performance_event' }), 200],
    ['a strict beacon with one bad', 'beacon=1&strict=1', batch(good, bad), 400],
    ['beacon=0', 'beacon=0', batch(good), 200],
    ['beacon=2', 'beacon=2', batch(good), 200],
    ['beacon=true', 'beacon=true', batch(good), 400],
    ['an empty beacon', 'beacon=', batch(good), 400],
    ['two beacons', 'beacon=1&beacon=1', batch(good), 400],
    ['strict, all good', 'strict=1', batch(good, good), 200],
    ['strict, one bad', 'strict=1', batch(good, bad), 400],
  ])('%s', async (_name, query, body, status) => {
    expect((await post(`${server.url}/batch/?${query}`, body)).status).toBe(status);
  });
});

describe('a small body that inflates to much does not stop the others', () => {
  /** Longest time in which a readiness check was not answered, while `work` ran. */
  async function longestSilenceMs(own: Hedgerow, work: Promise<unknown>): Promise<number> {
    let isOver = false;
    void work.finally(() => (isOver = true)).catch(() => undefined);
    let longestMs = 0;
    for (;;) {
      const startedMs = performance.now();
      await ask(`${own.url}/_readiness`, { signal: AbortSignal.timeout(30_000) });
      longestMs = Math.max(longestMs, performance.now() - startedMs);
      if (isOver) return longestMs;
    }
  }

  it.each<[string, () => string]>([
    ['spaces', () => ' '.repeat(90 * MIB)],
    ['an array of 40 million numbers', () => `[1${',1'.repeat(40_000_000)}]`],
  ])('%s', async (_name, text) => {
    const own = await startHedgerow({ ownGroup: true });
    try {
      const body = gzipSync(text(), { level: 9 });
      const answer = post(`${own.url}/e/`, body);
      expect(await longestSilenceMs(own, answer)).toBeLessThan(3_000);
      expect((await answer).status).toBeGreaterThanOrEqual(400);
      expect(own.process.exitCode).toBeNull();
      await until(async () => (await ask(`${own.url}/_liveness`)).status === 200, {
        deadlineMs: 5_000,
        what: 'the server is alive',
      });
    } finally {
      if (own.process.exitCode === null && own.process.signalCode === null) await own.killGroup();
      rmSync(own.dataDir, { recursive: true, force: true });
    }
  });
});
