/** Rates and quotas of projects, as clients and operators meet them (interface.md 1-3). */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { PostHog } from 'posthog-node';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  type Answer,
  ask,
  bearer,
  bin,
  cleanEnv,
  freshFolder,
  type Hedgerow,
  post,
  sql,
  startHedgerow,
  stopAndRemove,
  testKeys,
  untilCounted,
} from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';

/** So slow that no token comes back while a test runs. */
const FROZEN = 0.001;
const firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0';
const execute = promisify(execFile);

interface LimitsShape {
  readonly events_per_second?: number | null;
  readonly burst?: number | null;
  readonly monthly_quota?: number | null;
}

interface Project {
  readonly id: number;
  readonly key: string;
}

let server: Hedgerow;

async function cli(dataDir: string, ...words: readonly string[]): Promise<unknown> {
  const env = cleanEnv({ HEDGEROW_SKIP_BUILD: '1' });
  const { stdout } = await execute(process.execPath, [bin, ...words, '--json', '--data-dir', dataDir], { env });
  return JSON.parse(stdout);
}

/** With a public key; the running server knows it at once. */
async function newProject(limits: LimitsShape = {}, on = server): Promise<Project> {
  const { id } = (await cli(on.dataDir, 'projects', 'create', randomUUID())) as { id: number };
  const made = await cli(on.dataDir, 'keys', 'create', '--kind', 'public', '--project', String(id));
  const project = { id, key: (made as { key: string }).key };
  expect((await put(project, limits, bearer, on)).status).toBe(200);
  return project;
}

function put(project: Project, limits: object | string, headers: object = bearer, on = server): Promise<Answer> {
  const body = typeof limits === 'string' ? limits : JSON.stringify(limits);
  const init = { method: 'PUT', headers: { 'Content-Type': 'application/json', ...headers }, body };
  return ask(`${on.url}/api/projects/${project.id}/limits/`, init);
}

async function limitsOf(project: Project, on = server): Promise<Required<LimitsShape> & { used_this_month: number }> {
  const answer = await ask(`${on.url}/api/projects/${project.id}/limits/`, { headers: bearer });
  return answer.json as Required<LimitsShape> & { used_this_month: number };
}

function batchOf(project: Project, count: number, event = 'e'): object {
  const batch = Array.from({ length: count }, () => ({ event, distinct_id: 'd', uuid: randomUUID() }));
  return { api_key: project.key, batch };
}

function send(
  project: Project,
  count = 1,
  headers: Readonly<Record<string, string>> = {},
  on = server,
): Promise<Answer> {
  return post(`${on.url}/batch/`, batchOf(project, count), headers);
}

function retryAfterOf(answer: Answer): number {
  const text = answer.headers.get('retry-after') ?? '';
  expect(text).toMatch(/^\d+$/);
  return Number(text);
}

/** A project that has used up what it may send. */
async function exhausted(by: 'rate' | 'quota'): Promise<Project> {
  const project = await newProject(by === 'rate' ? { events_per_second: FROZEN, burst: 2 } : { monthly_quota: 2 });
  expect((await send(project, 2)).status).toBe(200);
  return project;
}

beforeAll(async () => {
  server = await startHedgerow();
});
afterAll(() => stopAndRemove(server));

