/** Rejected events, from the request that brought them to the one that stores them, through the real command. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { createServer, request as httpRequest, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  ask,
  bearer,
  bin,
  cleanEnv,
  freshFolder,
  metric,
  post,
  sql,
  startHedgerow,
  stopAndRemove,
  testKeys,
  untilLoaded,
  type Hedgerow,
} from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';

interface Listed {
  readonly request_id: string;
  readonly index: number;
  readonly received_at: string;
  readonly code: string;
  readonly detail: string;
  readonly event: string;
  readonly distinct_id: string;
  readonly uuid: string | null;
  readonly retried: boolean;
  readonly raw: string;
}

interface Report {
  readonly dry_run: boolean;
  readonly codes: readonly {
    readonly code: string;
    readonly sent?: number;
    readonly stored?: number;
    readonly rejected?: number;
    readonly would_send?: number;
    readonly not_sent: number;
    readonly reasons: readonly { readonly code: string; readonly count: number; readonly detail: string }[];
  }[];
}

interface Ran {
  readonly exitCode: number | null;
  readonly out: string;
  readonly err: string;
}

let server: Hedgerow;
beforeAll(async () => {
  server = await startHedgerow({ args: ['--max-event-bytes', '5000'] });
});
afterAll(async () => {
  await stopAndRemove(server);
});

function spawnCli(
  on: { readonly dataDir: string },
  words: readonly string[],
): { child: ChildProcess; ran: Promise<Ran> } {
  const env = cleanEnv({ HEDGEROW_SKIP_BUILD: '1', NO_COLOR: '1' });
  const child = spawn(process.execPath, [bin, 'rejections', ...words, '--data-dir', on.dataDir], { env });
  const texts = { out: '', err: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (texts.out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (texts.err += text));
  const ran = new Promise<Ran>((resolve) => child.once('close', (exitCode) => resolve({ exitCode, ...texts })));
  return { child, ran };
}

function cli(on: { readonly dataDir: string }, ...words: readonly string[]): Promise<Ran> {
  return spawnCli(on, words).ran;
}

async function listed(on: Hedgerow, ...words: readonly string[]): Promise<readonly Listed[]> {
  await untilLoaded(on);
  const { exitCode, out, err } = await cli(on, 'list', '--json', '--limit', '10000', ...words);
  expect({ exitCode, err }).toEqual({ exitCode: 0, err: '' });
  const { results, count } = JSON.parse(out) as { results: Listed[]; count: number };
  expect(count).toBe(results.length);
  return results;
}

async function retried(on: Hedgerow, exitCode: number, ...words: readonly string[]): Promise<Report['codes']> {
  await untilLoaded(on);
  const ran = await cli(on, 'retry', '--json', ...words);
  if (ran.exitCode !== exitCode) throw new Error(`exit ${ran.exitCode}: ${ran.err}${ran.out}`);
  await untilLoaded(on);
  return (JSON.parse(ran.out) as Report).codes;
}

/** @returns the request's id */
async function sent(
  on: Hedgerow,
  body: string,
  path = '/batch/',
  headers: Record<string, string> = {},
): Promise<string> {
  const answer = await post(`${on.url}${path}`, body, headers);
  return answer.headers.get('x-request-id') ?? '';
}

function batch(...events: readonly string[]): string {
  return `{"api_key":"${testKeys.public}","batch":[${events.join(',')}]}`;
}

function batchSentAt(sentAt: string, ...events: readonly string[]): string {
  return batch(...events).replace('{', `{"sent_at":"${sentAt}",`);
}

const v1Headers = (requestId: string): Record<string, string> => ({
  Authorization: `Bearer ${testKeys.public}`,
  'User-Agent': 'test',
  'PostHog-Sdk-Info': 'test/1.0',
  'PostHog-Attempt': '1',
  'PostHog-Request-Id': requestId,
  'PostHog-Request-Timestamp': new Date().toISOString(),
});

