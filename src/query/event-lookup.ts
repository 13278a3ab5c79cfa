import { fault, type Fault } from '../errors.ts';
import { formatUuid, parseUuid } from '../event/uuid.ts';
import { eventColumns, eventJson, parseEventRows, rowOfPending } from './event-row.ts';
import type { PendingLookup } from './pending-lookup.ts';
import { jsonAnswer, type ProjectRead, type ReadAnswer } from './read-exchange.ts';
import { parseRejectionRows, rejectedEventJson, rejectionColumns, rowOfPendingRejection } from './rejection-row.ts';
import type { StoreReads } from './store-reads.ts';
import { Where } from './where.ts';

/** Where events may be found: the store, and what waits for it. */
export interface EventPlaces {
  readonly store: StoreReads;
  readonly pending: PendingLookup;
}

/** `GET /api/projects/:project/events/:uuid/`: the event, and what became of it. */
export async function lookUpEvent(read: ProjectRead, places: EventPlaces, name: string): Promise<ReadAnswer | Fault> {
  const bytes = parseUuid(name);
  if (bytes === undefined) return fault('invalid_parameter', { name: 'uuid', expected: 'a UUID' });
  const uuid = formatUuid(bytes);

  const stored = await lookInStore(read, places.store, uuid);
  if (stored !== undefined) return stored;
  const pending = await places.pending.find(read.project.id, uuid);
  if (pending?.kind === 'event') return jsonAnswer(eventJson(rowOfPending(pending), statusJson('pending')));
  if (pending?.kind === 'rejection') return jsonAnswer(rejectedEventJson(rowOfPendingRejection(pending)));
  // The loader may have moved it between the two questions.
  return (await lookInStore(read, places.store, uuid)) ?? fault('unknown_event');
}

/** A stored event goes before a rejected one with its uuid: it was sent again after a fix. */
async function lookInStore(
  read: ProjectRead,
  store: StoreReads,
  uuid: string,
): Promise<ReadAnswer | Fault | undefined> {
  const where = new Where(read.project.id);
  where.add('uuid = {uuid:UUID}', { uuid });
  const { parameters } = where;
  const { signal } = read.request;

  // The inner query is answered by the projection that is ordered by uuid, the outer one by the primary key.
  const events =
    `SELECT ${eventColumns} FROM events WHERE ${where.sql} AND timestamp IN ` +
    `(SELECT timestamp FROM events WHERE ${where.sql}) LIMIT 1`;
  const stored = await store.rows({ text: events, parameters }, 1, signal);
  if (stored.kind === 'fault') return stored;
  const [event] = parseEventRows(JSON.parse(stored.rowsJson));
  if (event !== undefined) return jsonAnswer(eventJson(event, statusJson('stored')));

  const rejections = `SELECT ${rejectionColumns} FROM rejections WHERE ${where.sql} ORDER BY received_at DESC LIMIT 1`;
  const rejected = await store.rows({ text: rejections, parameters }, 1, signal);
  if (rejected.kind === 'fault') return rejected;
  const [rejection] = parseRejectionRows(JSON.parse(rejected.rowsJson));
  return rejection === undefined ? undefined : jsonAnswer(rejectedEventJson(rejection));
}

// Nothing counts duplicates yet.
function statusJson(status: 'stored' | 'pending'): string {
  return `"status":"${status}","duplicates":0`;
}
