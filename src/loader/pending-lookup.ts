/** Finds events that are durable and not yet in the store: between the loader's offset and the log's durable end. */
import type { EpochMs, ProjectId } from '../event/ids.ts';
import { formatUuid } from '../event/uuid.ts';
import type { LogReader, ReadRecords } from '../log/log.ts';
import { recordFlags } from '../record/layout.ts';
import { RecordView } from '../record/record-view.ts';
import type { RowOrigin } from '../store/store.ts';

const READ_BYTES = 4 << 20;

/** A log to search: `committed` is the loader's, as it is now. */
export type PendingLog = Pick<LogReader, 'streams' | 'committed' | 'durableEnd' | 'read'>;

export interface PendingSearch {
  readonly projectId: ProjectId;
  /** 16 bytes. */
  readonly uuid: Uint8Array;
  /** Stop after so many bytes of log; a long backlog is not searched to its end. */
  readonly maxBytes: number;
}

/** A record's fields, copied out of the log. */
export interface PendingEvent {
  readonly kind: 'event';
  /** Lower case, hyphenated; so are the other uuids. */
  readonly uuid: string;
  readonly requestId: string;
  /** Position in its request, from 0. */
  readonly index: number;
  readonly event: string;
  readonly distinctId: string;
  readonly timestampMs: EpochMs;
  readonly receivedAtMs: EpochMs;
  readonly sentAtMs: EpochMs | undefined;
  readonly ip: string;
  readonly lib: string;
  readonly libVersion: string;
  readonly isAuthenticated: boolean;
  readonly isCookieless: boolean;
  /** JSON text as the client sent it. */
  readonly propertiesJson: string;
}

export interface PendingRejection {
  readonly kind: 'rejection';
  readonly uuid: string;
  readonly requestId: string;
  readonly index: number;
  readonly receivedAtMs: EpochMs;
  readonly code: string;
  readonly detail: string;
  /** The event as sent. */
  readonly raw: string;
}

/**
 * The first record with that uuid, events before rejections; undefined when there is none within `maxBytes`. Ask the
 * store after this, not before: what is loaded meanwhile would be missed by both.
 *
 * @throws LogDamaged, UnreadableRecord
 */
export async function findPending(
  reader: PendingLog,
  search: PendingSearch,
): Promise<PendingEvent | PendingRejection | undefined> {
  let rejection: PendingRejection | undefined;
  for await (const read of pendingReads(reader, search.maxBytes)) {
    const found = findIn(read.bytes, search);
    if (found?.kind === 'event') return found;
    rejection ??= found;
  }
  return rejection;
}

/** A record of a request, by its place in the log. */
export interface PendingRequestRecord extends RowOrigin {
  readonly kind: 'event' | 'rejection';
  /** Undefined for a rejected event without a readable one. */
  readonly uuid: string | undefined;
  readonly index: number;
  readonly receivedAtMs: EpochMs;
  /** Of a rejection. */
  readonly code: string | undefined;
}

export interface PendingRequestSearch {
  readonly projectId: ProjectId;
  /** 16 bytes. */
  readonly requestId: Uint8Array;
  /** As in `PendingSearch`. */
  readonly maxBytes: number;
  readonly maxRecords: number;
}

/** All events of a request, or of several that bear its id. Ask the store after this, as above. @throws as above */
export async function findPendingRequest(
  reader: PendingLog,
  search: PendingRequestSearch,
): Promise<readonly PendingRequestRecord[]> {
  const { requestId } = search;
  const found: PendingRequestRecord[] = [];
  for await (const read of pendingReads(reader, search.maxBytes)) {
    const view = new RecordView(read.bytes);
    if (!view.bytes.includes(Buffer.from(requestId))) continue;
    for (let sequence = read.firstSequence; view.next() && found.length < search.maxRecords; sequence++) {
      const { kind } = view;
      if (kind === 'tally' || view.projectId !== search.projectId) continue;
      if (view.bytes.compare(requestId, 0, 16, view.requestIdAt, view.requestIdAt + 16) !== 0) continue;
      const hasUuid = kind === 'event' || (view.flags & recordFlags.hasUuid) !== 0;
      found.push({
        kind,
        stream: read.stream,
        sequence,
        uuid: hasUuid ? formatUuid(view.bytes, view.uuidAt) : undefined,
        index: view.index,
        receivedAtMs: view.receivedAtMs,
        code: kind === 'rejection' ? view.bytes.toString('latin1', view.firstStart, view.firstEnd) : undefined,
      });
    }
  }
  return found;
}