/** As sent: the white space, the number's form and the doubled key must survive. */
const V0: readonly (readonly [code: string, raw: string])[] = [
  ['invalid_event', '5'],
  ['invalid_event', '{"event": 7, "distinct_id":"d"}'],
  ['missing_event_name', '{"distinct_id":"d","n": 1.0}'],
  ['empty_event_name', '{"event":"","distinct_id":"d","properties":{"a": 9007199254740993,"a":2}}'],
  ['missing_distinct_id', '{ "event":"nobody" , "properties":{"k":"näme \\u00e9"}}'],
  ['invalid_uuid', '{"event":"e","distinct_id":"d","uuid":"nonsense"}'],
  ['invalid_properties', '{"event":"e","distinct_id":"d","properties":null}'],
  ['invalid_cookieless_mode', '{"event":"e","distinct_id":"d","properties":{"$cookieless_mode":"yes"}}'],
  ['event_too_large', `{"event":"large","distinct_id":"d","properties":{"x":"${'y'.repeat(6000)}"}}`],
];

const v1Event = (rest: string): string =>
  `{"uuid":"${randomUUID()}","timestamp":"2026-01-31T12:00:00Z","distinct_id":"d","event":"e",${rest}}`;
const V1: readonly (readonly [code: string, raw: string])[] = [
  ['missing_event_name', v1Event('"session_id":"s"').replace('"event":"e"', '"event":""')],
  ['event_name_too_long', v1Event('"session_id":"s"').replace('"event":"e"', `"event":"${'e'.repeat(500)}"`)],
  ['missing_distinct_id', v1Event('"session_id":"s"').replace('"distinct_id":"d"', '"distinct_id":" "')],
  ['distinct_id_too_large', v1Event('"session_id":"s"').replace('"d"', `"${'d'.repeat(500)}"`)],
  ['invalid_event_timestamp', v1Event('"session_id":"s"').replace('2026-01-31T', '31 January 2026 ')],
  ['malformed_event_properties', v1Event('"properties": [1.0]')],
  ['invalid_options', v1Event('"options":{"cookieless_mode":"perhaps"}')],
  ['cookieless_id_without_mode', v1Event('"session_id":"s"').replace('"d"', '"$posthog_cookieless"')],
];

