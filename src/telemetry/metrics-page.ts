/**
 * The page under `/metrics`, in Prometheus' text format 0.0.4. Written here and not by a client library: histograms of
 * plain numbers, shown under two names each, cannot be handed to one.
 */
import type { Histogram } from './instruments.ts';
import { type MetricRow, metricTable, postHogTable, type Sample } from './metric-table.ts';
import type { Metrics } from './metrics.ts';

export const METRICS_CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

type Heading = Pick<MetricRow, 'name' | 'type' | 'labels' | 'help'>;

export async function metricsPage(metrics: Metrics): Promise<string> {
  const readings = await metrics.readings();
  const lines: string[] = [];
  for (const row of [...metricTable, ...postHogTable]) {
    const samples = row.samples(metrics, readings);
    writeMetric(lines, row, samples);
    const { postHog } = row;
    if (postHog !== undefined) {
      const help = `The same as ${row.name}.`;
      writeMetric(lines, { ...row, name: postHog.name, labels: postHog.labels ?? row.labels, help }, samples);
    }
  }
  return `${lines.join('\n')}\n`;
}

function writeMetric(lines: string[], heading: Heading, samples: readonly Sample[]): void {
  const { name, type } = heading;
  lines.push(`# HELP ${name} ${escaped(heading.help)}`, `# TYPE ${name} ${type}`);
  for (const { labels, value } of samples) {
    const pairs = heading.labels.map((label, at) => `${label}="${escaped(labels[at] ?? '').replaceAll('"', '\\"')}"`);
    if (typeof value === 'number') lines.push(`${name}${braced(pairs)} ${value}`);
    else writeHistogram(lines, { name, pairs }, value);
  }
}

function writeHistogram(
  lines: string[],
  { name, pairs }: { readonly name: string; readonly pairs: readonly string[] },
  histogram: Histogram,
): void {
  let total = 0;
  histogram.counts.forEach((count, at) => {
    total += count;
    lines.push(`${name}_bucket${braced([...pairs, `le="${histogram.bounds[at] ?? '+Inf'}"`])} ${total}`);
  });
  lines.push(`${name}_sum${braced(pairs)} ${histogram.sum}`, `${name}_count${braced(pairs)} ${total}`);
}

function braced(pairs: readonly string[]): string {
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}
