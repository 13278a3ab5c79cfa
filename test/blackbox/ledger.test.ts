/** The ledger and the look-up of a request, over HTTP alone: every number at every moment, over kills and restarts. */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ask,
  bearer,
  bin,
  cleanEnv,
  freshFolder,
  metric,
  post,
  root,
  sql,
  startHedgerow,
  stopAndRemove,
  testEnv,
  testKeys,
  untilLoaded,
  type Answer,
  type Hedgerow,
} from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';

interface Numbers {
  readonly received: number;
  readonly accepted: number;
  readonly stored: number;
  readonly pending: number;
  readonly duplicate: number;
  readonly rejected: Readonly<Record<string, number>>;
}
interface Ledger {
  readonly totals: Numbers;
  readonly balanced: boolean;
  readonly results: readonly (Numbers & { readonly start: string })[];
}

const good = (fields: object = {}): object => ({ event: 'e', distinct_id: 'd', ...fields });
const performanceEvent = good({ event: '$performance_event' });

async function ledgerOf(server: { readonly url: string }, query = '', project = '@current'): Promise<Ledger> {
  const answer = await ask(`${server.url}/api/projects/${project}/ledger/${query}`, { headers: bearer });
  expect(answer.status, answer.text).toBe(200);
  const ledger = answer.json as Ledger;
  for (const line of [ledger.totals, ...ledger.results]) {
    const rejected = Object.values(line.rejected).reduce((sum, n) => sum + n, 0);
    expect(line.received).toBe(line.accepted + rejected);
    expect(line.accepted).toBe(line.stored + line.pending + line.duplicate);
  }
  expect(ledger.balanced).toBe(true);
  return ledger;
}

function sendBatch(
  server: Hedgerow,
  batch: readonly unknown[],
  options: { readonly query?: string; readonly key?: string; readonly requestId?: string } = {},
): Promise<Answer> {
  const headers = options.requestId === undefined ? {} : { 'X-Request-Id': options.requestId };
  return post(
    `${server.url}/batch/${options.query ?? ''}`,
    { api_key: options.key ?? testKeys.public, batch },
    headers,
  );
}

function sendV1(server: Hedgerow, batch: readonly unknown[], requestId: string): Promise<Answer> {
  return post(
    `${server.url}/i/v1/analytics/events`,
    { created_at: new Date().toISOString(), batch },
    {
      Authorization: `Bearer ${testKeys.public}`,
      'PostHog-Sdk-Info': 'test/1',
      'PostHog-Attempt': '1',
      'PostHog-Request-Id': requestId,
      'PostHog-Request-Timestamp': new Date().toISOString(),
    },
  );
}

function v1Event(fields: object = {}): object {
  return { uuid: randomUUID(), event: 'e', distinct_id: 'd', timestamp: new Date().toISOString(), ...fields };
}

