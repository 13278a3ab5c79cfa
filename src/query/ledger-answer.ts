import { fault, type Fault } from '../errors.ts';
import type { EpochMs } from '../event/ids.ts';
import type { LedgerLine } from '../loader/ledger-book.ts';
import { LedgerCell } from '../loader/ledger-tally.ts';
import { formatInstant } from './instant.ts';
import type { LedgerLookup } from './ledger-lookup.ts';
import { readInstant } from './page.ts';
import { jsonAnswer, type ProjectRead, type ReadAnswer } from './read-exchange.ts';
import type { StoreReads } from './store-reads.ts';

/** A week by minutes, a year by hours. */
export const MAX_INTERVALS = 10_080;
/** Without `from`. */
export const DEFAULT_INTERVALS = 60;

const stepSecondsOf = { minute: 60, hour: 3600, day: 86_400 } as const;
export const intervals = ['minute', 'hour', 'day'] as const;
type Interval = (typeof intervals)[number];

/** What the store's column of minutes can hold. */
const END_SECONDS = 0xffff_ffff;

interface Range {
  readonly kind: 'range';
  readonly fromSeconds: number;
  readonly toSeconds: number;
  readonly stepSeconds: number;
}

/** `GET /api/projects/:project/ledger/`: what became of all that was received, in whole intervals, empty ones too. */
export async function showLedger(
  read: ProjectRead,
  places: { readonly store: StoreReads; readonly ledger: LedgerLookup },
  nowMs: EpochMs,
): Promise<ReadAnswer | Fault> {
  const range = readRange(read.request.query, nowMs);
  if (range.kind === 'fault') return range;
  const { fromSeconds, toSeconds, stepSeconds } = range;
  const { project } = read;
  const span = { projectId: project.id, fromSeconds, toSeconds, stepSeconds, maxRows: MAX_INTERVALS };
  const page = await places.ledger.book.read(span, (sql, maxRows) =>
    places.store.rows(sql, maxRows, read.request.signal),
  );
  if (page.kind === 'fault') return page;
  if (page.kind === 'behind') return fault('ledger_behind');

  const lines = new Map(page.lines.map((line) => [line.startSeconds, line]));
  const total = { cell: new LedgerCell(), pending: 0 };
  let isBalanced = true;
  const results: string[] = [];
  for (let start = fromSeconds; start < toSeconds; start += stepSeconds) {
    const line = lines.get(start) ?? { cell: new LedgerCell(), pending: 0 };
    total.cell.add(line.cell);
    total.pending += line.pending;
    isBalanced &&= balances(line);
    results.push(`{"start":"${formatInstant(start * 1000)}",${numbersJson(line)}}`);
  }
  for (const { minuteSeconds } of places.ledger.findingsOf(project.id)) {
    if (minuteSeconds >= fromSeconds && minuteSeconds < toSeconds) isBalanced = false;
  }
  return jsonAnswer(
    `{"totals":{${numbersJson(total)}},"balanced":${String(isBalanced)},"results":[${results.join(',')}]}`,
  );
}

type Numbers = Pick<LedgerLine, 'cell' | 'pending'>;

function balances({ cell, pending }: Numbers): boolean {
  return (
    cell.received === cell.accepted + cell.rejectedEvents && cell.accepted === cell.stored + pending + cell.duplicate
  );
}

function numbersJson({ cell, pending }: Numbers): string {
  const { received, accepted, stored, duplicate } = cell;
  const rejected = Object.fromEntries([...cell.rejected].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  const numbers = JSON.stringify({ received, accepted, stored, pending, duplicate, rejected });
  return numbers.slice(1, -1);
}

/** Widened to whole intervals; `to` is not in it. */
function readRange(query: URLSearchParams, nowMs: EpochMs): Range | Fault {
  const interval = query.get('interval') ?? '';
  if (interval !== '' && !isInterval(interval)) {
    return fault('invalid_parameter', { name: 'interval', expected: `one of ${intervals.join(', ')}` });
  }
  const stepSeconds = stepSecondsOf[interval === '' ? 'minute' : interval];
  const from = readInstant(query, 'from', nowMs);
  if (typeof from === 'object') return from;
  const to = readInstant(query, 'to', nowMs);
  if (typeof to === 'object') return to;
  const toMicros = to ?? BigInt(Math.floor(nowMs) + 1) * 1000n;
  const toSeconds = Math.min(Math.ceil(intervalsOf(toMicros, stepSeconds)) * stepSeconds, END_SECONDS);
  const fromSeconds =
    from === undefined
      ? toSeconds - DEFAULT_INTERVALS * stepSeconds
      : Math.floor(intervalsOf(from, stepSeconds)) * stepSeconds;
  if (fromSeconds < 0 || fromSeconds >= toSeconds) {
    return fault('invalid_parameter', { name: 'from', expected: 'a time before `to`, and from 1970 on' });
  }
  const count = (toSeconds - fromSeconds) / stepSeconds;
  if (count > MAX_INTERVALS) {
    const expected = `a time at most ${MAX_INTERVALS} intervals before \`to\`: these are ${Math.ceil(count)}; a longer \`interval\` reaches further`;
    return fault('invalid_parameter', { name: 'from', expected });
  }
  return { kind: 'range', fromSeconds, toSeconds, stepSeconds };
}

function intervalsOf(micros: bigint, stepSeconds: number): number {
  return Number(micros) / 1_000_000 / stepSeconds;
}

function isInterval(text: string): text is Interval {
  return (intervals as readonly string[]).includes(text);
}
