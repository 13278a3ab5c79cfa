/** Finds an event that is durable and not yet in the store: between the loader's offset and the log's durable end. */
import type { EpochMs, ProjectId } from '../event/ids.ts';
import { formatUuid } from '../event/uuid.ts';
import type { LogReader } from '../log/log.ts';
import { recordFlags } from '../record/layout.ts';
import { RecordView } from '../record/record-view.ts';

const READ_BYTES = 4 << 20;

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
  reader: LogReader,
  search: PendingSearch,
): Promise<PendingEvent | PendingRejection | undefined> {
  let left = search.maxBytes;
  let rejection: PendingRejection | undefined;
  for (const stream of await reader.streams()) {
    const end = (await reader.durableEnd(stream)).sequence;
    let at = await reader.committed(stream);
    while (at.sequence < end && left > 0) {
      const read = await reader.read(at, Math.min(READ_BYTES, left));
      if (read === undefined) break;
      const found = findIn(read.bytes, search);
      if (found?.kind === 'event') return found;
      rejection ??= found;
      left -= read.bytes.length;
      at = { stream, sequence: read.nextSequence };
    }
  }
  return rejection;
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
    if ((view.flags & recordFlags.hasUuid) !== 0) rejection ??= rejectionOf(view);
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
