/**
 * The store's port: ClickHouse SQL. Blocks go in, rows come out. Engines: chdb/. Each passes
 * test/contract/store.contract.test.ts.
 */
import type { ProjectId } from '../event/ids.ts';

/** Where a row came from: the record `sequence` of the log stream `stream`. Tells a replay from a duplicate. */
export interface RowOrigin {
  readonly stream: string;
  readonly sequence: number;
}

/**
 * What a block's bytes are, made by whom, for which table:
 *   event_columns  `EventColumns` (event-columns.ts), `events`: properties taken apart already, the cheap way in
 *   events, rejections, duplicates, ledger  `EventRows` and its kin (row-binary.ts), the table of that name
 */
export type BlockKind = 'event_columns' | 'events' | 'rejections' | 'duplicates' | 'ledger';

/** Rows that go in together, under one deduplication token: all or none. */
export interface Block {
  readonly kind: BlockKind;
  readonly rows: Uint8Array;
  readonly count: number;
  /** Letters, digits, colon and hyphen. */
  readonly deduplicationToken: string;
}

/** Uuids to look up, each within its project; made by `UuidKeys` (store/row-binary.ts). */
export interface UuidKeyBlock {
  readonly rows: Uint8Array;
  readonly count: number;
}

/** A rejection that the store holds. Its request tells it from one of another log whose stream had the same name. */
export interface StoredRejection {
  readonly sequence: number;
  /** Lower case, hyphenated. */
  readonly requestId: string;
  readonly index: number;
}

/** `[first, next)` of a stream. */
export interface OriginRange {
  readonly stream: string;
  readonly first: number;
  readonly next: number;
}

/** A uuid that the store already holds, and the origin of the copy it holds. */
export interface StoredUuid extends RowOrigin {
  readonly projectId: ProjectId;
  /** Lower case, hyphenated. */
  readonly uuid: string;
}

/** How far the ledger has counted a stream: every record before `next`, none behind. */
export interface LedgerReach {
  /** From 1; a later one belongs to a later log whose stream had the same name. */
  readonly epoch: number;
  readonly next: number;
  /** The request of the record `next - 1`, which tells such logs apart; lower case, hyphenated. */
  readonly lastRequestId: string;
}

export interface QueryLimits {
  readonly timeoutMs: number;
  /** Rows beyond it are cut off; one more is fetched to know that. */
  readonly maxRows: number;
}

export interface QueryRequest {
  readonly sql: string;
  /** Values of `{name:Type}` placeholders; never joined into the text. */
  readonly parameters: Readonly<
    Record<string, string | number | bigint | boolean | null | readonly (string | number)[]>
  >;
  readonly limits: QueryLimits;
  readonly signal: AbortSignal | undefined;
}

export interface QueryAnswer {
  readonly kind: 'rows';
  readonly columns: readonly string[];
  /** ClickHouse type names. */
  readonly types: readonly string[];
  /** JSON text of the rows: `[[…],[…]]`; 64-bit integers are exact in the text. */
  readonly rowsJson: string;
  readonly rowCount: number;
  readonly hasMore: boolean;
}

/** The query was refused or stopped: the caller's to mend. */
export interface QueryFault {
  readonly kind: 'fault';
  readonly reason: 'invalid' | 'refused' | 'timeout' | 'memory' | 'unavailable';
  /** One sentence, no stack, no path; with line and column where the engine names them. */
  readonly message: string;
}

export interface Store {
  /**
   * Resolves when the block is synced.
   *
   * @throws StoreUnavailable when it may or may not be in; insert it again then.
   * @throws BlockRefused when it is not in, and never will be as it is.
   */
  insert(block: Block): Promise<void>;
  /** Which of these are already stored, and perhaps the same uuids in others of these projects. Keeps no reference to `keys` once it has resolved. */
  findUuids(keys: UuidKeyBlock): Promise<readonly StoredUuid[]>;
  /** The rejections that `range` has left in the store already. */
  findRejections(range: OriginRange): Promise<readonly StoredRejection[]>;
  /** How far the ledger has come in `stream`, in its latest epoch; undefined when it has not begun. */
  findReach(stream: string): Promise<LedgerReach | undefined>;
  /** Our own SQL, over every project, without FORMAT and SETTINGS; a statement that is no SELECT answers no rows. */
  query(request: QueryRequest): Promise<QueryAnswer | QueryFault>;
  /** A user's SQL: read-only, and only this project's rows exist. */
  queryProject(projectId: ProjectId, request: QueryRequest): Promise<QueryAnswer | QueryFault>;
  /** False while the engine is away (starting, restarting). */
  isReady(): boolean;
  close(): Promise<void>;
}

/** The engine is away; the call may be repeated. */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable';
}

/** The engine understood the block and will not take it: something in its rows. */
export class BlockRefused extends Error {
  override readonly name = 'BlockRefused';
}

/** The folder was written by a newer Hedgerow. */
export class StoreFromNewerVersion extends Error {
  override readonly name = 'StoreFromNewerVersion';
}

/** The folder belongs to another process that is alive. */
export class StoreInUse extends Error {
  override readonly name = 'StoreInUse';
}
