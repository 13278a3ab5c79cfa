/**
 * Holds the ledger against itself and against the store, all the time, and tells where they differ: a bug of ours, or rows
 * that were lost.
 *
 * What     received = accepted + rejected; accepted = stored + pending + duplicate; stored = rows that the table of events
 *          has from the records that the ledger has counted. For each project and minute.
 * When     Soon after the start for the last START_SECONDS, then each CHECK_MS for the minutes that the loader has changed
 *          and the last RECENT_SECONDS; less often while nothing changes.
 * Bounds   MAX_ROWS minutes a read, or half of the span. `events.by_received` finds their rows. MAX_FINDINGS are kept.
 * Effect   An alarm alone: capture and loading go on.
 */
import { z } from 'zod';
import type { Clock } from '../event/clock.ts';
import { asProjectId, type ProjectId } from '../event/ids.ts';
import { database } from '../store/schema.ts';
import type { QueryAnswer, QueryFault, QueryRequest, Store } from '../store/store.ts';
import type { LogLines } from '../telemetry/log-lines.ts';
import type { CountedRange, LedgerBook, LedgerPage } from './ledger-book.ts';

const CHECK_MS = 10_000;
const FIRST_CHECK_MS = 1_000;
/** While nothing changes. */
const QUIET_CHECK_MS = 60_000;
const RECENT_SECONDS = 600;
const START_SECONDS = 24 * 3600;
const MINUTE_SECONDS = 60;
const MAX_ROWS = 20_000;
const MAX_FINDINGS = 1_000;
/** Behind every minute: clocks go back, and what was received later than now is looked at too. */
const END_SECONDS = 0xffff_ffff - (0xffff_ffff % MINUTE_SECONDS);
const QUERY_MS = 30_000;

/** Where the numbers of one minute of a project do not agree. */
export interface LedgerFinding {
  readonly projectId: ProjectId;
  readonly minuteSeconds: number;
  readonly received: number;
  readonly accepted: number;
  readonly rejected: number;
  readonly stored: number;
  readonly pending: number;
  readonly duplicate: number;
  /** Rows in the table of events; undefined where nobody can tell which of them were counted. */
  readonly rows: number | undefined;
  /** By how many events they differ, over all that was compared. */
  readonly difference: number;
}

export interface LedgerCheckParts {
  readonly book: LedgerBook;
  readonly store: Pick<Store, 'query'>;
  readonly clock: Clock;
  readonly log: LogLines;
}

export class LedgerCheck {
  readonly #parts: LedgerCheckParts;
  readonly #findings = new Map<string, LedgerFinding>();
  /** Earliest minute that changed since the last check. */
  #changedSinceSeconds: number | undefined;
  #checkedAtMs: number | undefined;
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  readonly #stopping = new AbortController();

  constructor(parts: LedgerCheckParts) {
    this.#parts = parts;
  }