describe('hedgerow rejections', () => {
  it('lists each code of V0 with its reason and the event as sent, and no $performance_event', async () => {
    const performance = '{"event":"$performance_event","distinct_id":"d"}';
    const request = await sent(server, batch(...V0.map(([, raw]) => raw), performance));
    const rows = (await listed(server, '--request', request)).toSorted((a, b) => a.index - b.index);
    expect(rows.map(({ index, code, raw }) => [index, code, raw])).toEqual(V0.map(([code, raw], i) => [i, code, raw]));
    for (const { detail, received_at: at, retried: isRetried } of rows) {
      expect(detail.length).toBeGreaterThan(20);
      expect(Math.abs(Date.now() - Date.parse(at))).toBeLessThan(60_000);
      expect(isRetried).toBe(false);
    }
    expect(rows[4]).toMatchObject({ event: 'nobody', distinct_id: '', uuid: null });

    const raw = await cli(server, 'list', '--raw', '--request', request);
    expect(raw.out.trimEnd().split('\n').toSorted()).toEqual(V0.map(([, text]) => text).toSorted());
    const one = await listed(server, '--request', request, '--index', '3');
    expect(one.map(({ code }) => code)).toEqual(['empty_event_name']);
  });

  it('lists each drop of V1', async () => {
    const requestId = randomUUID();
    const body = `{"created_at":"${new Date().toISOString()}","batch":[${V1.map(([, raw]) => raw).join(',')}]}`;
    await sent(server, body, '/i/v1/analytics/events/', v1Headers(requestId));
    const rows = (await listed(server, '--request', requestId)).toSorted((a, b) => a.index - b.index);
    expect(rows.map(({ index, code, raw }) => [index, code, raw])).toEqual(V1.map(([code, raw], i) => [i, code, raw]));
  });

  it('prints a table for people, newest first, within what was asked for', async () => {
    const request = await sent(
      server,
      batch('{"event":"first","$distinct_id":""}', '{"event":"","distinct_id":"ann"}'),
    );
    await untilLoaded(server);
    const all = await cli(server, '--request', request);
    expect(all.exitCode).toBe(0);
    expect(all.out).toMatch(/^when +code +detail +event +distinct_id +request +index\n-/);
    expect(all.out).toMatch(new RegExp(`Z  empty_event_name +event submitted .* ann +${request} +1\n`));
    expect(all.out).toMatch(new RegExp(`Z  missing_distinct_id +event submitted .* first +${request} +0\n`));
    expect(all.err).toBe('2 of 2 rejected events\n');
    const limited = await cli(server, 'list', '--request', request, '--limit', '1');
    expect(limited.out.split('\n')).toHaveLength(4);
    expect(limited.err).toBe('1 of 2 rejected events; --limit 2 shows all\n');
    expect(await listed(server, '--request', request, '--after', '-1h', '--code', 'empty_event_name')).toHaveLength(1);
    expect(await listed(server, '--request', request, '--before', '-1h')).toEqual([]);
  });

  it('pages through more than one answer may have', async () => {
    const request = await sent(server, batch(...Array.from({ length: 2345 }, (_, i) => `{"event":"","n":${i}}`)));
    const rows = await listed(server, '--request', request);
    expect(new Set(rows.map(({ raw }) => raw)).size).toBe(2345);
    await untilLoaded(server);
    const limited = await cli(server, 'list', '--request', request, '--raw', '--limit', '1500');
    expect(limited.out.trimEnd().split('\n')).toHaveLength(1500);
  });

  it.each([
    [['list', '--limit', '0']],
    [['list', '--index', '1']],
    [['list', '--request', 'x']],
    [['list', '--raw', '--json']],
    [['retry', '--set', 'uuid=x']],
    [['retry', '--set-property', 'x']],
  ])('answers %j with exit 2', async (words) => {
    const { exitCode, out, err } = await cli(server, ...words);
    expect({ exitCode, out }).toEqual({ exitCode: 2, out: '' });
    expect(err).toMatch(/--/);
  });
});