describe('a rate', () => {
  it('lets in the burst, refuses what follows with 429, and lets in again what Retry-After promises', async () => {
    const project = await newProject({ events_per_second: 10, burst: 20 });
    expect((await send(project, 20)).text).toBe('{"status":"Ok"}');
    const refused = await send(project, 15);
    expect(refused.status).toBe(429);
    expect(refused.json).toMatchObject({ type: 'throttled_error', code: 'rate_limited', attr: null });
    expect((refused.json as { detail: string }).detail).toMatch(/^rate limited: .*10 events\/s, 20 at once/);
    const seconds = retryAfterOf(refused);
    expect(seconds).toBeGreaterThanOrEqual(1);
    expect(seconds).toBeLessThanOrEqual(6);
    expect(refused.headers.get('access-control-expose-headers')).toContain('Retry-After');
    const startedMs = performance.now();
    await until(async () => (await send(project, 15)).status === 200, { deadlineMs: 10_000, what: '15 are let in' });
    expect(performance.now() - startedMs).toBeLessThan(1_000 * seconds + 500);
    expect((await limitsOf(project)).used_this_month).toBe(35);
  });

  it('lets in a request larger than the burst when the bucket is full', async () => {
    const project = await newProject({ events_per_second: FROZEN, burst: 5 });
    expect((await send(project, 50)).status).toBe(200);
    expect(retryAfterOf(await send(project, 1))).toBe(60);
    const other = await newProject({ events_per_second: FROZEN, burst: 5 });
    expect((await send(other, 1)).status).toBe(200);
    expect((await send(other, 50)).status).toBe(429);
  });

  it('stores nothing of a refused request, and the same events once they are sent again', async () => {
    const project = await newProject({ events_per_second: FROZEN, burst: 1 });
    expect((await send(project)).status).toBe(200);
    const body = batchOf(project, 3, 'sent_again');
    expect((await post(`${server.url}/batch/`, body)).status).toBe(429);
    await put(project, { events_per_second: null });
    expect((await post(`${server.url}/batch/`, body)).status).toBe(200);
    await until(
      async () => {
        const query = { kind: 'HogQLQuery', query: "select count() from events where event = 'sent_again'" };
        const { json } = await post(`${server.url}/api/projects/${project.id}/query/`, { query }, bearer);
        return Number((json as { results: [[unknown]] }).results[0][0]) === 3;
      },
      { deadlineMs: 20_000, what: 'the three are stored, once' },
    );
  });

  it('counts rejected events and not $performance_events', async () => {
    const project = await newProject({ events_per_second: FROZEN, burst: 4 });
    const batch = [
      { event: 'good', distinct_id: 'd' },
      { event: '', distinct_id: 'd' },
      { event: '$performance_event', distinct_id: 'd' },
    ];
    expect((await post(`${server.url}/batch/`, { api_key: project.key, batch })).json).toHaveProperty('rejected');
    expect((await limitsOf(project)).used_this_month).toBe(2);
    expect((await send(project, 2)).status).toBe(200);
    expect((await send(project, 1)).status).toBe(429);
    const onlyPerformance = { event: '$performance_event', distinct_id: 'd', api_key: project.key };
    expect((await post(`${server.url}/e/`, onlyPerformance)).status).toBe(200);
  });

  it('is asked after the key and before the events: an unknown key is 401, a bad event of a full project 429', async () => {
    const project = await exhausted('rate');
    expect((await post(`${server.url}/e/`, { api_key: 'phc_unknown', event: 'e', distinct_id: 'd' })).status).toBe(401);
    expect((await post(`${server.url}/e/`, { api_key: project.key, event: 'e' })).status).toBe(429);
    expect((await post(`${server.url}/batch/`, { api_key: project.key, batch: [] })).status).toBe(400);
  });

  it('does not touch other projects', async () => {
    await exhausted('rate');
    const event = { api_key: testKeys.public, event: 'free', distinct_id: 'd' };
    expect((await post(`${server.url}/e/`, event)).status).toBe(200);
  });
});