describe('the ledger', () => {
  let server: Hedgerow;
  let second = { id: 0, key: '' };

  beforeAll(async () => {
    server = await startHedgerow();
    const cli = (...args: readonly string[]): unknown =>
      JSON.parse(
        execFileSync(process.execPath, [bin, ...args, '--data-dir', server.dataDir, '--json'], {
          encoding: 'utf8',
          env: cleanEnv(testEnv),
        }),
      );
    const project = cli('projects', 'create', 'Second') as { id: number };
    const key = cli('keys', 'create', '--kind', 'public', '--project', String(project.id)) as { key: string };
    second = { id: project.id, key: key.key };
  });
  afterAll(async () => {
    await stopAndRemove(server);
  });

  const uuid = randomUUID();
  const ids = Array.from({ length: 8 }, () => randomUUID());
  const idAt = (at: number): string => ids[at] ?? '';
  const expected = {
    received: 21,
    accepted: 7,
    stored: 5,
    pending: 0,
    duplicate: 2,
    rejected: {
      invalid_event: 1,
      invalid_uuid: 1,
      missing_distinct_id: 3,
      performance_event: 7,
      refused_with_batch: 2,
    },
  };

  it('is empty at first', async () => {
    const { totals, results } = await ledgerOf(server);
    expect(totals).toEqual({ received: 0, accepted: 0, stored: 0, pending: 0, duplicate: 0, rejected: {} });
    expect(results).toHaveLength(60);
  });

  it('has every event of a known mix the moment it is answered, and balances while it is loaded', async () => {
    let received = 0;
    let mostPending = 0;
    const look = async (): Promise<Numbers> => {
      const { totals } = await ledgerOf(server);
      expect(totals.received).toBe(received);
      mostPending = Math.max(mostPending, totals.pending);
      return totals;
    };
    const mix: readonly (readonly [number, number, () => Promise<Answer>])[] = [
      [
        7,
        200,
        () =>
          sendBatch(server, [good({ uuid }), good(), { event: 'e' }, good(), performanceEvent, 'no event', good()], {
            requestId: idAt(0),
          }),
      ],
      [2, 200, () => sendBatch(server, [good({ uuid }), good({ uuid: 'no uuid' })], { requestId: idAt(1) })],
      [3, 400, () => sendBatch(server, [good(), { event: 'e' }, good()], { query: '?strict=1', requestId: idAt(2) })],
      [
        1,
        400,
        () => post(`${server.url}/capture/`, { api_key: testKeys.public, event: 'e' }, { 'X-Request-Id': idAt(3) }),
      ],
      [2, 200, () => sendBatch(server, [performanceEvent, performanceEvent], { requestId: idAt(4) })],
      [3, 200, () => sendV1(server, [v1Event(), v1Event({ uuid }), v1Event({ event: '$performance_event' })], idAt(5))],
      [
        3,
        200,
        () =>
          sendV1(
            server,
            Array.from({ length: 3 }, () => v1Event({ event: '$performance_event' })),
            idAt(6),
          ),
      ],
      [0, 200, () => sendBatch(server, [good({ uuid }), {}], { key: second.key, requestId: idAt(7) })],
      [0, 401, () => sendBatch(server, [good()], { key: 'phc_nobody' })],
      [0, 200, () => sendBatch(server, [performanceEvent], { key: 'phc_nobody' })],
    ];
    for (const [events, status, send] of mix) {
      const answer = await send();
      expect(answer.status, answer.text).toBe(status);
      received += events;
      await look();
    }
    await until(async () => (await look()).pending === 0, { deadlineMs: 20_000, what: 'all is loaded' });
    expect(mostPending).toBeGreaterThan(0);
    expect(await look()).toEqual(expected);
    const other = await ledgerOf(server, '', String(second.id));
    expect(other.totals).toMatchObject({ received: 2, accepted: 1, stored: 1, rejected: { missing_event_name: 1 } });
  });

  it('says what became of each event of a request', async () => {
    const eventsOf = async (at: number, project = '@current'): Promise<unknown> => {
      const answer = await ask(`${server.url}/api/projects/${project}/requests/${idAt(at)}/`, { headers: bearer });
      expect(answer.status, answer.text).toBe(200);
      const body = answer.json as { request_id: string; received_at: string; events: Record<string, unknown>[] };
      expect(body.request_id).toBe(idAt(at));
      expect(Math.abs(Date.parse(body.received_at) - Date.now())).toBeLessThan(120_000);
      return body.events.map(({ index, uuid: of, status, code }) => [
        index,
        of === uuid ? 'the uuid' : of === null ? null : 'a uuid',
        ...(code === undefined ? [status] : [status, code]),
      ]);
    };
    expect(await eventsOf(0)).toEqual([
      [0, 'the uuid', 'stored'],
      [1, 'a uuid', 'stored'],
      [2, null, 'rejected', 'missing_distinct_id'],
      [3, 'a uuid', 'stored'],
      [5, null, 'rejected', 'invalid_event'],
      [6, 'a uuid', 'stored'],
    ]);
    expect(await eventsOf(1)).toEqual([
      [0, 'the uuid', 'duplicate'],
      [1, null, 'rejected', 'invalid_uuid'],
    ]);
    expect(await eventsOf(2)).toEqual([
      [0, null, 'rejected', 'refused_with_batch'],
      [1, null, 'rejected', 'missing_distinct_id'],
      [2, null, 'rejected', 'refused_with_batch'],
    ]);
    expect(await eventsOf(5)).toEqual([
      [0, 'a uuid', 'stored'],
      [1, 'the uuid', 'duplicate'],
    ]);
    expect(await eventsOf(7, String(second.id))).toEqual([
      [0, 'the uuid', 'stored'],
      [1, null, 'rejected', 'missing_event_name'],
    ]);
    for (const unknown of [idAt(4), idAt(7), randomUUID()]) {
      const answer = await ask(`${server.url}/api/projects/@current/requests/${unknown}/`, { headers: bearer });
      expect([answer.status, (answer.json as { code: string }).code]).toEqual([404, 'unknown_request']);
    }
    const bad = await ask(`${server.url}/api/projects/@current/requests/nothing/`, { headers: bearer });
    expect([bad.status, (bad.json as { code: string }).code]).toEqual([400, 'invalid_parameter']);
  });

  it('finds a request at once, before it is in the store, and again when it is sent again', async () => {
    const requestId = randomUUID();
    const batch = [good({ uuid: randomUUID() }), good({ uuid: randomUUID() }), { event: 'bad' }];
    const statuses = async (): Promise<unknown[]> => {
      const answer = await ask(`${server.url}/api/projects/@current/requests/${requestId.toUpperCase()}`, {
        headers: bearer,
      });
      return (answer.json as { events: { status: string }[] }).events.map(({ status }) => status);
    };
    await sendBatch(server, batch, { requestId });
    const first = await statuses();
    expect([
      ['pending', 'pending', 'rejected'],
      ['stored', 'stored', 'rejected'],
    ]).toContainEqual(first);
    await untilLoaded(server);
    await sendBatch(server, batch, { requestId });
    await untilLoaded(server);
    expect(await statuses()).toEqual(['stored', 'stored', 'rejected', 'duplicate', 'duplicate', 'rejected']);
  });

  it('shows its minutes in SQL, and sums them by hour and day', async () => {
    const totals = await until(
      async () => {
        const found = (await ledgerOf(server)).totals;
        return found.pending === 0 && found;
      },
      { deadlineMs: 20_000, what: 'all is counted' },
    );
    const sums = 'sum(received), sum(accepted), sum(stored), sum(duplicate), sum(rejected)';
    const rejected = Object.values(totals.rejected).reduce((sum, n) => sum + n, 0);
    expect(await sql(server, `select ${sums} from ledger`)).toEqual([
      [totals.received, totals.accepted, totals.stored, totals.duplicate, rejected],
    ]);
    for (const [interval, ms] of [
      ['hour', 3_600_000],
      ['day', 86_400_000],
    ] as const) {
      const longer = await ledgerOf(server, `?interval=${interval}`);
      expect(longer.totals).toEqual(totals);
      expect(longer.results).toHaveLength(60);
      const starts = longer.results.map(({ start }) => Date.parse(start));
      expect(starts.every((start, i) => start % ms === 0 && (i === 0 || start === (starts[i - 1] ?? 0) + ms))).toBe(
        true,
      );
    }
    const { results } = await ledgerOf(server, '?from=2001-01-01T00:00:30Z&to=2001-01-01T00:02:30Z');
    expect(results.map(({ start, received }) => [start, received])).toEqual([
      ['2001-01-01T00:00:00.000Z', 0],
      ['2001-01-01T00:01:00.000Z', 0],
      ['2001-01-01T00:02:00.000Z', 0],
    ]);
  });

  it.each([
    ['interval=week', 400, 'interval'],
    ['from=yesterday', 400, 'from'],
    ['to=2026-02-30', 400, 'to'],
    ['from=2026-01-02&to=2026-01-01', 400, 'from'],
    ['from=2026-01-01&to=2026-01-01', 400, 'from'],
    ['from=1969-12-31&to=2026-01-01&interval=day', 400, 'from'],
    ['from=2026-01-01&to=2026-01-08', 200, ''],
    ['from=2026-01-01&to=2026-01-08T00:00:01Z', 400, 'from'],
    ['from=2025-01-01&to=2026-01-01&interval=hour', 200, ''],
    ['to=9999-01-01&interval=day', 200, ''],
  ])('%s is answered with %d %s', async (query, status, name) => {
    const answer = await ask(`${server.url}/api/projects/@current/ledger/?${query}`, { headers: bearer });
    expect(answer.status, answer.text).toBe(status);
    if (status !== 200)
      expect(answer.json).toMatchObject({ code: 'invalid_parameter', detail: expect.stringContaining(name) });
  });

  it('is for those who may read the project', async () => {
    for (const path of ['ledger/', `requests/${idAt(0)}/`]) {
      expect((await ask(`${server.url}/api/projects/@current/${path}`)).status).toBe(401);
      expect((await ask(`${server.url}/api/projects/99/${path}`, { headers: bearer })).status).toBe(404);
      const wrong = await post(`${server.url}/api/projects/@current/${path}`, {}, bearer);
      expect([wrong.status, wrong.headers.get('allow')]).toEqual([405, 'GET, HEAD, OPTIONS']);
    }
  });
});

