import { describe, expect, it } from 'vitest';
import { asEpochMs } from '../event/ids.ts';
import { cachedReading } from './cached-reading.ts';
import { Histogram } from './instruments.ts';
import { Metrics } from './metrics.ts';
import { metricsPage } from './metrics-page.ts';

function linesOf(page: string, start: string): string[] {
  return page.split('\n').filter((line) => line.startsWith(start));
}

describe('a histogram', () => {
  it('counts a value that is a bound in the bucket of that bound', () => {
    const histogram = new Histogram([1, 2]);
    for (const value of [0, 1, 1.5, 2, 2.0001, 99]) histogram.observe(value);
    expect(histogram.counts).toEqual([2, 2, 2]);
    expect(histogram.count).toBe(6);
    expect(histogram.sum).toBeCloseTo(105.5001);
  });
});

describe('the page', () => {
  it('shows a histogram cumulated, with sum and count, under both names', async () => {
    const metrics = new Metrics();
    for (const ratio of [1, 3, 3.5, 5_000]) metrics.gzipRatio.observe(ratio);
    const page = await metricsPage(metrics);
    for (const name of ['hedgerow_gzip_ratio', 'capture_gzip_decompression_ratio']) {
      expect(linesOf(page, name)).toEqual([
        ...['1', '2', '4', '6', '8', '10', '15', '20', '50', '100', '1000', '+Inf'].map(
          (le, at) => `${name}_bucket{le="${le}"} ${[1, 1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4][at]}`,
        ),
        `${name}_sum 5007.5`,
        `${name}_count 4`,
      ]);
    }
  });

  it('shows requests by route, method and status, and unknown methods as one', async () => {
    const metrics = new Metrics();
    for (const method of ['POST', 'POST', 'BREW', 'LINK', undefined]) {
      metrics.http.began();
      metrics.http.answered({ route: '/batch', method, status: 200, seconds: 0.5 });
    }
    metrics.http.began();
    const page = await metricsPage(metrics);
    expect(linesOf(page, 'http_requests_total')).toEqual([
      'http_requests_total{path="/batch",method="POST",status="200"} 2',
      'http_requests_total{path="/batch",method="other",status="200"} 3',
    ]);
    expect(linesOf(page, 'hedgerow_http_requests_in_flight')).toEqual(['hedgerow_http_requests_in_flight 1']);
  });

  it('escapes what a label may hold', async () => {
    const metrics = new Metrics();
    metrics.eventsRejected.add('a"b\\c\nd');
    expect(await metricsPage(metrics)).toContain('hedgerow_events_rejected_total{code="a\\"b\\\\c\\nd"} 1\n');
  });

  it('adds up codes for which PostHog has one word', async () => {
    const metrics = new Metrics();
    metrics.requestsRefused.add('unknown_api_key', 2);
    metrics.requestsRefused.add('revoked_api_key', 3);
    metrics.requestsRefused.add('disk_full');
    expect(linesOf(await metricsPage(metrics), 'capture_error_by_stage_and_type{')).toEqual([
      'capture_error_by_stage_and_type{error="unknown_token",stage="parsing"} 5',
      'capture_error_by_stage_and_type{error="retryable_sink",stage="processing"} 1',
    ]);
  });

  it('leaves out a gauge whose source is absent or fails, and shows the others', async () => {
    const metrics = new Metrics();
    metrics.watch({
      queue: () => ({ bytes: 5, limitBytes: 10, oldestMs: 1500 }),
      loaderLag: () => Promise.reject(new Error('closed')),
    });
    const page = await metricsPage(metrics);
    expect(linesOf(page, 'hedgerow_loader_lag')).toEqual([]);
    expect(linesOf(page, 'hedgerow_disk_free_bytes')).toEqual([]);
    expect(linesOf(page, 'hedgerow_log_queue')).toEqual([
      'hedgerow_log_queue_bytes 5',
      'hedgerow_log_queue_limit_bytes 10',
      'hedgerow_log_queue_oldest_seconds 1.5',
    ]);
  });
});

describe('a cached reading', () => {
  it('is asked for once within its age, and again after it or after a failure', async () => {
    let nowMs = 0;
    let asked = 0;
    let fails = false;
    const clock = { nowMs: () => asEpochMs(0), monotonicMs: () => nowMs };
    const reading = cachedReading({ clock, maxAgeMs: 1000 }, () => {
      asked += 1;
      return fails ? Promise.reject(new Error('no')) : Promise.resolve(asked);
    });
    expect([await reading(), await reading()]).toEqual([1, 1]);
    nowMs = 999;
    expect(await reading()).toBe(1);
    nowMs = 1000;
    fails = true;
    await expect(reading()).rejects.toThrow('no');
    fails = false;
    expect(await reading()).toBe(3);
  });
});