describe('hedgerow rejections retry', () => {
  it('stores each event once, in its own time, as it would have been at first', async () => {
    const uuid = randomUUID();
    const sentAt = new Date(Date.now() - 3_600_000).toISOString();
    const request = await sent(
      server,
      batchSentAt(
        sentAt,
        `{"event":"r1","uuid":"${uuid}","timestamp":"${sentAt}","properties":{"big":9007199254740993,"f":1.50}}`,
        '{"event":"r2","offset":120000}',
        '{"event":"r3"}',
        `{"event":"r4","timestamp":"2026-01-01T00:00:00Z","properties":{"$ignore_sent_at":true}}`,
        '{"event":"good","distinct_id":"d"}',
      ).replace('{', '{"historical_migration":true,'),
      '/batch/',
      { 'X-Forwarded-For': '203.0.113.9' },
    );
    const before = await listed(server, '--request', request);
    const receivedMs = Date.parse(before[0]?.received_at ?? '');
    const words = ['--request', request, '--set', 'distinct_id=ann', '--set-property', 'mended=true'];
    expect(await retried(server, 0, ...words, '--dry-run')).toEqual([
      { code: 'missing_distinct_id', would_send: 4, not_sent: 0, reasons: [] },
    ]);
    expect(await listed(server, '--request', request)).toEqual(before);

    expect(await retried(server, 0, ...words)).toEqual([
      { code: 'missing_distinct_id', sent: 4, stored: 4, rejected: 0, not_sent: 0, reasons: [] },
    ]);
    const stored = async (): Promise<unknown[][]> =>
      sql(
        server,
        `select event, toUnixTimestamp64Milli(timestamp), ip, authenticated, is_historical, properties.mended
         from events where event in ('r1', 'r2', 'r3', 'r4') order by event`,
      );
    const times = [receivedMs, receivedMs - 120_000, receivedMs, Date.parse('2026-01-01T00:00:00Z')];
    const expected = times.map((timeMs, i) => [`r${i + 1}`, timeMs, '203.0.113.9', false, true, true]);
    expect(await stored()).toEqual(expected);
    const event = await ask(`${server.url}/api/projects/@current/events/${uuid}/`, { headers: bearer });
    expect(event.text).toContain('"big":9007199254740993,"f":1.50,"mended":true');
    expect(event.json).toMatchObject({ status: 'stored', distinct_id: 'ann' });

    // Again: nothing is left to send, and what is sent all the same is stored already.
    expect(await retried(server, 0, ...words)).toEqual([]);
    expect(await listed(server, '--request', request)).toEqual([]);
    const all = await listed(server, '--request', request, '--all');
    expect(all).toEqual(before.map((each) => ({ ...each, retried: true })));
    expect(await stored()).toEqual(expected);
  });

  it('sends V1’s drops through V1', async () => {
    const requestId = randomUUID();
    const raw = v1Event('"session_id":"mine","options":{"product_tour_id":"tour"},"properties":{"a":1.0}');
    const body = `{"created_at":"${new Date().toISOString()}","batch":[${raw.replace('"event":"e"', '"event":""')}]}`;
    const sentMs = Date.now() - 3_600_000;
    const headers = { ...v1Headers(requestId), 'PostHog-Request-Timestamp': new Date(sentMs).toISOString() };
    await sent(server, body, '/i/v1/analytics/events/', headers);
    const receivedMs = Date.parse((await listed(server, '--request', requestId))[0]?.received_at ?? '');
    const refused = await retried(server, 1, '--request', requestId);
    expect(refused).toMatchObject([
      { code: 'missing_event_name', rejected: 1, reasons: [{ code: 'missing_event_name' }] },
    ]);
    expect(await retried(server, 0, '--request', requestId, '--set', 'event=v1 mended')).toMatchObject([{ stored: 1 }]);
    const columns =
      'toUnixTimestamp64Milli(timestamp), properties.$session_id, properties.$product_tour_id, properties.$lib, lib';
    expect(await sql(server, `select ${columns} from events where event = 'v1 mended'`)).toEqual([
      // Corrected by the clock of the request that brought it first (protocol.md 8.2).
      [Date.parse('2026-01-31T12:00:00Z') + receivedMs - sentMs, 'mine', 'tour', null, ''],
    ]);
    expect(await listed(server, '--request', requestId)).toEqual([]);
  });

  it('stores what a strict request took down with it, and /engage as what it is', async () => {
    const strict = await sent(
      server,
      batch('{"event":""}', '{"event":"taken down","distinct_id":"d"}'),
      '/batch/?strict=1',
    );
    const engage = await sent(server, `{"$token":"${testKeys.public}","$set":{"plan":"pro"}}`, '/engage/');
    expect((await listed(server, '--request', strict)).map(({ code }) => code).toSorted()).toEqual([
      'empty_event_name',
      'refused_with_batch',
    ]);
    await retried(server, 0, '--request', strict, '--code', 'refused_with_batch');
    await retried(server, 0, '--request', engage, '--set', 'distinct_id=engaged');
    const events = await sql(
      server,
      "select event, properties.$set.plan from events where event = 'taken down' or distinct_id = 'engaged' order by event",
    );
    expect(events).toEqual([
      ['$identify', 'pro'],
      ['taken down', null],
    ]);
  });

  it('says why what was refused again was, and keeps it listed once', async () => {
    const request = await sent(server, batch('{"event":"","n":1}', '{"event":"a"}', '{"event":"b"}', '7'));
    const before = await listed(server, '--request', request);
    const again = await retried(server, 1, '--request', request);
    expect(again.toSorted((a, b) => (a.code < b.code ? -1 : 1))).toMatchObject([
      { code: 'empty_event_name', sent: 1, stored: 0, rejected: 1, reasons: [{ code: 'empty_event_name', count: 1 }] },
      { code: 'invalid_event', sent: 0, not_sent: 1, reasons: [{ code: 'not_sent', detail: 'it is no JSON object' }] },
      {
        code: 'missing_distinct_id',
        rejected: 2,
        reasons: [{ code: 'missing_distinct_id', count: 2, detail: expect.stringContaining('without a distinct_id') }],
      },
    ]);
    expect(await listed(server, '--request', request)).toEqual(before);
    const everywhere = await listed(server, '--after', before[0]?.received_at ?? '', '--code', 'missing_distinct_id');
    expect(everywhere.filter(({ request_id: id }) => id !== request)).toEqual([]);
    // One good one among them, and the answer is a 200 that names the others.
    const mixed = await retried(server, 1, '--request', request, '--set', 'distinct_id=ann');
    expect(mixed.find(({ code }) => code === 'missing_distinct_id')).toMatchObject({ stored: 2, rejected: 0 });
    expect(mixed.find(({ code }) => code === 'empty_event_name')).toMatchObject({ stored: 0, rejected: 1 });
  });

  it('lets a personal key vouch for those alone that one had vouched for', async () => {
    const vouched = await sent(
      server,
      batch('{"event":"vouched"}').replace(testKeys.public, testKeys.server),
      '/batch/',
      bearer,
    );
    const anybody = await sent(server, batch('{"event":"anybody"}'));
    for (const request of [vouched, anybody]) {
      await retried(server, 0, '--request', request, '--set', 'distinct_id=x');
    }
    const events = "select event, authenticated from events where event in ('vouched', 'anybody') order by event";
    expect(await sql(server, events)).toEqual([
      ['anybody', false],
      ['vouched', true],
    ]);
  });

  it('sends no more than was asked for', async () => {
    const request = await sent(server, batch(...Array.from({ length: 5 }, () => '{"event":"few"}')));
    await retried(server, 0, '--request', request, '--set', 'distinct_id=x', '--limit', '2');
    expect(await listed(server, '--request', request)).toHaveLength(3);
    await retried(server, 0, '--request', request, '--set', 'distinct_id=x', '--index', '4');
    await retried(server, 0, '--request', request, '--set', 'distinct_id=x');
    expect(await sql(server, "select count(), uniqExact(uuid) from events where event = 'few'")).toEqual([[5, 5]]);
  });

  it('stores what was too large once the limit is raised', async () => {
    const dataDir = freshFolder();
    onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }));
    const small = await startHedgerow({ dataDir, args: ['--max-event-bytes', '1024'] });
    const large = (i: number): string =>
      `{"event":"large","distinct_id":"d${i}","properties":{"x":"${'y'.repeat(90_000)}"}}`;
    await sent(small, batch(...Array.from({ length: 30 }, (_, i) => large(i))));
    expect(await listed(small)).toHaveLength(30);
    await small.stop();
    const raised = await startHedgerow({ dataDir });
    expect(await retried(raised, 0, '--code', 'event_too_large')).toMatchObject([{ sent: 30, stored: 30 }]);
    const events = 'select count(), uniqExact(distinct_id), min(length(toString(properties.x))) from events';
    expect(await sql(raised, events)).toEqual([[30, 30, 90_000]]);
    await raised.stop();
  });

  it('asks for the scope admin before anything is sent', async () => {
    const request = await sent(server, batch('{"event":"scoped"}'));
    await untilLoaded(server);
    const key = await personalKey('query,capture');
    const words = ['--request', request, '--url', server.url, '--key', key];
    expect(JSON.parse((await cli(server, 'list', '--json', ...words)).out)).toMatchObject({ count: 1 });
    const refused = await cli(server, 'retry', '--set', 'distinct_id=x', ...words);
    expect(refused.exitCode).toBe(1);
    expect(refused.err).toMatch(/scope "?admin/);
    await untilLoaded(server);
    expect(await sql(server, "select count() from events where event = 'scoped'")).toEqual([[0]]);
  });

  it('shows and sends nothing of another project', async () => {
    const made = await keys('projects', 'create', randomUUID());
    const id = String((made as { id: number }).id);
    await keys('keys', 'create', '--kind', 'public', '--project', id);
    const key = await personalKey('query,capture,admin', '--project', id);
    const request = await sent(server, batch('{"event":"theirs"}'));
    await untilLoaded(server);
    const other = ['--url', server.url, '--key', key];
    expect(JSON.parse((await cli(server, 'list', '--all', '--json', ...other)).out)).toEqual({ results: [], count: 0 });
    expect(JSON.parse((await cli(server, 'list', '--json', '--request', request, ...other)).out)).toMatchObject({
      count: 0,
    });
    const refused = await cli(server, 'list', '--project', '1', ...other);
    expect([refused.exitCode, refused.out]).toEqual([1, '']);
    const nothing = await cli(server, 'retry', '--set', 'distinct_id=x', '--json', ...other);
    expect(JSON.parse(nothing.out)).toEqual({ dry_run: false, codes: [] });
    // A note of another project hides nothing here.
    const [own] = await listed(server, '--request', request);
    const stored = [{ request_id: request, index: 0, received_at: own?.received_at, retry_request_id: request }];
    const url = `${server.url}/api/projects/${id}/rejections/retries/`;
    expect((await post(url, { requests: [request], stored }, { Authorization: `Bearer ${key}` })).status).toBe(200);
    expect(await listed(server, '--request', request)).toHaveLength(1);
  });
});

