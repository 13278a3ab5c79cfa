/**
 * The log's port: durable, ordered bytes. It knows records, not events.
 *
 * A log is made of streams. A capture process appends to one stream, which it owns alone; a loader reads all streams
 * and says how far it came. A sequence number counts records from 0, without gaps, in the order of `append` calls.
 */

declare const streamId: unique symbol;

/** Names a stream: letters, digits and hyphens, at most 64. */
export type StreamId = string & { readonly [streamId]: true };

export function asStreamId(text: string): StreamId {
  if (!/^[A-Za-z0-9-]{1,64}$/.test(text)) throw new RangeError(`not a stream id: ${text}`);
  return text as StreamId;
}

/** A place in the log: the record `sequence` of `stream`. */
export interface LogOffset {
  readonly stream: StreamId;
  readonly sequence: number;
}

/**
 * The records of one request, appended whole or not at all.
 * `bytes` holds `count` times: length (u32, little endian), then that many bytes.
 */
export interface RecordBatch {
  readonly count: number;
  readonly bytes: Uint8Array;
}

/** Proof that the records `[firstSequence, firstSequence + count)` of `stream` are durable. Only an engine makes one. */
export interface AppendReceipt {
  readonly kind: 'receipt';
  readonly stream: StreamId;
  readonly firstSequence: number;
  readonly count: number;
}

/** Nothing of the batch is kept, or will ever be read. */
export type AppendRefusal = {
  readonly kind: 'refused';
  readonly code: 'overloaded' | 'disk_full' | 'log_unavailable' | 'draining';
};

/** Why an append would be refused now; asked before a request's body is read. */
export type AppendReadiness = { readonly kind: 'ready' } | AppendRefusal;

/** The writing side, owned by one capture process. */
export interface LogWriter {
  readonly stream: StreamId;
  /** Keeps no reference to `batch` once it has returned. A receipt means synced or fully replicated, never less. */
  append(batch: RecordBatch): Promise<AppendReceipt | AppendRefusal>;
  /** Cheap; called for each request. */
  readiness(): AppendReadiness;
  /** Finishes what was accepted, refuses the rest with `draining`, releases the stream. Idempotent. */
  close(): Promise<void>;
}

/** Records as read: consecutive, whole batches, copied out of the engine's buffers or stable until the next read. */
export interface ReadRecords {
  readonly stream: StreamId;
  /** Sequence number of the first record; behind what was asked for where a repair left a gap. */
  readonly firstSequence: number;
  /** First sequence number behind these records: where to read next, and what to commit. */
  readonly nextSequence: number;
  /** Same layout as `RecordBatch.bytes`, one batch after the other, without gaps. */
  readonly bytes: Uint8Array;
  /** 0 where there is nothing but a gap up to `nextSequence`. */
  readonly count: number;
}

/** The reading side: sees only what is durable. May live in another process than the writers. */
export interface LogReader {
  /** Streams that exist now; new ones may appear. */
  streams(): Promise<readonly StreamId[]>;
  /** First record of `stream` that the consumer has not committed. */
  committed(stream: StreamId): Promise<LogOffset>;
  /** First sequence number that is not yet durable in `stream`. */
  durableEnd(stream: StreamId): Promise<LogOffset>;
  /**
   * At least one whole batch at or after `from`, then as many as fit in `maxBytes`; undefined when none is durable yet.
   * @throws LogDamaged when what should be there does not check.
   */
  read(from: LogOffset, maxBytes: number): Promise<ReadRecords | undefined>;
  /** Resolves when something durable may have been added since the last call, or after `timeoutMs`. */
  waitForMore(timeoutMs: number, signal: AbortSignal): Promise<void>;
  /** Durably notes that everything before `upTo` is safe in the store; the engine may then let go of it. */
  commit(upTo: LogOffset): Promise<void>;
  close(): Promise<void>;
}

/** What the log holds does not check, where it should: neither a torn tail nor an old segment. */
export class LogDamaged extends Error {
  override readonly name = 'LogDamaged';
}