describe.each(['rate', 'quota'] as const)('who is over the %s', (by) => {
  const code = by === 'rate' ? 'rate_limited' : 'quota_exceeded';
  let project: Project;
  beforeAll(async () => {
    project = await exhausted(by);
  });

  it.each<[client: string, headers: Readonly<Record<string, string>>, query: string, status: 429 | 503]>([
    ['curl', { 'User-Agent': 'curl/8.5.0' }, '', 429],
    ['posthog-node', { 'User-Agent': 'posthog-node/5.70.0' }, '', 429],
    ['posthog-python', { 'User-Agent': 'posthog-python/7.91.1' }, '', 429],
    ['posthog-android', { 'User-Agent': 'posthog-android/3.0.0' }, '', 429],
    ['posthog-js', { 'User-Agent': firefox, 'Content-Type': 'text/plain', Origin: 'http://shop.example' }, '', 503],
    ['posthog-js without compression', { 'User-Agent': firefox }, '', 503],
    ['posthog-js 1.350', { 'User-Agent': 'a proxy' }, '?ip=0&_=1764000000000&ver=1.350.0&compression=gzip-js', 503],
    ['posthog-server for Java', { 'User-Agent': 'posthog-server/2.3.3' }, '', 503],
    ['the old Java client', { 'User-Agent': 'okhttp/4.9.1' }, '', 503],
  ])('%s is told to come again in its own way', async (_, headers, query, status) => {
    const body = gzipSync(JSON.stringify(batchOf(project, 1)));
    const answer = await post(`${server.url}/batch/${query}`, body, headers);
    expect(answer.status).toBe(status);
    expect(answer.json).toMatchObject({ code, type: status === 429 ? 'throttled_error' : 'server_error' });
    expect(retryAfterOf(answer)).toBe(60);
    expect(answer.headers.get('access-control-allow-origin')).toBe(headers['Origin'] ?? null);
  });

  it('a V1 client gets what V1 has', async () => {
    const requestId = randomUUID();
    const headers = {
      Authorization: `Bearer ${project.key}`,
      'User-Agent': 'posthog-python/7.91.1',
      'PostHog-Sdk-Info': 'posthog-python/7.91.1',
      'PostHog-Attempt': '1',
      'PostHog-Request-Id': requestId,
      'PostHog-Request-Timestamp': new Date().toISOString(),
    };
    const event = { event: 'e', uuid: randomUUID(), distinct_id: 'd', timestamp: new Date().toISOString() };
    const body = { created_at: new Date().toISOString(), batch: [event] };
    const answer = await post(`${server.url}/i/v1/analytics/events/`, body, headers);
    expect(answer.headers.get('posthog-request-id')).toBe(requestId);
    if (by === 'rate') {
      expect(answer.status).toBe(503);
      expect(answer.json).toMatchObject({ error: 'service_unavailable', error_uri: 'https://posthog.com/docs/api' });
      expect(retryAfterOf(answer)).toBe(60);
    } else {
      expect(answer.status).toBe(402);
      expect(answer.json).toEqual({
        error: 'billing_limit_exceeded',
        error_description: expect.stringMatching(/^Billing quota exceeded\. Events are being dropped\. Upgrade/),
        error_uri: 'https://posthog.com/docs/billing/limits',
      });
      expect(answer.headers.get('retry-after')).toBeNull();
    }
  });

  it('is counted in the metrics', async () => {
    await send(project);
    const page = (await ask(`${server.url}/metrics`)).text;
    expect(page).toMatch(new RegExp(`^hedgerow_requests_refused_total\\{code="${code}"\\} [1-9]`, 'm'));
    expect(page).toMatch(new RegExp(`^hedgerow_events_rejected_total\\{code="${code}"\\} [1-9]`, 'm'));
    expect(page).toMatch(/^hedgerow_limit_burst_used_ratio (?:1|0\.99\d*)$/m);
    if (by === 'quota') {
      expect(page).toMatch(/^hedgerow_limit_quota_used_ratio 1$/m);
      expect(page).toMatch(/^capture_quota_limit_exceeded\{resource="events"\} [1-9]/m);
    }
  });
});

describe('a quota', () => {
  it('takes its last event and refuses whole the request that would pass it', async () => {
    const project = await newProject({ monthly_quota: 10 });
    expect((await send(project, 8)).status).toBe(200);
    const refused = await send(project, 3);
    expect(refused.json).toMatchObject({
      code: 'quota_exceeded',
      detail: expect.stringMatching(/10 events, 8 are used/),
    });
    expect((await send(project, 2)).status).toBe(200);
    expect((await send(project, 1)).status).toBe(429);
    expect(await limitsOf(project)).toEqual({
      events_per_second: null,
      burst: null,
      monthly_quota: 10,
      used_this_month: 10,
    });
    await put(project, { monthly_quota: 11 });
    expect((await send(project, 1)).status).toBe(200);
  });

  it('survives a restart to the last event, and kill -9 but for the last second', async () => {
    let running = await startHedgerow({ ownGroup: true });
    const { dataDir } = running;
    onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }));
    const project = await newProject({ monthly_quota: 100 }, running);
    expect((await send(project, 30, {}, running)).status).toBe(200);
    expect(await running.stop()).toBe(0);

    running = await startHedgerow({ dataDir, ownGroup: true });
    expect((await limitsOf(project, running)).used_this_month).toBe(30);
    expect((await send(project, 20, {}, running)).status).toBe(200);
    const bookedWithinMs = performance.now();
    await until(
      async () => {
        const shown = await cli(dataDir, 'limits', 'show', '--project', String(project.id));
        return (shown as { used_this_month: number }).used_this_month === 50;
      },
      { deadlineMs: 10_000, what: 'the count is written down' },
    );
    expect(performance.now() - bookedWithinMs).toBeLessThan(5_000);
    await running.killGroup();

    running = await startHedgerow({ dataDir });
    expect((await limitsOf(project, running)).used_this_month).toBe(50);
    expect((await send(project, 51, {}, running)).status).toBe(429);
    expect((await send(project, 50, {}, running)).status).toBe(200);
    await running.stop();
  });
});

