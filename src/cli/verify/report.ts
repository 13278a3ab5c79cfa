/** The result for people and for programs. Pure; no line passes 80 columns but for paths. */
import { printable } from '../table.ts';
import { problemKinds, type ProblemKind, type Problems } from './problems.ts';
import type { Samples } from './samples.ts';
import { syncWarning } from './sync-latency.ts';
import type { VerifyResult } from './verify-run.ts';
import { CALM_EVENTS_PER_SECOND } from './visibility.ts';

const WIDTH = 80;
const NAME_WIDTH = 17;

export interface ReportFacts {
  readonly version: string;
  /** Where the folder was kept; undefined when it was removed. */
  readonly keptFolder: string | undefined;
  readonly style: 'colour' | 'plain';
}

/** Documented in docs/verify.md. */
export function reportAsJson(result: VerifyResult, { version, keptFolder }: ReportFacts): string {
  const { problems, totals, diskFull, sync } = result;
  const kinds = Object.keys(problemKinds) as readonly ProblemKind[];
  const object = {
    verdict: problems.isEmpty ? 'passed' : 'failed',
    version,
    node: process.version,
    seconds: rounded(result.seconds, 1),
    folder: keptFolder ?? null,
    filesystem: sync.filesystem ?? null,
    kills: result.kills,
    kills_while_starting: result.killsWhileStarting,
    events: {
      sent: result.sent,
      acknowledged: totals.acknowledged,
      sent_again: totals.resent,
      duplicates_on_purpose: totals.copies,
      rejected_on_purpose: totals.refused,
      stored: result.rows ?? null,
    },
    problems: Object.fromEntries(kinds.map((kind) => [kind, problems.countOf(kind)])),
    examples: problems.examples().map(({ kind, uuid, detail }) => ({ kind, uuid: uuid ?? null, detail })),
    acknowledged_per_second: Math.round(result.acknowledgedPerSecond),
    restart_ms: quantiles(result.restartMs, { p50: 0.5, max: 1 }),
    visible_ms: quantiles(result.visibleMs, { p50: 0.5, p99: 0.99 }),
    sync_us: { p50: rounded(sync.p50Micros, 1), p99: rounded(sync.p99Micros, 1), count: sync.writes },
    disk_full:
      diskFull.kind === 'not_tried'
        ? { tried: false, reason: diskFull.reason }
        : {
            tried: true,
            acknowledged: diskFull.acknowledged,
            refusals: diskFull.refusals,
            resumed_after_ms: diskFull.resumedAfterMs ?? null,
          },
    warnings: warningsOf(result),
  };
  return `${JSON.stringify(object)}\n`;
}

export function reportAsText(result: VerifyResult, facts: ReportFacts): string {
  const { problems } = result;
  const figures = figuresOf(result).map(([name, value]) => `  ${name.padEnd(NAME_WIDTH)}  ${value}`);
  const warnings = warningsOf(result).flatMap((text) => ['', ...wrapped(`Warning: ${text}`)]);
  const where =
    facts.keptFolder === undefined ? [] : ['', 'The folder is kept, with server.log in it:', `  ${facts.keptFolder}`];
  return `${[
    ...wrapped(verdictOf(result)).map((line) => painted(line, problems.isEmpty ? 'green' : 'red', facts.style)),
    '',
    ...figures,
    ...(problems.isEmpty ? [] : failureLines(problems)),
    ...warnings,
    ...where,
  ].join('\n')}\n`;
}

function verdictOf({ problems, totals, kills, rows }: VerifyResult): string {
  const of = `${grouped(totals.acknowledged)} events, ${grouped(kills)} ${kills === 1 ? 'kill' : 'kills'}`;
  if (problems.isEmpty) return `Nothing that was acknowledged was lost or doubled: ${of}.`;
  const found = Array.from(problems.counts(), ([kind, count]) => `${grouped(count)} ${problemKinds[kind].label}`).join(
    ', ',
  );
  const reached = rows === undefined ? ' It did not come to a comparison of all events.' : '';
  return `FAILED: ${found}; of ${of}.${reached}`;
}

