/** /metrics of the real command: a known mix of requests goes in, and every count is exactly that mix. */
import { spawnSync } from 'node:child_process';
import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { metricTable, postHogTable } from '../../src/telemetry/metric-table.ts';
import { ask, type Hedgerow, post, startHedgerow, stopAndRemove, testKeys } from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';

const MAX_BODY_BYTES = 100_000;
const MAX_INFLATED_BYTES = 200_000;
const STALL_MS = 300;
const QUEUE_BYTES = 4 << 20;
const UUID = '0192f1c4-8a3b-7c5d-9e6f-0a1b2c3d4e5f';
const UNKNOWN_KEY = 'phc_nobody_knows_this_one';

interface Family {
  readonly type: string;
  /** Series as written, such as `name{a="b"}`, to its value. */
  readonly samples: Map<string, number>;
}

const NAME = '[a-zA-Z_:][a-zA-Z0-9_:]*';
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\["\\\\n])*"';
const SAMPLE = new RegExp(`^(${NAME})(?:\\{${LABEL}(?:,${LABEL})*\\})? ([0-9.e+-]+)$`);

/** Every line must be one that Prometheus' text format 0.0.4 has, in its place. */
function parse(page: string): Map<string, Family> {
  const families = new Map<string, Family>();
  if (!page.endsWith('\n')) throw new Error('the last line is not ended');
  let helped = '';
  let current: { readonly name: string; readonly family: Family } | undefined;
  for (const line of page.slice(0, -1).split('\n')) {
    const help = new RegExp(`^# HELP (${NAME}) (\\S.*)$`).exec(line);
    const type = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram)$`).exec(line);
    const sample = SAMPLE.exec(line);
    if (help !== null) {
      helped = help[1] ?? '';
    } else if (type !== null) {
      const name = type[1] ?? '';
      if (name !== helped || families.has(name)) throw new Error(`out of place: ${line}`);
      current = { name, family: { type: type[2] ?? '', samples: new Map() } };
      families.set(name, current.family);
    } else if (sample !== null) {
      if (current === undefined) throw new Error(`out of place: ${line}`);
      const { name, family } = current;
      const names = family.type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name];
      const series = line.slice(0, line.lastIndexOf(' '));
      const value = Number(sample[2]);
      if (!names.includes(sample[1] ?? '')) throw new Error(`a sample of another family: ${line}`);
      if (family.samples.has(series)) throw new Error(`twice: ${line}`);
      if (!Number.isFinite(value) || value < 0) throw new Error(`no count: ${line}`);
      family.samples.set(series, value);
    } else {
      throw new Error(`no line of the format: ${line}`);
    }
  }
  return families;
}

/** Buckets by the labels beside `le`. */
function assertHistogram(name: string, { samples }: Family): void {
  const last = new Map<string, { le: number; count: number }>();
  for (const [series, count] of samples) {
    const [, before, text] = /^\w+_bucket\{(.*?),?le="([^"]+)"\}$/.exec(series) ?? [];
    if (before === undefined || text === undefined) continue;
    const le = text === '+Inf' ? Number.POSITIVE_INFINITY : Number(text);
    const previous = last.get(before);
    if (previous !== undefined && !(le > previous.le && count >= previous.count))
      throw new Error(`${series}: not cumulative`);
    last.set(before, { le, count });
  }
  for (const [labels, { le, count }] of last) {
    const suffix = labels === '' ? '' : `{${labels}}`;
    if (le !== Number.POSITIVE_INFINITY) throw new Error(`${name}{${labels}} does not end with +Inf`);
    if (samples.get(`${name}_count${suffix}`) !== count)
      throw new Error(`${name}_count${suffix} is not its last bucket`);
    if (!samples.has(`${name}_sum${suffix}`)) throw new Error(`${name}_sum${suffix} is missing`);
  }
}

/** Sends raw bytes and gives back what comes until the connection ends. */
function raw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    let received = '';
    socket.setEncoding('utf8').on('data', (text: string) => (received += text));
    socket.on('close', () => resolve(received)).on('error', reject);
  });
}

function event(name: string, extra: object = {}): object {
  return { event: name, distinct_id: 'd-1', properties: {}, ...extra };
}

describe('/metrics after a known mix of requests', () => {
  let server: Hedgerow;
  let page = '';
  let families = new Map<string, Family>();
  let bodyBytes = 0;
  let sentAtMs = 0;

  const samplesOf = (name: string): Record<string, number> => Object.fromEntries(families.get(name)?.samples ?? []);
  const value = (name: string): number | undefined => families.get(name)?.samples.get(name);
  /** Sends, and keeps count of what is read whole on a capture route. */
  const send = async (path: string, body: object | Uint8Array, status: number): Promise<void> => {
    const bytes = body instanceof Uint8Array ? body : Buffer.from(JSON.stringify(body));
    expect([path, (await post(`${server.url}${path}`, bytes)).status]).toEqual([path, status]);
    if (bytes.length <= MAX_BODY_BYTES) bodyBytes += bytes.length;
  };

  beforeAll(async () => {
    const limits = [
      '--max-body-bytes',
      MAX_BODY_BYTES,
      '--max-inflated-bytes',
      MAX_INFLATED_BYTES,
      '--body-timeout-ms',
      STALL_MS,
    ];
    server = await startHedgerow({ args: [...limits, '--max-queue-bytes', QUEUE_BYTES].map(String) });
    const key = { api_key: testKeys.public };
    sentAtMs = Date.now() - 120_000;
    const sentAt = new Date(sentAtMs).toISOString();
    const timestamp = new Date(sentAtMs - 1000).toISOString();

    // Good: 3 corrected by sent_at, 1 by its timestamp alone, 1 by offset, 1 without a time.
    await send(
      '/batch/',
      { ...key, sent_at: sentAt, batch: ['a', 'b', 'c'].map((name) => event(name, { timestamp })) },
      200,
    );
    await send('/capture', { ...key, ...event('d', { timestamp, uuid: UUID }) }, 200);
    await send('/e', { ...key, ...event('e', { offset: 5000 }) }, 200);
    await send('/i/v0/e', gzipSync(JSON.stringify({ ...key, ...event('f', { distinct_id: ' d-2 ' }) })), 200);
    // The same uuid again, in a request of its own.
    await send('/capture/', { ...key, ...event('d', { timestamp, uuid: UUID }) }, 200);
    // One of two is bad; one is dropped; all are bad.
    await send('/batch', { ...key, batch: [event('g'), { event: 'h', properties: {} }] }, 200);
    await send('/batch', { ...key, batch: [event('i'), event('$performance_event')] }, 200);
    await send('/capture', { ...key, event: 'j', properties: {} }, 400);
    // Refused as a whole.
    await send('/batch', { api_key: UNKNOWN_KEY, batch: [event('k')] }, 401);
    await send('/capture', Buffer.from('{"api_key": '), 400);
    await send('/batch', gzipSync(JSON.stringify({ ...key, batch: [event('l')] })).subarray(0, 40), 400);
    await send('/batch', Buffer.alloc(MAX_BODY_BYTES + 1, 0x20), 413);
    await send('/batch', gzipSync(Buffer.alloc(MAX_INFLATED_BYTES + 1, 0x20)), 413);
    expect(await raw(server.port, 'POST /batch HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"api_key"')).toMatch(
      /^HTTP\/1.1 408 /,
    );
    // No request, a path that nobody serves, and a client that leaves.
    expect(await raw(server.port, 'nonsense\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /);
    expect((await ask(`${server.url}/no/such/${testKeys.public}?token=${testKeys.public}`)).status).toBe(404);
    await new Promise<void>((resolve) => {
      const socket = connect(server.port, '127.0.0.1', () => {
        socket.write('POST /batch HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{', () => {
          socket.destroy();
          resolve();
        });
      });
    });

    await until(
      async () => {
        page = (await ask(`${server.url}/metrics`)).text;
        families = parse(page);
        return (
          value('hedgerow_events_stored_total') === 8 &&
          value('hedgerow_rejections_stored_total') === 2 &&
          value('hedgerow_loader_lag_events') === 0 &&
          value('hedgerow_http_requests_in_flight') === 1
        );
      },
      { deadlineMs: 30_000, what: 'all of it is in the store, and only the question for the page is under way' },
    );
  });

  afterAll(() => stopAndRemove(server));

  it('is the text format, line by line, with every metric of the table under each of its names', async () => {
    const answer = await ask(`${server.url}/metrics`);
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    expect([...families.keys()]).toEqual(
      [...metricTable, ...postHogTable].flatMap((row) =>
        row.postHog === undefined ? [row.name] : [row.name, row.postHog.name],
      ),
    );
    for (const [name, family] of families) if (family.type === 'histogram') assertHistogram(name, family);
  });

  it('shows no key of any kind, and nothing that a client sent', () => {
    for (const secret of [...Object.values(testKeys), UNKNOWN_KEY, UUID, 'd-1', 'no/such'])
      expect(page).not.toContain(secret);
    expect(page).not.toMatch(/ph[a-z]_/);
  });

  it('counts the events: received, accepted, rejected by code, stored, duplicate', () => {
    expect(value('hedgerow_events_received_total')).toBe(12);
    expect(value('hedgerow_events_accepted_total')).toBe(9);
    expect(samplesOf('hedgerow_events_rejected_total')).toEqual({
      'hedgerow_events_rejected_total{code="missing_distinct_id"}': 2,
      'hedgerow_events_rejected_total{code="performance_event"}': 1,
    });
    expect(value('hedgerow_events_stored_total')).toBe(8);
    expect(value('hedgerow_events_duplicate_total')).toBe(1);
    expect(value('hedgerow_events_replayed_total')).toBe(0);
    expect(value('hedgerow_rejections_stored_total')).toBe(2);
    expect(value('hedgerow_loader_lag_seconds')).toBe(0);
    expect(value('hedgerow_distinct_ids_with_whitespace_total')).toBe(1);
    expect(samplesOf('hedgerow_event_times_total')).toEqual({
      'hedgerow_event_times_total{source="offset"}': 1,
      'hedgerow_event_times_total{source="sent_at_skew"}': 3,
      'hedgerow_event_times_total{source="timestamp_raw"}': 2,
      'hedgerow_event_times_total{source="now_fallback"}': 3,
    });
  });

  it('counts the requests: by route, method and status; refused by code', () => {
    const requests = Object.entries(samplesOf('hedgerow_http_requests_total')).filter(
      ([series]) => !/route="\/(metrics|_readiness)"/.test(series),
    );
    expect(Object.fromEntries(requests)).toEqual({
      'hedgerow_http_requests_total{route="/batch",method="POST",status="200"}': 3,
      'hedgerow_http_requests_total{route="/batch",method="POST",status="400"}': 1,
      'hedgerow_http_requests_total{route="/batch",method="POST",status="401"}': 1,
      'hedgerow_http_requests_total{route="/batch",method="POST",status="408"}': 1,
      'hedgerow_http_requests_total{route="/batch",method="POST",status="413"}': 2,
      'hedgerow_http_requests_total{route="/capture",method="POST",status="200"}': 2,
      'hedgerow_http_requests_total{route="/capture",method="POST",status="400"}': 2,
      'hedgerow_http_requests_total{route="/e",method="POST",status="200"}': 1,
      'hedgerow_http_requests_total{route="/i/v0/e",method="POST",status="200"}': 1,
      'hedgerow_http_requests_total{route="other",method="GET",status="404"}': 1,
    });
    expect(samplesOf('hedgerow_requests_refused_total')).toEqual({
      'hedgerow_requests_refused_total{code="missing_distinct_id"}': 1,
      'hedgerow_requests_refused_total{code="unknown_api_key"}': 1,
      'hedgerow_requests_refused_total{code="invalid_json"}': 1,
      'hedgerow_requests_refused_total{code="invalid_encoding"}': 1,
      'hedgerow_requests_refused_total{code="payload_too_large"}': 2,
      'hedgerow_requests_refused_total{code="body_timeout"}': 1,
    });
    expect(samplesOf('hedgerow_http_unreadable_requests_total')).toEqual({
      'hedgerow_http_unreadable_requests_total{code="invalid_header"}': 1,
    });
    const stalled = samplesOf('hedgerow_http_request_duration_seconds');
    expect(
      stalled['hedgerow_http_request_duration_seconds_sum{route="/batch",method="POST",status="408"}'],
    ).toBeGreaterThanOrEqual(STALL_MS / 1000);
  });

  it('counts the bytes: as sent, once inflated, and those that were too many', () => {
    expect(value('hedgerow_body_bytes_total')).toBe(bodyBytes);
    expect(samplesOf('hedgerow_body_size_bytes')).toMatchObject({
      hedgerow_body_size_bytes_sum: bodyBytes,
      hedgerow_body_size_bytes_count: 12, // all that were sent but the one over the limit as sent
    });
    expect(samplesOf('hedgerow_payload_size_bytes')).toMatchObject({ hedgerow_payload_size_bytes_count: 10 });
    expect(samplesOf('hedgerow_gzip_ratio')).toMatchObject({ hedgerow_gzip_ratio_count: 1 });
    expect(samplesOf('hedgerow_lz64_ratio')).toMatchObject({ hedgerow_lz64_ratio_count: 0 });
    expect(samplesOf('hedgerow_payloads_too_large_total')).toEqual({
      'hedgerow_payloads_too_large_total{kind="none"}': 1,
      'hedgerow_payloads_too_large_total{kind="gzip"}': 1,
    });
    expect(samplesOf('hedgerow_rejected_body_drains_total')).toEqual({
      'hedgerow_rejected_body_drains_total{outcome="drained",reason="complete"}': 1,
    });
  });

  it('measures the log, the disk, the clock of the client and its own start', () => {
    const appends = samplesOf('hedgerow_log_append_duration_seconds')['hedgerow_log_append_duration_seconds_count'];
    expect(appends).toBe(8);
    expect(samplesOf('hedgerow_log_group_frames')['hedgerow_log_group_frames_sum']).toBe(appends);
    const groups = samplesOf('hedgerow_log_group_frames')['hedgerow_log_group_frames_count'];
    expect(samplesOf('hedgerow_log_write_duration_seconds')['hedgerow_log_write_duration_seconds_count']).toBe(groups);
    expect(samplesOf('hedgerow_log_group_bytes')['hedgerow_log_group_bytes_sum']).toBeGreaterThan(1000);
    expect(value('hedgerow_log_queue_bytes')).toBe(0);
    expect(value('hedgerow_log_queue_oldest_seconds')).toBe(0);
    expect(value('hedgerow_log_queue_limit_bytes')).toBe(QUEUE_BYTES);
    expect(samplesOf('hedgerow_log_faults_total')).toEqual({});
    expect(value('hedgerow_loader_retries_total')).toBe(0);
    expect(
      samplesOf('hedgerow_store_insert_duration_seconds')['hedgerow_store_insert_duration_seconds_sum'],
    ).toBeGreaterThan(0);
    expect(value('hedgerow_disk_free_bytes')).toBeGreaterThan(1 << 20);
    const skew = samplesOf('hedgerow_client_clock_skew_seconds');
    expect(skew['hedgerow_client_clock_skew_seconds_count']).toBe(1);
    expect(skew['hedgerow_client_clock_skew_seconds_sum']).toBeGreaterThanOrEqual(120);
    expect(skew['hedgerow_client_clock_skew_seconds_sum']).toBeLessThan(180);
    const startedMs = (value('hedgerow_process_start_time_seconds') ?? 0) * 1000;
    expect(Math.abs(startedMs - (sentAtMs + 120_000))).toBeLessThan(60_000);
  });

  it('tells the same under PostHog’s names', () => {
    for (const { name, labels, postHog } of metricTable) {
      if (postHog === undefined) continue;
      const expected = Object.entries(samplesOf(name)).map(([series, count]): [string, number] => {
        let renamed = series.replace(name, postHog.name);
        labels.forEach((label, at) => (renamed = renamed.replace(`${label}="`, `${postHog.labels?.[at] ?? label}="`)));
        return [renamed, count];
      });
      expect(samplesOf(postHog.name)).toEqual(Object.fromEntries(expected));
    }
    expect(samplesOf('capture_error_by_stage_and_type')).toEqual({
      'capture_error_by_stage_and_type{error="no_distinct_id",stage="parsing"}': 1,
      'capture_error_by_stage_and_type{error="unknown_token",stage="parsing"}': 1,
      'capture_error_by_stage_and_type{error="req_parsing",stage="parsing"}': 1,
      'capture_error_by_stage_and_type{error="req_decoding",stage="parsing"}': 1,
      'capture_error_by_stage_and_type{error="oversize_event",stage="parsing"}': 2,
      'capture_error_by_stage_and_type{error="body_read_timeout",stage="parsing"}': 1,
    });
    expect(samplesOf('capture_body_read_timeout_total')).toEqual({
      'capture_body_read_timeout_total{path="/batch"}': 1,
    });
    expect(samplesOf('capture_full_payload_size')['capture_full_payload_size_count{oversize="false"}']).toBe(10);
  });

  it('says how far the loader is behind while the store stands still', async () => {
    const found = spawnSync('pgrep', ['-P', String(server.process.pid)], { encoding: 'utf8' });
    const children = found.stdout.trim().split('\n').map(Number);
    expect(children.length).toBeGreaterThan(0);
    const lag = async (): Promise<{ events: number; seconds: number }> => {
      families = parse((await ask(`${server.url}/metrics`)).text);
      return {
        events: value('hedgerow_loader_lag_events') ?? -1,
        seconds: value('hedgerow_loader_lag_seconds') ?? -1,
      };
    };
    for (const pid of children) process.kill(pid, 'SIGSTOP');
    try {
      const batch = [event('late'), event('late'), { event: 'late and bad' }];
      expect((await post(`${server.url}/batch`, { api_key: testKeys.public, batch })).status).toBe(200);
      const first = await until(
        async () => [await lag()].find(({ events, seconds }) => events === 3 && seconds > 0.2),
        {
          deadlineMs: 10_000,
          what: 'a lag of three records',
        },
      );
      await until(async () => (await lag()).seconds > first.seconds + 0.3, {
        deadlineMs: 10_000,
        what: 'the lag grows',
      });
      expect((await lag()).events).toBe(3);
    } finally {
      for (const pid of children) process.kill(pid, 'SIGCONT');
    }
    await until(async () => [await lag()].find(({ events, seconds }) => events === 0 && seconds === 0), {
      deadlineMs: 20_000,
      what: 'the loader has caught up',
    });
  });
});
