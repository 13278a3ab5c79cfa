/** The table of metrics, what the code counts, and docs/metrics.md agree. `npx vitest run --project meta -u` writes the document anew. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format } from 'prettier';
import { describe, expect, it } from 'vitest';
import { Counter, Histogram, LabelledCounter } from '../../src/telemetry/instruments.ts';
import { type MetricRow, metricTable, postHogTable } from '../../src/telemetry/metric-table.ts';
import { Metrics, SOURCE_DEADLINE_MS } from '../../src/telemetry/metrics.ts';
import { metricsPage } from '../../src/telemetry/metrics-page.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** PostHog's metrics (protocol.md 9) that have no number here, and why. */
const ABSENT: readonly (readonly [names: string, why: string])[] = [
  ['capture_event_restrictions_applied', 'there are no restrictions'],
  ['capture_events_rerouted_*', 'there is one log, and nothing is sent elsewhere'],
  ['capture_heatmap_redirects_created', 'heatmap data stays in its event'],
  ['capture_kafka_*', 'the log is not Kafka; see hedgerow_log_*'],
  ['capture_v1_*', 'requests and events of protocol V1 are counted with all others, requests by route'],
];

function nameCell(row: Pick<MetricRow, 'name' | 'labels'>): string {
  const labels = row.labels.length === 0 ? '' : `{${row.labels.join(',')}}`;
  return `\`${row.name}${labels}\``;
}

function aliasCell({ labels, postHog }: MetricRow): string {
  return postHog === undefined ? '' : nameCell({ name: postHog.name, labels: postHog.labels ?? labels });
}

function document(): string {
  return [
    '# Metrics',
    '',
    'What `GET /metrics` shows, from the table in `src/telemetry/metric-table.ts`; Prometheus’ text format. It needs no key and shows',
    'none: labels are routes, methods, status codes and error codes ([errors.md](errors.md)), never a project, a key or an event’s name.',
    '',
    'Numbers are those of one process and begin at 0 with it. Histograms have `_bucket`, `_sum` and `_count`. A gauge whose part this process has',
    `not (\`role\`), or whose source does not answer within ${SOURCE_DEADLINE_MS / 1000} s, is left out.`,
    '',
    '`received = accepted + rejected` holds whenever no request is under way. `accepted = stored + duplicate + replayed + waiting` holds',
    'over the life of a data folder, where `hedgerow_loader_lag_events` is what waits, rejected events included.',
    '',
    '| Name and labels | Type | Meaning | PostHog’s name |',
    '| --- | --- | --- | --- |',
    ...metricTable.map((row) => `| ${nameCell(row)} | ${row.type} | ${row.help} | ${aliasCell(row)} |`),
    '',
    '## Under PostHog’s names alone',
    '',
    '| Name and labels | Type | Meaning |',
    '| --- | --- | --- |',
    ...postHogTable.map((row) => `| ${nameCell(row)} | ${row.type} | ${row.help} |`),
    '',
    'Values of `cause` and `error` are PostHog’s words where it has one for the reason, else our codes; the global labels `role` and',
    '`capture_mode` are not set.',
    '',
    '## PostHog’s that are not here',
    '',
    ...ABSENT.map(
      ([names, why]) =>
        `- ${names
          .split(', ')
          .map((name) => `\`${name}\``)
          .join(', ')}: ${why}.`,
    ),
    '',
  ].join('\n');
}

function sourcesOutsideTelemetry(): string {
  return readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .map((name) => name.replaceAll('\\', '/'))
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && !name.startsWith('telemetry/'))
    .map((name) => readFileSync(join(root, 'src', name), 'utf8'))
    .join('\n');
}

function move(instrument: unknown): void {
  if (instrument instanceof Counter) instrument.add(7);
  else if (instrument instanceof LabelledCounter) instrument.add('some_code', 7);
  else if (instrument instanceof Histogram) instrument.observe(7);
  else throw new Error('no instrument');
}

const rows: readonly MetricRow[] = [...metricTable, ...postHogTable];
const instruments = Object.entries(new Metrics()).filter(([name]) => name !== 'http' && name !== 'eventTimes');

describe('metrics', () => {
  it('have each name once', () => {
    const names = rows.flatMap((row) => (row.postHog === undefined ? [row.name] : [row.name, row.postHog.name]));
    expect(names).toEqual([...new Set(names)]);
  });

  it.each(metricTable.map((row) => [row.name, row] as const))(
    '%s has a name with a unit, and a sentence',
    (name, row) => {
      expect(name).toMatch(/^hedgerow_[a-z0-9]+(_[a-z]+)+$/);
      if (row.type === 'counter') expect(name).toMatch(/_total$/);
      else expect(name).toMatch(/_(seconds|bytes|events|frames|ratio|in_flight|connections)$/);
      expect(row.help).toMatch(/^[A-Z].+\.$/);
      expect(row.postHog?.labels?.length ?? row.labels.length).toBe(row.labels.length);
    },
  );

  it.each(instruments.map(([name]) => name))('the count %s is shown', async (name) => {
    const metrics = new Metrics();
    const before = await metricsPage(metrics);
    move(Object.entries(metrics).find(([key]) => key === name)?.[1]);
    expect(await metricsPage(metrics)).not.toBe(before);
  });

  it('are all moved by some part', () => {
    const text = sourcesOutsideTelemetry();
    expect(instruments.map(([name]) => name).filter((name) => !text.includes(`etrics.${name}`))).toEqual([]);
  });

  it('are all in docs/metrics.md, as they are', async () => {
    await expect(await format(document(), { parser: 'markdown' })).toMatchFileSnapshot(join(root, 'docs/metrics.md'));
  });
});