/** What is not committed, stream after stream, up to `maxBytes`. Each holds until the next. */
async function* pendingReads(reader: PendingLog, maxBytes: number): AsyncGenerator<ReadRecords> {
  let left = maxBytes;
  for (const stream of await reader.streams()) {
    const end = (await reader.durableEnd(stream)).sequence;
    let at = await reader.committed(stream);
    while (at.sequence < end && left > 0) {
      let read: ReadRecords | undefined;
      try {
        read = await reader.read(at, Math.min(READ_BYTES, left));
      } catch (error) {
        // The log's own word for a record that was committed meanwhile, and let go of: go on behind it.
        const next = await reader.committed(stream);
        if (!(error instanceof RangeError) || next.sequence <= at.sequence) throw error;
        at = next;
        continue;
      }
      if (read === undefined) break;
      yield read;
      left -= read.bytes.length;
      at = { stream, sequence: read.nextSequence };
    }
  }
}

function findIn(bytes: Uint8Array, search: PendingSearch): PendingEvent | PendingRejection | undefined {
  let rejection: PendingRejection | undefined;
  const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // One search by the runtime first: most reads do not hold the uuid at all.
  if (!all.includes(Buffer.from(search.uuid))) return undefined;
  const view = new RecordView(bytes);
  while (view.next()) {
    if (all.compare(search.uuid, 0, 16, view.uuidAt, view.uuidAt + 16) !== 0) continue;
    if (view.projectId !== search.projectId) continue;
    if (view.kind === 'event') return eventOf(view);
    if (view.kind === 'rejection' && (view.flags & recordFlags.hasUuid) !== 0) rejection ??= rejectionOf(view);
  }
  return rejection;
}

function eventOf(view: RecordView): PendingEvent {
  const text = (start: number, end: number): string => view.bytes.toString('utf8', start, end);
  return {
    kind: 'event',
    uuid: formatUuid(view.bytes, view.uuidAt),
    requestId: formatUuid(view.bytes, view.requestIdAt),
    index: view.index,
    event: text(view.firstStart, view.firstEnd),
    distinctId: text(view.secondStart, view.secondEnd),
    timestampMs: view.timestampMs,
    receivedAtMs: view.receivedAtMs,
    sentAtMs: view.sentAtMs,
    ip: text(view.ipStart, view.ipEnd),
    lib: text(view.libStart, view.libEnd),
    libVersion: text(view.libVersionStart, view.libVersionEnd),
    isAuthenticated: (view.flags & recordFlags.isAuthenticated) !== 0,
    isCookieless: (view.flags & recordFlags.isCookieless) !== 0,
    propertiesJson: text(view.lastStart, view.lastEnd),
  };
}

function rejectionOf(view: RecordView): PendingRejection {
  const text = (start: number, end: number): string => view.bytes.toString('utf8', start, end);
  return {
    kind: 'rejection',
    uuid: formatUuid(view.bytes, view.uuidAt),
    requestId: formatUuid(view.bytes, view.requestIdAt),
    index: view.index,
    receivedAtMs: view.receivedAtMs,
    code: text(view.firstStart, view.firstEnd),
    detail: text(view.secondStart, view.secondEnd),
    raw: text(view.lastStart, view.lastEnd),
  };
}
