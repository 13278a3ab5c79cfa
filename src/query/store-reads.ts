import { fault, Impossible, type Fault } from '../errors.ts';
import type { ProjectId } from '../event/ids.ts';
import type { QueryAnswer, QueryFault, QueryRequest, Store } from '../store/store.ts';
import { QueryGate, type GateSize } from './query-gate.ts';

export interface ReadLimits extends GateSize {
  readonly timeoutMs: number;
  /** Rows in the answer to a user's SQL. */
  readonly maxRows: number;
  /** Bytes of properties, or of raw rejected events, on one page of a list; a page ends early beyond it. */
  readonly maxPageBytes: number;
}

/** interface.md 4. */
export const defaultReadLimits: ReadLimits = {
  timeoutMs: 30_000,
  maxRows: 50_000,
  maxRunning: 4,
  maxWaiting: 100,
  maxPageBytes: 16 * 1024 * 1024,
};

export type SqlParameters = QueryRequest['parameters'];

export interface Sql {
  readonly text: string;
  readonly parameters: SqlParameters;
}

/** The store behind the limits on reading: every query passes the gate, and a refusal becomes a fault. */
export class StoreReads {
  readonly limits: ReadLimits;
  readonly #store: Store;
  readonly #gate: QueryGate;

  constructor(store: Store, limits: ReadLimits) {
    this.limits = limits;
    this.#store = store;
    this.#gate = new QueryGate(limits);
  }

  /** Our own SQL, which names its project itself. `maxRows`: as many as its LIMIT lets through. */
  rows(sql: Sql, maxRows: number, signal: AbortSignal): Promise<QueryAnswer | Fault> {
    return this.#run(signal, () => this.#store.query(this.#request(sql, maxRows, signal)));
  }

  /** A user's SQL. */
  projectRows(projectId: ProjectId, sql: Sql, signal: AbortSignal): Promise<QueryAnswer | Fault> {
    const request = this.#request(sql, this.limits.maxRows, signal);
    return this.#run(signal, () => this.#store.queryProject(projectId, request));
  }

  #request(sql: Sql, maxRows: number, signal: AbortSignal): QueryRequest {
    const limits = { timeoutMs: this.limits.timeoutMs, maxRows };
    return { sql: sql.text, parameters: sql.parameters, limits, signal };
  }

  async #run(signal: AbortSignal, ask: () => Promise<QueryAnswer | QueryFault>): Promise<QueryAnswer | Fault> {
    const pass = await this.#gate.run(signal, ask);
    switch (pass.kind) {
      case 'full':
        return fault('too_many_queries', { running: this.limits.maxRunning, waiting: this.limits.maxWaiting });
      case 'cancelled':
        return fault('query_cancelled');
      case 'done':
        if (pass.value.kind === 'rows') return pass.value;
        // The engine cannot tell a client that left from a limit that was reached.
        return signal.aborted ? fault('query_cancelled') : this.#faultOf(pass.value);
      default:
        throw new Impossible(pass);
    }
  }

  #faultOf(refusal: QueryFault): Fault {
    const { reason, message } = refusal;
    switch (reason) {
      case 'invalid':
      case 'refused':
        return fault('invalid_sql', { message });
      case 'timeout':
        return fault('query_timeout', { seconds: this.limits.timeoutMs / 1000 });
      case 'memory':
        return fault('query_memory', { message });
      case 'unavailable':
        return fault('store_unavailable');
      default:
        throw new Impossible(reason);
    }
  }
}