describe('a retry that is cut off', () => {
  const COUNT = 250;

  async function rejectedIn(on: Hedgerow): Promise<void> {
    await sent(on, batch(...Array.from({ length: COUNT }, (_, i) => `{"event":"cut","n":${i}}`)));
    expect(await listed(on)).toHaveLength(COUNT);
  }

  async function expectEachOnce(on: Hedgerow): Promise<void> {
    await untilLoaded(on);
    expect(await sql(on, "select count(), uniqExact(uuid) from events where event = 'cut'")).toEqual([[COUNT, COUNT]]);
    expect(await listed(on)).toEqual([]);
  }

  it('by kill -9 of the command, at any of its requests, loses nothing and doubles nothing', async () => {
    const running = await startHedgerow();
    onTestFinished(() => stopAndRemove(running));
    await rejectedIn(running);
    let kill: { readonly at: number; readonly child: () => ChildProcess | undefined } | undefined;
    let posts = 0;
    // Killed when the server has answered and the command does not know it yet.
    const proxy = await proxyTo(running, (method) => {
      if (method === 'POST') posts += 1;
      if (kill === undefined || posts !== kill.at) return 'pass';
      kill.child()?.kill('SIGKILL');
      return 'swallow';
    });
    const words = ['retry', '--set', 'distinct_id=ann', '--url', proxy.url, '--key', testKeys.personal];
    for (const at of [1, 2, 3, 4, 5]) {
      posts = 0;
      let started: ChildProcess | undefined;
      kill = { at, child: () => started };
      const { child, ran } = spawnCli(running, words);
      started = child;
      const { exitCode } = await ran;
      await untilLoaded(running);
      if (at < 5) expect([at, exitCode]).toEqual([at, null]);
    }
    kill = undefined;
    expect(posts).toBeGreaterThan(0);
    await retried(running, 0, '--set', 'distinct_id=ann');
    await expectEachOnce(running);
  });

  it('by kill -9 of the server goes on once it is back', async () => {
    let running = await startHedgerow({ ownGroup: true });
    const { dataDir } = running;
    onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }));
    await rejectedIn(running);
    let batches = 0;
    const first = running;
    const proxy = await proxyTo({ port: running.port }, (_, path) => {
      if (path !== '/batch/') return 'pass';
      batches += 1;
      if (batches !== 2) return 'pass';
      void first.killGroup();
      return 'swallow';
    });
    const words = ['retry', '--json', '--set', 'distinct_id=ann', '--url', proxy.url, '--key', testKeys.personal];
    const { ran } = spawnCli(running, words);
    await first.exited;
    running = await startHedgerow({ dataDir, port: running.port, ownGroup: true });
    const { exitCode, out, err } = await ran;
    expect({ exitCode, out }).toMatchObject({ exitCode: 0, out: expect.stringContaining(`"stored":${COUNT}`) });
    expect(err).toContain('trying again in');
    await expectEachOnce(running);
    await running.stop();
  });
});

