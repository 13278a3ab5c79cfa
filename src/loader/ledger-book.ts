/**
 * Reads the ledger as of one moment: what the store's table has counted, and what lies behind that in the log.
 *
 * Guarantees
 *   G1  Every durable record is counted once: by the table when it lies before the stream's reach, which the same read of
 *       the table says, else as pending.
 * Failure  While the loader overtakes a read it is begun anew, MAX_TRIES times; a log that is further ahead than one
 *          call reads answers `behind`, and the next call comes further.
 */
import { z } from 'zod';
import { asProjectId, type ProjectId } from '../event/ids.ts';
import { internalDatabase } from '../store/schema.ts';
import type { QueryAnswer, QueryRequest } from '../store/store.ts';
import { LedgerCell, type LedgerTally } from './ledger-tally.ts';
import type { PendingTally } from './pending-tally.ts';

const MAX_TRIES = 5;

export interface LedgerSpan {
  /** undefined: every project. */
  readonly projectId: ProjectId | undefined;
  /** `[from, to)` by minute of arrival, seconds since 1970. */
  readonly fromSeconds: number;
  readonly toSeconds: number;
  /** Length of an interval: a whole number of minutes. Intervals are counted from 1970. */
  readonly stepSeconds: number;
  /** Intervals over all projects. */
  readonly maxRows: number;
}

/** One interval of a project in which something was received. */
export interface LedgerLine {
  readonly projectId: ProjectId;
  readonly startSeconds: number;
  /** The table's and the log's: `accepted` is both, `stored` and `duplicate` the table's alone. */
  readonly cell: LedgerCell;
  /** Events that are durable and not yet in the table. */
  readonly pending: number;
}

/** Records of `stream` that the table has counted: `[first, next)`. */
export interface CountedRange {
  readonly stream: string;
  /** Beyond 1 the same numbers stand for records of an earlier log too (store/store.ts). */
  readonly epoch: number;
  readonly first: number;
  readonly next: number;
}

export interface LedgerPage {
  readonly kind: 'page';
  readonly lines: readonly LedgerLine[];
  readonly counted: readonly CountedRange[];
  /** There are more intervals than `maxRows`; `lines` are not all. */
  readonly hasMore: boolean;
}

/** Runs our own SQL; a refusal goes back to whoever asked. */
export type AskStore<F> = (
  sql: { readonly text: string; readonly parameters: QueryRequest['parameters'] },
  maxRows: number,
) => Promise<QueryAnswer | F>;

const count = z.number();
const tableRows = z.array(
  z.tuple([count, count, z.string(), count, count, count, count, count, z.record(z.string(), count), count, count]),
);

interface Table {
  readonly lines: Map<string, { readonly projectId: ProjectId; readonly startSeconds: number; cell: LedgerCell }>;
  readonly counted: readonly CountedRange[];
  readonly hasMore: boolean;
}

export class LedgerBook {
  readonly #pending: PendingTally;

  constructor(pending: PendingTally) {
    this.#pending = pending;
  }

  /** @throws LogDamaged, UnreadableRecord */
  async read<F extends { readonly kind: 'fault' }>(
    span: LedgerSpan,
    ask: AskStore<F>,
  ): Promise<LedgerPage | F | { readonly kind: 'behind' }> {
    for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
      // Before the table: where it has no word on a stream, the stream's records are counted from here.
      const committed = await this.#pending.committed();
      const answer = await ask(tableSql(span), span.maxRows + committed.size + 1000);
      if (answer.kind === 'fault') return answer;
      const table = tableOf(answer);
      const reached = new Map(table.counted.map(({ stream, next }) => [stream, next]));
      const starts = new Map([...committed].map(([stream, at]) => [stream, Math.max(at, reached.get(stream) ?? 0)]));
      const pending = await this.#pending.since(starts);
      if (pending.kind === 'behind') return pending;
      if (pending.kind === 'tally') return pageOf(span, table, pending.tally);
    }
    return { kind: 'behind' };
  }
}

function tableSql(span: LedgerSpan): { readonly text: string; readonly parameters: QueryRequest['parameters'] } {
  const { projectId, fromSeconds, toSeconds, stepSeconds } = span;
  const ofProject = projectId === undefined ? 'project_id > 0' : 'project_id = {project_id:UInt32}';
  return {
    text: `SELECT project_id, intDiv(toUInt32(minute), {step:UInt32}) * {step:UInt32} AS start, toString(stream), epoch,
        sum(received), sum(accepted), sum(stored), sum(duplicate), sumMap(rejected_by_code), min(first_sequence),
        max(reached).1
      FROM ${internalDatabase}.ledger
      WHERE project_id = 0 OR (${ofProject} AND minute >= toDateTime({from:UInt32}, 'UTC') AND minute < toDateTime({to:UInt32}, 'UTC'))
      GROUP BY project_id, start, stream, epoch ORDER BY project_id, start, stream, epoch`,
    parameters: {
      ...(projectId === undefined ? {} : { project_id: projectId }),
      step: stepSeconds,
      from: fromSeconds,
      to: toSeconds,
    },
  };
}

function tableOf(answer: QueryAnswer): Table {
  const lines: Table['lines'] = new Map();
  const counted = new Map<string, CountedRange>();
  for (const row of tableRows.parse(JSON.parse(answer.rowsJson))) {
    const [project, startSeconds, stream, epoch, received, accepted, stored, duplicate, rejected, first, next] = row;
    if (project === 0) {
      counted.set(stream, { stream, epoch, first, next }); // ordered by epoch: the last one counts
      continue;
    }
    const cell = new LedgerCell();
    cell.received = received;
    cell.accepted = accepted;
    cell.stored = stored;
    cell.duplicate = duplicate;
    for (const [code, events] of Object.entries(rejected)) cell.addRejected(code, events);
    const projectId = asProjectId(project);
    lines.set(keyOf(projectId, startSeconds), { projectId, startSeconds, cell });
  }
  return { lines, counted: [...counted.values()], hasMore: answer.hasMore };
}

function pageOf(span: LedgerSpan, table: Table, tally: LedgerTally): LedgerPage {
  const lines = new Map([...table.lines].map(([key, line]) => [key, { ...line, pending: 0 }]));
  for (const { projectId, minuteSeconds, cell } of tally.cells()) {
    if (span.projectId !== undefined && projectId !== span.projectId) continue;
    if (minuteSeconds < span.fromSeconds || minuteSeconds >= span.toSeconds) continue;
    const startSeconds = minuteSeconds - (minuteSeconds % span.stepSeconds);
    const key = keyOf(projectId, startSeconds);
    const line = lines.get(key) ?? { projectId, startSeconds, cell: new LedgerCell(), pending: 0 };
    line.cell.add(cell);
    lines.set(key, { ...line, pending: line.pending + cell.accepted });
  }
  const { counted, hasMore } = table;
  return { kind: 'page', lines: [...lines.values()], counted, hasMore };
}

function keyOf(projectId: ProjectId, startSeconds: number): string {
  return `${projectId}:${startSeconds}`;
}