describe('two capture processes on one data folder', () => {
  it('follow a change within a second, and count a quota once', async () => {
    const second = await startHedgerow({ dataDir: server.dataDir, args: ['--role', 'capture'] });
    onTestFinished(async () => void (await second.stop()));
    const project = await newProject({});
    expect((await send(project, 5, {}, second)).status).toBe(200);
    let count = 5;
    await put(project, { monthly_quota: 5 });
    await until(
      async () => {
        const { status } = await send(project, 1, {}, second);
        if (status === 200) count += 1;
        return status === 429;
      },
      { deadlineMs: 1_000, what: 'the other process follows the new quota' },
    );
    const untilKnown = (): Promise<boolean> =>
      until(async () => (await limitsOf(project)).used_this_month === count, {
        deadlineMs: 3_000,
        what: `this process knows of the ${count}`,
      });
    await untilKnown();
    expect((await send(project)).status).toBe(429);
    await put(project, { monthly_quota: count + 2 });
    await until(async () => (await send(project, 1, {}, second)).status === 200, {
      deadlineMs: 1_000,
      what: 'the other process follows the raised quota',
    });
    expect((await send(project)).status).toBe(200);
    count += 2;
    await untilKnown();
    await until(async () => (await send(project, 1, {}, second)).status === 429, {
      deadlineMs: 3_000,
      what: 'the other process knows what this one counted',
    });
    expect((await send(project)).status).toBe(429);
  });
});