describe('the bounds of what is kept', () => {
  it('delete the oldest, say so, and leave the counts of the ledger', async () => {
    const running = await startHedgerow({ args: ['--rejections-max-bytes', '50000'] });
    onTestFinished(() => stopAndRemove(running));
    for (let i = 0; i < 20; i++) {
      await sent(running, batch(...Array.from({ length: 20 }, () => `{"event":"","n":${i},"x":"${'y'.repeat(200)}"}`)));
    }
    await untilLoaded(running);
    await until(async () => (await metric(running, 'hedgerow_rejections_deleted_total{bound="size"}')) > 0, {
      deadlineMs: 30_000,
      what: 'the bound holds',
    });
    const kept = await listed(running);
    const deleted = await metric(running, 'hedgerow_rejections_deleted_total{bound="size"}');
    expect(kept.length + deleted).toBe(400);
    expect(await metric(running, 'hedgerow_rejections_kept_events')).toBe(kept.length);
    expect(await metric(running, 'hedgerow_rejections_kept_bytes')).toBeLessThanOrEqual(50_000);
    expect(kept.length).toBeGreaterThan(50);
    const numbers = kept.map(({ raw }) => (JSON.parse(raw) as { n: number }).n);
    expect(Math.max(...numbers)).toBe(19);
    // The oldest went: of every request that is left, all later ones are left too.
    expect(new Set(numbers).size).toBe(20 - Math.min(...numbers));
    const ledger = await ask(`${running.url}/api/projects/@current/ledger/`, { headers: bearer });
    expect(ledger.json).toMatchObject({
      totals: { received: 400, rejected: { empty_event_name: 400 } },
      balanced: true,
    });
  });
});