/** Sends batches of 10, of which one is bad, until the server is gone. @returns events that were answered */
async function sendUntilGone(server: Hedgerow): Promise<number> {
  let answered = 0;
  await Promise.all(
    Array.from({ length: 6 }, async () => {
      for (;;) {
        const batch = Array.from({ length: 10 }, (_, i) => (i === 4 ? { event: 'bad' } : good()));
        try {
          if ((await sendBatch(server, batch)).status !== 200) return;
          answered += 10;
        } catch {
          return;
        }
      }
    }),
  );
  return answered;
}

describe('a data folder whose server is killed and started again', () => {
  const dataDir = freshFolder();
  afterAll(() => {
    rmSync(dataDir, { recursive: true, force: true });
  });

  it('has a ledger that balances whenever somebody looks, and counts each answered event once', async () => {
    let answered = 0;
    for (const delayMs of [400, 900, 650]) {
      const server = await startHedgerow({ dataDir, ownGroup: true });
      const load = sendUntilGone(server);
      try {
        const endMs = performance.now() + delayMs;
        for (let looks = 0; looks < 3 || performance.now() < endMs; looks++) await ledgerOf(server);
      } finally {
        await server.killGroup();
      }
      answered += await load;
    }
    const server = await startHedgerow({ dataDir });
    try {
      const totals = await until(
        async () => {
          const found = (await ledgerOf(server)).totals;
          return found.pending === 0 && found;
        },
        { deadlineMs: 30_000, what: 'all is loaded' },
      );
      // A request whose answer never came may be in it: all of it, or nothing.
      expect(totals.received).toBeGreaterThanOrEqual(answered);
      expect(totals.received).toBeLessThanOrEqual(answered + 3 * 6 * 10);
      expect(totals).toMatchObject({ stored: totals.received * 0.9, duplicate: 0 });
      expect(totals.rejected).toEqual({ missing_distinct_id: totals.received / 10 });
      expect(await sql(server, 'select count() from events')).toEqual([[totals.stored]]);
      await until(async () => (await metric(server, 'hedgerow_ledger_imbalance_events')) === 0, {
        deadlineMs: 20_000,
        what: 'the check is content',
      });
      expect((await ask(`${server.url}/_readiness`)).text).toBe('{"status":"ready"}');
    } finally {
      await server.stop();
    }
    expect(server.output.stderr).not.toContain('does not balance');
  });

  it('raises the alarm where an event is gone from the store, and goes on capturing', async () => {
    const script = `
      const { Session } = await import('chdb');
      const session = new Session(${JSON.stringify(join(dataDir, 'store', 'engine'))});
      await session.queryAsync('ALTER TABLE hedgerow.events DELETE WHERE (stream, sequence) IN ' +
        '(SELECT stream, sequence FROM hedgerow.events ORDER BY sequence LIMIT 3) SETTINGS mutations_sync = 1');
      session.close();`;
    execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: root });
    const server = await startHedgerow({ dataDir });
    try {
      await until(async () => (await metric(server, 'hedgerow_ledger_imbalance_events')) === 3, {
        deadlineMs: 30_000,
        what: 'the metric says 3 events',
      });
      const ready = await ask(`${server.url}/_readiness`);
      expect(ready.status).toBe(200);
      expect(ready.json).toMatchObject({
        status: 'ready',
        detail: expect.stringMatching(/does not balance by 3 events/),
      });
      const lines = server.output.stderr.split('\n').filter((line) => line.includes('does not balance'));
      expect(lines.length).toBeGreaterThan(0);
      expect(JSON.parse(lines[0] ?? '')).toMatchObject({
        level: 50,
        projectId: 1,
        minute: expect.stringMatching(/Z$/),
      });
      const ledger = await ask(`${server.url}/api/projects/@current/ledger/`, { headers: bearer });
      expect(ledger.json).toMatchObject({ balanced: false });
      expect((await sendBatch(server, [good()])).status).toBe(200);
    } finally {
      await server.stop();
    }
  });
});