function figuresOf(result: VerifyResult): readonly (readonly [string, string])[] {
  const { totals, sync, restartMs, visibleMs } = result;
  const stored = result.rows === undefined ? 'not counted' : `${grouped(result.rows)} rows in the store`;
  const again = `${grouped(totals.resent)} of them sent again without an answer`;
  return [
    ['acknowledged', `${grouped(totals.acknowledged)} events; ${stored}`],
    ['after a kill', again],
    ['on purpose', `${grouped(totals.copies)} sent twice, ${grouped(totals.refused)} to be rejected`],
    ['kill -9', `${grouped(result.kills)}, ${grouped(result.killsWhileStarting)} of them while it was starting`],
    ['restart to ready', `p50 ${millis(restartMs.quantile(0.5))}, longest ${millis(restartMs.quantile(1))}`],
    ['under load', `${grouped(Math.round(result.acknowledgedPerSecond))} events/s acknowledged`],
    [
      '200 to SQL',
      `p50 ${millis(visibleMs.quantile(0.5))}, p99 ${millis(visibleMs.quantile(0.99))} ` +
        `at up to ${grouped(CALM_EVENTS_PER_SECOND)} events/s`,
    ],
    ['synced write', `4 KiB: p50 ${micros(sync.p50Micros)}, p99 ${micros(sync.p99Micros)}${onDisk(sync.filesystem)}`],
    ['disk full', diskFullText(result)],
    ['took', `${Math.round(result.seconds)} s`],
  ];
}

function onDisk(filesystem: string | undefined): string {
  return filesystem === undefined ? '' : ` on ${filesystem}`;
}

function diskFullText({ diskFull, problems }: VerifyResult): string {
  if (diskFull.kind === 'not_tried') return `not tried, because ${diskFull.reason}`;
  if (problems.countOf('disk_full') > 0) return 'failed, see below';
  return `answered 503, read on, resumed after ${millis(diskFull.resumedAfterMs)}`;
}

function failureLines(problems: Problems): readonly string[] {
  const shown = problems.examples();
  const total = [...problems.counts().values()].reduce((sum, count) => sum + count, 0);
  return [
    '',
    total > shown.length ? `The first ${shown.length} of ${grouped(total)}:` : 'What is wrong:',
    ...shown.flatMap(({ kind, uuid, detail }) => {
      const lines = detail.split('\n').flatMap((line) => wrapped(printable(line), WIDTH - 4));
      return [
        `  ${problemKinds[kind].label}${uuid === undefined ? '' : `  ${uuid}`}`,
        ...lines.map((line) => `    ${line}`),
      ];
    }),
    '',
    ...wrapped(
      'Run it again, and once more with --data-dir on another disk. If it fails there too, it is a bug of Hedgerow: ' +
        'please report it with server.log. If it fails on this disk alone, do not trust it with events: look at the ' +
        "kernel's messages (dmesg) and the disk's health (smartctl -a).",
    ),
  ];
}

function warningsOf({ sync }: VerifyResult): readonly string[] {
  const warning = syncWarning(sync);
  return warning === undefined ? [] : [warning];
}

function quantiles(
  samples: Samples,
  shares: Readonly<Record<string, number>>,
): Readonly<Record<string, number | null>> {
  const values = Object.entries(shares).map(([name, share]) => {
    const value = samples.quantile(share);
    return [name, value === undefined ? null : rounded(value, 1)];
  });
  return { ...Object.fromEntries(values), count: samples.count } as Readonly<Record<string, number | null>>;
}

function millis(value: number | undefined): string {
  if (value === undefined) return 'not measured';
  return value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

function micros(value: number): string {
  return value < 1000 ? `${value.toFixed(value < 100 ? 1 : 0)} µs` : `${(value / 1000).toFixed(1)} ms`;
}

function rounded(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

function grouped(count: number): string {
  return count.toLocaleString('en-US');
}

function painted(text: string, colour: 'green' | 'red', style: ReportFacts['style']): string {
  return style === 'plain' ? text : `\u001b[1;${colour === 'green' ? 32 : 31}m${text}\u001b[0m`;
}

function wrapped(text: string, width = WIDTH): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
}
