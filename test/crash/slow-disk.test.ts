/**
 * A disk whose syncs are slow, hang or fail, under the real server: nothing is acknowledged before its write has returned,
 * what waits too long is told so, the metrics show it, and nothing is lost or comes back.
 *
 * Needs gcc, for the library between the server and its disk (harness/bad-disk.ts); says so where it is missing.
 */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeBadDisk } from '../harness/bad-disk.ts';
import {
  ask,
  freshFolder,
  metric,
  post,
  sql,
  startHedgerow,
  testKeys,
  untilLoaded,
  type Answer,
  type Hedgerow,
} from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';

const SEGMENTS = '/segment-';
const WHOLE_LOG = '/log/';
const MAX_QUEUE_AGE_MS = 1_000;

const disk = makeBadDisk();
if (disk === undefined) process.stdout.write('left out: a slow and failing disk (needs Linux and gcc)\n');

describe.runIf(disk !== undefined)('a disk whose writes', () => {
  let server: Hedgerow;
  let acked: Set<string>;
  let refused: Set<string>;

  const start = (dataDir: string): Promise<Hedgerow> =>
    startHedgerow({
      dataDir,
      ownGroup: true,
      args: [
        '--segment-bytes',
        String(1 << 20),
        '--max-queue-age-ms',
        String(MAX_QUEUE_AGE_MS),
        '--log-level',
        'error',
      ],
      env: disk?.env ?? {},
    });

  beforeEach(async () => {
    acked = new Set();
    refused = new Set();
    server = await start(freshFolder());
  });
  afterEach(async () => {
    disk?.order('pass');
    await server.killGroup();
    rmSync(server.dataDir, { recursive: true, force: true });
  });
  afterAll(() => disk?.remove());

  async function send(): Promise<Answer> {
    const uuid = randomUUID();
    const answer = await post(`${server.url}/e/`, { api_key: testKeys.public, event: 'slow', distinct_id: 'd', uuid });
    (answer.status === 200 ? acked : refused).add(uuid);
    return answer;
  }

  /** By a server that has read the log anew. */
  async function expectExactlyTheAcknowledged(): Promise<void> {
    await server.killGroup();
    server = await start(server.dataDir);
    await untilLoaded(server);
    const found = (await sql(server, "select toString(uuid) from events where event = 'slow'")).map(([uuid]) =>
      String(uuid),
    );
    expect(new Set(found).size).toBe(found.length);
    expect([...acked].filter((uuid) => !found.includes(uuid))).toEqual([]);
    expect(found.filter((uuid) => refused.has(uuid))).toEqual([]);
    expect(found.length).toBe(acked.size);
  }

  const codes = (answers: readonly Answer[]): ReadonlySet<unknown> =>
    new Set(answers.map(({ json }) => (json as { code?: unknown }).code));

  it('return late: each 200 is as late as its write', async () => {
    disk?.order('delay', SEGMENTS, 300);
    const startedMs = performance.now();
    expect((await send()).status).toBe(200);
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(300);
    const before = await metric(server, 'hedgerow_log_write_duration_seconds_sum');
    await Promise.all(Array.from({ length: 50 }, send));
    expect(acked.size).toBe(51); // they share few writes
    expect((await metric(server, 'hedgerow_log_write_duration_seconds_sum')) - before).toBeGreaterThanOrEqual(0.3);
    disk?.order('pass');
    await expectExactlyTheAcknowledged();
  });

  it('do not return: no answer comes from them, those behind get 503 in time, and it goes on by itself', async () => {
    expect((await send()).status).toBe(200);
    disk?.order('hold', SEGMENTS);
    let settled = 0;
    const first = send().finally(() => (settled += 1));
    await until(async () => (await metric(server, 'hedgerow_log_queue_oldest_seconds')) > 0.1, {
      deadlineMs: 10_000,
      what: 'the first write hangs, and the metrics show it',
    });
    const behind = await Promise.all(Array.from({ length: 20 }, send));
    expect(new Set(behind.map(({ status }) => status))).toEqual(new Set([503]));
    expect(codes(behind)).toEqual(new Set(['overloaded']));
    for (const { headers } of behind) expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    expect(settled).toBe(0);

    await until(async () => (await ask(`${server.url}/_readiness`)).status === 503, {
      deadlineMs: 5_000,
      what: 'the load balancer is told',
    });
    const startedMs = performance.now();
    expect((await send()).status).toBe(503); // at once, not after a wait
    expect(performance.now() - startedMs).toBeLessThan(MAX_QUEUE_AGE_MS);
    expect((await sql(server, 'select 1'))[0]).toEqual([1]); // reads go on
    expect(settled).toBe(0);

    disk?.order('pass');
    expect((await first).status).toBe(200);
    await until(async () => (await send()).status === 200, { deadlineMs: 5_000, what: 'capture goes on' });
    await expectExactlyTheAcknowledged();
  });

  it('fail: 503 log_unavailable, counted, nothing refused comes back, and it goes on in a new segment', async () => {
    for (let i = 0; i < 5; i++) expect((await send()).status).toBe(200);
    disk?.order('fail', SEGMENTS);
    const failed = await Promise.all(Array.from({ length: 20 }, send));
    expect(new Set(failed.map(({ status }) => status))).toEqual(new Set([503]));
    expect(codes(failed)).toEqual(new Set(['log_unavailable']));
    for (const { headers } of failed) expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await metric(server, 'hedgerow_log_faults_total')).toBeGreaterThan(0);
    disk?.order('pass');
    await until(async () => (await send()).status === 200, { deadlineMs: 10_000, what: 'capture goes on' });
    for (let i = 0; i < 5; i++) expect((await send()).status).toBe(200);
    await expectExactlyTheAcknowledged();
  });

  it('fail for every file of the log: refused before the body is read, reads go on, and it resumes by itself', async () => {
    for (let i = 0; i < 5; i++) expect((await send()).status).toBe(200);
    await untilLoaded(server);
    disk?.order('fail', WHOLE_LOG);
    await until(async () => (await send()).status === 503 && (await ask(`${server.url}/_readiness`)).status === 503, {
      deadlineMs: 10_000,
      what: 'nothing can be written',
    });
    expect((await send()).status).toBe(503);
    expect(await sql(server, "select count() from events where event = 'slow'")).toEqual([[5]]);
    disk?.order('pass');
    await until(async () => (await ask(`${server.url}/_readiness`)).status === 200, {
      deadlineMs: 5_000,
      what: 'it is ready again',
    });
    expect((await send()).status).toBe(200);
    await untilLoaded(server);
    const found = (await sql(server, "select toString(uuid) from events where event = 'slow'")).map(([uuid]) =>
      String(uuid),
    );
    expect(new Set(found)).toEqual(acked);
  });
});
