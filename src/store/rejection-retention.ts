/**
 * Keeps the rejected events within an age and a size: the oldest go first.
 *
 * Size     counts the events' texts as sent, before compression, and ROW_BYTES for the rest of each row. Beyond the
 *          bound, the oldest go until KEPT_SHARE of it is left, so that a flood does not mean a deletion a look. The
 *          newest request stays, however large.
 * Way      a lightweight DELETE, which only marks rows: 14 ms where a tenth of 310 MB went. It frees nothing by itself,
 *          so once MASKED_SHARE of the rows on disk are marked, the parts that have such are written anew without them.
 *          Days as partitions, dropped whole, took as long (50 ms), but one loud day fills any bound by itself, and to
 *          shorten one took 1.6 s each time.
 * Order    one step at a time; a look costs milliseconds, since the size comes from the lengths alone.
 * Failure  the step after the next interval tries again: what it deletes follows from what is there.
 *
 * The ledger keeps its counts: it is a table of its own.
 */
import { z } from 'zod';
import type { Clock } from '../event/clock.ts';
import { database, internalDatabase } from './schema.ts';
import type { QueryRequest, Store } from './store.ts';

export const ROW_BYTES = 100;
export const LOOK_MS = 10_000;
const KEPT_SHARE = 0.9;
const MASKED_SHARE = 0.25;
/** An age is checked this often: the bound is in days. */
const AGE_LOOK_MS = 600_000;
const DAY_MS = 86_400_000;
/** A note that a rejection was sent again outlives it, since clocks may differ. */
const NOTE_EXTRA_MS = DAY_MS;
const TIMEOUT_MS = 300_000;

const table = `${database}.rejections`;
const notes = `${internalDatabase}.retried`;
const bytesSql = `toInt64(sum(length(raw)) + ${ROW_BYTES} * count())`;

export type RejectionBound = 'age' | 'size';

export interface KeptRejections {
  readonly events: number;
  /** As the bound counts them. */
  readonly bytes: number;
}

export interface RejectionRetentionNeeds {
  readonly store: Pick<Store, 'query'>;
  readonly clock: Clock;
  readonly maxAgeDays: number;
  readonly maxBytes: number;
  readonly onDeleted: (bound: RejectionBound, events: number) => void;
  readonly onFault: (error: Error) => void;
}

const countRow = z.tuple([z.tuple([z.number()])]);
const pairRow = z.tuple([z.tuple([z.number(), z.number()])]);

export class RejectionRetention {
  readonly #needs: RejectionRetentionNeeds;
  #timer: NodeJS.Timeout | undefined;
  #isStepping = false;
  #isStopped = false;
  #kept: KeptRejections | undefined;
  #agesSeenAtMs = Number.NEGATIVE_INFINITY;

  constructor(needs: RejectionRetentionNeeds) {
    this.#needs = needs;
  }

  start(): void {
    this.#look();
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#timer.unref();
  }

  /** A step under way ends with the store; what it had marked stays marked. */
  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#timer);
  }

  /** As of the last look; undefined before the first. */
  kept(): KeptRejections | undefined {
    return this.#kept;
  }

  /** Deletes what is beyond the bounds. @throws Error when the store does not answer */
  async step(): Promise<void> {
    const { clock, maxAgeDays, maxBytes } = this.#needs;
    if (clock.monotonicMs() - this.#agesSeenAtMs >= AGE_LOOK_MS) {
      const cutMicros = BigInt(Math.floor(clock.nowMs()) - maxAgeDays * DAY_MS) * 1000n;
      await this.#deleteBefore(cutMicros, 'age');
      this.#agesSeenAtMs = clock.monotonicMs();
    }
    let kept = await this.#measure();
    if (kept.bytes > maxBytes) {
      await this.#deleteBefore(await this.#sizeCut(), 'size');
      kept = await this.#measure();
    }
    this.#kept = kept;
    await this.#freeSpace();
  }

  async #measure(): Promise<KeptRejections> {
    const [[events, bytes]] = pairRow.parse(await this.#rows(`SELECT toInt64(count()), ${bytesSql} FROM ${table}`));
    return { events, bytes };
  }

  #look(): void {
    if (this.#isStepping) return;
    this.#isStepping = true;
    this.step()
      .catch((error: unknown) => {
        if (!this.#isStopped) this.#needs.onFault(error instanceof Error ? error : new Error(String(error)));
      })
      .finally(() => {
        this.#isStepping = false;
      });
  }

  /** From when on the newest fill no more than `KEPT_SHARE` of the bound; at least the newest request stays. */
  async #sizeCut(): Promise<bigint> {
    const sql =
      `SELECT toUnixTimestamp64Micro(minIf(at, running <= {max:Int64})), toUnixTimestamp64Micro(max(at)) FROM (` +
      `SELECT at, sum(bytes) OVER (ORDER BY at DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS running FROM (` +
      `SELECT received_at AS at, ${bytesSql} AS bytes FROM ${table} GROUP BY at))`;
    const max = Math.floor(this.#needs.maxBytes * KEPT_SHARE);
    const [[first, newest]] = pairRow.parse(await this.#rows(sql, { max }));
    return BigInt(first > 0 ? first : newest);
  }

  async #deleteBefore(cutMicros: bigint, bound: RejectionBound): Promise<void> {
    const before = "received_at < fromUnixTimestamp64Micro({cut:Int64}, 'UTC')";
    const parameters = { cut: cutMicros };
    const [[events]] = countRow.parse(
      await this.#rows(`SELECT toInt64(count()) FROM ${table} WHERE ${before}`, parameters),
    );
    if (events === 0) return;
    await this.#rows(`DELETE FROM ${table} WHERE ${before}`, parameters);
    this.#needs.onDeleted(bound, events);
    const noteCut = { cut: cutMicros - BigInt(NOTE_EXTRA_MS) * 1000n };
    await this.#rows(`DELETE FROM ${notes} WHERE retried_at < fromUnixTimestamp64Micro({cut:Int64}, 'UTC')`, noteCut);
  }

  async #freeSpace(): Promise<void> {
    const partsSql =
      `SELECT toInt64(sum(rows)), toInt64(sum(has_lightweight_delete)) FROM system.parts ` +
      `WHERE active AND database = '${database}' AND table = 'rejections'`;
    const [[onDisk, partsWithMarks]] = pairRow.parse(await this.#rows(partsSql));
    if (partsWithMarks === 0) return;
    const [[live]] = countRow.parse(await this.#rows(`SELECT toInt64(count()) FROM ${table}`));
    if (onDisk - live >= onDisk * MASKED_SHARE) await this.#rows(`ALTER TABLE ${table} APPLY DELETED MASK`);
  }

  async #rows(sql: string, parameters: QueryRequest['parameters'] = {}): Promise<unknown> {
    const limits = { timeoutMs: TIMEOUT_MS, maxRows: 1 };
    const answer = await this.#needs.store.query({ sql, parameters, limits, signal: undefined });
    if (answer.kind === 'fault') throw new Error(`the store did not answer: ${answer.message}`);
    return JSON.parse(answer.rowsJson);
  }
}
