import { describe, expect, it } from 'vitest';
import { Problems } from './problems.ts';
import { reportAsJson, reportAsText } from './report.ts';
import { Samples } from './samples.ts';
import { syncWarning } from './sync-latency.ts';
import type { VerifyResult } from './verify-run.ts';

const uuid = '01234567-89ab-4cde-8f01-00000000002a';
const slowDisk = { filesystem: 'ext4', writes: 900, p50Micros: 210.4, p99Micros: 1100 };

function samplesOf(...values: readonly number[]): Samples {
  const samples = new Samples();
  for (const value of values) samples.add(value);
  return samples;
}

function resultOf(changes: Partial<VerifyResult> = {}): VerifyResult {
  return {
    problems: new Problems(),
    kills: 12,
    killsWhileStarting: 3,
    sent: 48_400,
    totals: { acknowledged: 48_213, requests: 2_000, resent: 1_203, copies: 250, refused: 187, later: new Map() },
    rows: 48_213,
    acknowledgedPerSecond: 9811.4,
    sync: slowDisk,
    restartMs: samplesOf(812, 900, 1210),
    visibleMs: samplesOf(120, 310),
    diskFull: { kind: 'tried', acknowledged: 5_000, refusals: 4, resumedAfterMs: 901 },
    seconds: 88.2,
    ...changes,
  };
}

const facts = { version: '1.2.3', keptFolder: undefined, style: 'plain' } as const;

describe('the report', () => {
  it('says in one sentence that nothing was lost, and shows the figures in 80 columns', () => {
    const text = reportAsText(resultOf(), facts);
    expect(text).toMatch(/^Nothing that was acknowledged was lost or doubled: 48,213 events, 12 kills\.\n\n/);
    expect(text).toContain('p50 900 ms, longest 1.2 s');
    expect(text).toContain('p50 210 µs, p99 1.1 ms on ext4');
    expect(text).not.toContain('Warning');
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  it('names what was lost and doubled, where the folder is, and what to do', () => {
    const problems = new Problems();
    problems.add('lost', { uuid });
    for (let i = 0; i < 12; i++) problems.add('doubled', { uuid: uuid.replace('2a', `b${i % 10}`) });
    const text = reportAsText(resultOf({ problems }), { ...facts, keptFolder: '/srv/hedgerow-verify-x' });
    expect(text).toMatch(/^FAILED: 1 lost, 12 doubled; of 48,213 events, 12 kills\.\n/);
    expect(text).toContain('The first 10 of 13:');
    expect(text).toContain(`  lost  ${uuid}\n`);
    expect(text).toContain('/srv/hedgerow-verify-x');
    expect(text).toContain('Run it again');
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  it('does not claim a comparison that was not reached', () => {
    const problems = new Problems();
    problems.add('server', { detail: 'the server ended while it was starting. {"level":50}' });
    const text = reportAsText(resultOf({ problems, rows: undefined }), facts);
    expect(text).toContain('FAILED: 1 failure of the server; of 48,213 events');
    expect(text).toMatch(/It did not come to\s+a comparison of all events\./);
    expect(text).toContain('the server ended while it was starting. {"level":50}');
  });

  it('says why the full disk was not tried', () => {
    const text = reportAsText(resultOf({ diskFull: { kind: 'not_tried', reason: 'it needs root' } }), facts);
    expect(text).toContain('not tried, because it needs root');
  });

  it('gives programs the verdict, every kind of problem, and figures with their units', () => {
    const problems = new Problems();
    problems.add('lost', { uuid });
    expect(JSON.parse(reportAsJson(resultOf({ problems }), { ...facts, keptFolder: '/srv/x' }))).toMatchObject({
      verdict: 'failed',
      folder: '/srv/x',
      events: { acknowledged: 48_213, stored: 48_213, sent_again: 1_203 },
      problems: { lost: 1, doubled: 0, changed: 0, disk_full: 0 },
      examples: [{ kind: 'lost', uuid }],
      restart_ms: { p50: 900, max: 1210, count: 3 },
      visible_ms: { p50: 120, p99: 310, count: 2 },
      sync_us: { p50: 210.4, p99: 1100, count: 900 },
      disk_full: { tried: true, refusals: 4, resumed_after_ms: 901 },
      warnings: [],
    });
    expect(JSON.parse(reportAsJson(resultOf(), facts))).toMatchObject({ verdict: 'passed', folder: null });
  });
});

describe('the warning about the disk', () => {
  it('comes for writes that are faster than a disk, with what to look at', () => {
    expect(syncWarning({ ...slowDisk, p50Micros: 19.9 })).toMatch(/may not write through.*write_cache/s);
    expect(syncWarning({ ...slowDisk, p50Micros: 20 })).toBeUndefined();
    expect(reportAsText(resultOf({ sync: { ...slowDisk, p50Micros: 4 } }), facts)).toContain('Warning: A synced write');
  });

  it('says of a folder in memory that it is one', () => {
    expect(syncWarning({ ...slowDisk, filesystem: 'tmpfs', p50Micros: 2 })).toContain('lies in memory');
  });
});