  start(): void {
    this.#timer = setTimeout(() => {
      void this.checkIfDue();
      this.#timer = setInterval(() => void this.checkIfDue(), CHECK_MS);
      this.#timer.unref();
    }, FIRST_CHECK_MS);
    this.#timer.unref();
  }

  async stop(): Promise<void> {
    clearTimeout(this.#timer);
    this.#stopping.abort();
    await this.#running;
  }

  /** The loader has written to the ledger: of this minute, or of it and later ones. */
  noteChanged(minuteSeconds: number): void {
    this.#changedSinceSeconds = Math.min(this.#changedSinceSeconds ?? minuteSeconds, minuteSeconds);
  }

  /** Events by which numbers differ, now. */
  get imbalanceEvents(): number {
    let sum = 0;
    for (const { difference } of this.#findings.values()) sum += difference;
    return sum;
  }

  /** Of one project: minutes that do not agree. */
  *findingsOf(projectId: ProjectId): Generator<LedgerFinding> {
    for (const finding of this.#findings.values()) if (finding.projectId === projectId) yield finding;
  }

  /** One sentence for whoever asks how the server is; undefined while all agrees. */
  alarm(): string | undefined {
    const [first] = this.#findings.values();
    if (first === undefined) return undefined;
    const minute = new Date(first.minuteSeconds * 1000).toISOString();
    return (
      `The ledger does not balance by ${this.imbalanceEvents} events in ${this.#findings.size} minutes, the first ` +
      `at ${minute} in project ${first.projectId}. Capture goes on; see GET /api/projects/${first.projectId}/ledger/ and the log.`
    );
  }

  /** Rejects never. */
  checkIfDue(): Promise<void> {
    const nowMs = this.#parts.clock.monotonicMs();
    const isQuiet = this.#changedSinceSeconds === undefined;
    const isFresh = this.#checkedAtMs !== undefined && nowMs - this.#checkedAtMs < QUIET_CHECK_MS;
    return isQuiet && isFresh ? Promise.resolve() : this.check();
  }

  /** Rejects never. */
  check(): Promise<void> {
    this.#running ??= this.#check().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #check(): Promise<void> {
    const { clock, log } = this.#parts;
    const changed = this.#changedSinceSeconds;
    this.#changedSinceSeconds = undefined;
    const nowSeconds = Math.floor(clock.nowMs() / 1000);
    const reachBack = this.#checkedAtMs === undefined ? START_SECONDS : RECENT_SECONDS;
    let from = Math.min(changed ?? nowSeconds, nowSeconds - reachBack);
    for (const { minuteSeconds } of this.#findings.values()) from = Math.min(from, minuteSeconds);
    from = Math.max(0, from - (from % MINUTE_SECONDS));
    let isDone = false;
    try {
      isDone = await this.#checkSpan(from, END_SECONDS);
    } catch (error) {
      log.warn({ err: error }, 'the ledger could not be checked; it will be tried again');
    }
    if (isDone) this.#checkedAtMs = clock.monotonicMs();
    else if (changed !== undefined) this.noteChanged(changed);
  }

  /** @returns false when it could not be read now */
  async #checkSpan(fromSeconds: number, toSeconds: number): Promise<boolean> {
    const span = { projectId: undefined, fromSeconds, toSeconds, stepSeconds: MINUTE_SECONDS, maxRows: MAX_ROWS };
    const page = await this.#parts.book.read(span, (sql, maxRows) => this.#ask(sql.text, sql.parameters, maxRows));
    if (page.kind !== 'page') return false;
    if (page.hasMore && toSeconds - fromSeconds > MINUTE_SECONDS) {
      const middle = fromSeconds + Math.ceil((toSeconds - fromSeconds) / 2 / MINUTE_SECONDS) * MINUTE_SECONDS;
      return (await this.#checkSpan(fromSeconds, middle)) && (await this.#checkSpan(middle, toSeconds));
    }
    const isCountable = page.counted.every(({ epoch }) => epoch === 1);
    const rows = isCountable ? await this.#rowsFor(page, { fromSeconds, toSeconds }) : undefined;
    if (isCountable && rows === undefined) return false;
    this.#compare(page, rows, { fromSeconds, toSeconds });
    return true;
  }

  /**
   * Rows of the events table that come from what the ledger has counted, by project and minute. All rows first, which is
   * six times as cheap; only where their number differs, because some are on their way, by their places in the log.
   */
  async #rowsFor(page: LedgerPage, span: Span): Promise<Map<string, number> | undefined> {
    const rows = await this.#countRows(span, []);
    if (rows === undefined) return undefined;
    const stored = new Map(page.lines.map((line) => [keyOf(line.projectId, line.startSeconds), line.cell.stored]));
    let first = Number.POSITIVE_INFINITY;
    let last = 0;
    for (const key of new Set([...rows.keys(), ...stored.keys()])) {
      if ((rows.get(key) ?? 0) === (stored.get(key) ?? 0)) continue;
      const minute = minuteOf(key);
      first = Math.min(first, minute);
      last = Math.max(last, minute);
    }
    if (last < first) return rows;
    const unsettled = { fromSeconds: first, toSeconds: last + MINUTE_SECONDS };
    const exact =
      page.counted.length === 0 ? new Map<string, number>() : await this.#countRows(unsettled, page.counted);
    if (exact === undefined) return undefined;
    for (const key of rows.keys()) if (minuteOf(key) >= first && minuteOf(key) <= last) rows.delete(key);
    for (const [key, events] of exact) rows.set(key, events);
    return rows;
  }

  /** @param ranges empty: wherever they come from */
  async #countRows(span: Span, ranges: readonly CountedRange[]): Promise<Map<string, number> | undefined> {
    const parameters: Record<string, string | number> = { from: span.fromSeconds, to: span.toSeconds };
    const places = ranges.map(({ stream, first, next }, i) => {
      Object.assign(parameters, { [`stream_${i}`]: stream, [`first_${i}`]: first, [`next_${i}`]: next });
      return `(stream = {stream_${i}:String} AND sequence >= {first_${i}:UInt64} AND sequence < {next_${i}:UInt64})`;
    });
    const answer = await this.#ask(
      `SELECT project_id, toUnixTimestamp(toStartOfMinute(received_at)) AS start, count() FROM ${database}.events
        WHERE received_at >= toDateTime64({from:UInt32}, 6, 'UTC') AND received_at < toDateTime64({to:UInt32}, 6, 'UTC')
          ${places.length === 0 ? '' : `AND (${places.join(' OR ')})`}
        GROUP BY project_id, start`,
      parameters,
      2 * MAX_ROWS,
    );
    if (answer.kind === 'fault' || answer.hasMore) return undefined;
    const found = z.array(z.tuple([z.number(), z.number(), z.number()])).parse(JSON.parse(answer.rowsJson));
    return new Map(found.map(([projectId, start, events]) => [keyOf(projectId, start), events]));
  }

  #compare(page: LedgerPage, rows: ReadonlyMap<string, number> | undefined, span: Span): void {
    const found = new Map<string, LedgerFinding>();
    for (const { projectId, startSeconds, cell, pending } of page.lines) {
      const key = keyOf(projectId, startSeconds);
      addFinding(found, key, {
        projectId,
        minuteSeconds: startSeconds,
        received: cell.received,
        accepted: cell.accepted,
        rejected: cell.rejectedEvents,
        stored: cell.stored,
        pending,
        duplicate: cell.duplicate,
        rows: rows === undefined ? undefined : (rows.get(key) ?? 0),
      });
    }
    const known = new Set(page.lines.map((line) => keyOf(line.projectId, line.startSeconds)));
    for (const [key, events] of rows ?? []) {
      if (known.has(key)) continue;
      const [projectId] = key.split(':').map(Number);
      const none = { received: 0, accepted: 0, rejected: 0, stored: 0, pending: 0, duplicate: 0 };
      addFinding(found, key, {
        ...none,
        projectId: asProjectId(projectId ?? 0),
        minuteSeconds: minuteOf(key),
        rows: events,
      });
    }
    for (const [key, { minuteSeconds }] of this.#findings) {
      const isChecked = minuteSeconds >= span.fromSeconds && minuteSeconds < span.toSeconds;
      if (isChecked && !found.has(key)) this.#findings.delete(key);
    }
    for (const [key, finding] of found) {
      const before = this.#findings.get(key);
      if (before === undefined && this.#findings.size >= MAX_FINDINGS) continue;
      this.#findings.set(key, finding);
      if (before !== undefined && before.difference === finding.difference) continue;
      const { minuteSeconds, ...numbers } = finding;
      const minute = new Date(minuteSeconds * 1000).toISOString();
      this.#parts.log.error(
        { minute, ...numbers },
        'the ledger does not balance: events of this minute are missing, or counted wrongly. Capture goes on',
      );
    }
  }

  #ask(sql: string, parameters: QueryRequest['parameters'], maxRows: number): Promise<QueryAnswer | QueryFault> {
    const limits = { timeoutMs: QUERY_MS, maxRows };
    return this.#parts.store.query({ sql, parameters, limits, signal: this.#stopping.signal });
  }
}

interface Span {
  readonly fromSeconds: number;
  readonly toSeconds: number;
}

function keyOf(projectId: number, minuteSeconds: number): string {
  return `${projectId}:${minuteSeconds}`;
}

function minuteOf(key: string): number {
  return Number(key.slice(key.indexOf(':') + 1));
}

function addFinding(found: Map<string, LedgerFinding>, key: string, numbers: Omit<LedgerFinding, 'difference'>): void {
  const { received, accepted, rejected, stored, pending, duplicate, rows } = numbers;
  const difference =
    Math.abs(received - accepted - rejected) +
    Math.abs(accepted - stored - pending - duplicate) +
    Math.abs(stored - (rows ?? stored));
  if (difference > 0) found.set(key, { ...numbers, difference });
}