async function keys(...words: readonly string[]): Promise<unknown> {
  const env = cleanEnv({ HEDGEROW_SKIP_BUILD: '1' });
  const child = spawn(process.execPath, [bin, ...words, '--json', '--data-dir', server.dataDir], { env });
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  await new Promise((resolve) => child.once('close', resolve));
  return JSON.parse(out);
}

async function personalKey(scopes: string, ...more: readonly string[]): Promise<string> {
  const made = await keys('keys', 'create', '--kind', 'personal', '--scopes', scopes, ...more);
  return (made as { key: string }).key;
}

/** Hands requests on; `decide` is asked once the answer has come, and may keep it from the client. */
async function proxyTo(
  target: { readonly port: number },
  decide: (method: string, path: string) => 'pass' | 'swallow',
): Promise<{ readonly url: string }> {
  const proxy: Server = createServer((incoming, outgoing) => {
    const { method = '', url = '', headers } = incoming;
    const onward = httpRequest({ port: target.port, method, path: url, headers }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () => {
        if (decide(method, url.split('?')[0] ?? '') === 'swallow') {
          outgoing.destroy();
          return;
        }
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers).end(Buffer.concat(chunks));
      });
    });
    onward.on('error', () => outgoing.destroy());
    incoming.pipe(onward);
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  return { url: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}` };
}