describe('the API of the limits', () => {
  it('shows null where there is none, keeps what is left out, and takes its own answer back', async () => {
    const project = await newProject();
    const none = { events_per_second: null, burst: null, monthly_quota: null, used_this_month: 0 };
    expect(await limitsOf(project)).toEqual(none);
    const set = await put(project, { events_per_second: 12.5, burst: 100 });
    expect(set.json).toEqual({ ...none, events_per_second: 12.5, burst: 100 });
    expect((await put(project, { monthly_quota: 0, burst: null })).json).toEqual({
      ...none,
      events_per_second: 12.5,
      monthly_quota: 0,
    });
    expect((await put(project, (await limitsOf(project)) as object)).json).toEqual(await limitsOf(project));
    expect((await put(project, {})).status).toBe(200);
    const shown = await cli(server.dataDir, 'limits', 'show', '--project', String(project.id));
    expect(shown).toEqual({ project: project.id, ...(await limitsOf(project)) });
  });

  it('follows the command line within a second', async () => {
    const project = await newProject();
    await cli(server.dataDir, 'limits', 'set', '--project', String(project.id), '--monthly-quota', '3');
    await until(async () => (await limitsOf(project)).monthly_quota === 3, { deadlineMs: 1_000, what: 'it follows' });
    expect((await send(project, 4)).status).toBe(429);
  });

  it.each<[string, object | string, string]>([
    ['no JSON', '{', 'invalid_json'],
    ['nothing', '', 'invalid_json'],
    ['an array', [], 'invalid_parameter'],
    ['null', 'null', 'invalid_parameter'],
    ['an unknown name', { monthly_qouta: 1 }, 'invalid_parameter'],
    ['a text', { burst: '10' }, 'invalid_parameter'],
    ['a rate of 0', { events_per_second: 0 }, 'invalid_parameter'],
    ['a negative rate', { events_per_second: -1 }, 'invalid_parameter'],
    ['a rate beyond any machine', { events_per_second: 1e10 }, 'invalid_parameter'],
    ['a burst of 0', { burst: 0 }, 'invalid_parameter'],
    ['half a burst', { burst: 2.5 }, 'invalid_parameter'],
    ['a negative quota', { monthly_quota: -1 }, 'invalid_parameter'],
    ['true', { monthly_quota: true }, 'invalid_parameter'],
    ['a number beyond JSON’s', '{"monthly_quota":1e999}', 'invalid_parameter'],
  ])('refuses %s with 400 and changes nothing', async (_, body, code) => {
    const project = { id: 1, key: testKeys.public };
    const before = await limitsOf(project);
    const answer = await put(project, body);
    expect([answer.status, answer.json]).toEqual([400, expect.objectContaining({ code })]);
    const { used_this_month: _used, ...after } = await limitsOf(project);
    expect(before).toMatchObject(after);
  });

  it('is read with the scope query and changed with the scope admin alone, within the key’s projects', async () => {
    const project = await newProject();
    const keyWith = async (scopes: string, ...more: string[]): Promise<Readonly<Record<string, string>>> => {
      const made = await cli(server.dataDir, 'keys', 'create', '--kind', 'personal', '--scopes', scopes, ...more);
      return { Authorization: `Bearer ${(made as { key: string }).key}` };
    };
    const query = await keyWith('query,capture');
    const admin = await keyWith('admin');
    const elsewhere = await keyWith('query,admin', '--project', '1');
    const url = `${server.url}/api/projects/${project.id}/limits/`;
    expect((await ask(url, { headers: query })).status).toBe(200);
    expect((await put(project, { burst: 1 }, query)).json).toMatchObject({ code: 'missing_scope' });
    expect((await put(project, { burst: 1 }, query)).status).toBe(403);
    expect((await put(project, { burst: 1 }, admin)).status).toBe(200);
    expect((await ask(url, { headers: admin })).status).toBe(403);
    expect((await put(project, { burst: 2 }, elsewhere)).json).toMatchObject({ code: 'wrong_project' });
    expect((await put(project, { burst: 2 }, { Authorization: '' })).status).toBe(401);
    expect((await put({ ...project, id: 999_999 }, { burst: 2 })).json).toMatchObject({ code: 'unknown_project' });
    const posted = await post(url, { burst: 2 }, bearer);
    expect([posted.status, posted.headers.get('allow')]).toEqual([405, 'GET, HEAD, PUT, OPTIONS']);
    expect((await limitsOf(project)).burst).toBe(1);
  });
});

describe('the real posthog-node', () => {
  it('over the rate sends again until all is stored', async () => {
    const fresh = await startHedgerow({ dataDir: freshFolder() });
    onTestFinished(() => stopAndRemove(fresh));
    await cli(fresh.dataDir, 'limits', 'set', '--events-per-second', '20', '--burst', '20');
    const seen: number[] = [];
    const client = new PostHog(testKeys.public, {
      host: fresh.url,
      flushAt: 20,
      maxBatchSize: 20,
      flushInterval: 60_000,
      fetchRetryDelay: 700,
      fetch: async (url, options) => {
        const response = await fetch(url, options);
        if (url.includes('/batch')) seen.push(response.status);
        return response;
      },
    });
    await until(async () => (await limitsOf({ id: 1, key: testKeys.public }, fresh)).burst === 20, {
      deadlineMs: 2_000,
      what: 'the limit is known',
    });
    for (let i = 0; i < 50; i++) client.capture({ distinctId: 'ann', event: 'counted', properties: { i } });
    await client.shutdown(30_000);
    expect(seen).toContain(429);
    await untilCounted(fresh, "event = 'counted'", 50);
    expect(await sql(fresh, "select count(), uniqExact(properties.i) from events where event = 'counted'")).toEqual([
      [50, 50],
    ]);
    expect((await limitsOf({ id: 1, key: testKeys.public }, fresh)).used_this_month).toBe(50);
  });
});
