/**
 * Answers what happened to an event that is acknowledged and not yet in the store. Searches one at a time: they share a
 * reader, whose buffer holds one read, and which must not be the loader's own for the same reason.
 */
import { uuidV5 } from '../event/id-source.ts';
import type { ProjectId } from '../event/ids.ts';
import { formatUuid, parseUuid } from '../event/uuid.ts';
import { personNamespace } from '../store/schema.ts';
import {
  findPending,
  findPendingRequest,
  type PendingEvent,
  type PendingLog,
  type PendingRejection,
  type PendingRequestRecord,
} from './pending-lookup.ts';

/** A backlog beyond it is not searched to its end: a lookup must not read gigabytes. */
const MAX_SEARCH_BYTES = 512 << 20;

export type FoundEvent = Omit<PendingEvent, 'propertiesJson'> & {
  readonly personId: string;
  readonly propertiesRaw: string;
};
export type FoundRejection = PendingRejection & { readonly event: string };

export class PendingEvents {
  readonly #reader: PendingLog;
  readonly #namespace: Uint8Array;
  #last: Promise<unknown> = Promise.resolve();

  /** @param reader for these searches alone; its `committed` may be shared */
  constructor(reader: PendingLog) {
    this.#reader = reader;
    const namespace = parseUuid(personNamespace);
    if (namespace === undefined) throw new RangeError('the person namespace is no uuid');
    this.#namespace = namespace;
  }

  find(projectId: ProjectId, uuid: string): Promise<FoundEvent | FoundRejection | undefined> {
    return this.#inTurn(() => this.#find(projectId, uuid));
  }

  /** Events of the requests that bear this id, at most `maxRecords`. `requestId`: 16 bytes. */
  findRequest(
    projectId: ProjectId,
    requestId: Uint8Array,
    maxRecords: number,
  ): Promise<readonly PendingRequestRecord[]> {
    const search = { projectId, requestId, maxRecords, maxBytes: MAX_SEARCH_BYTES };
    return this.#inTurn(() => findPendingRequest(this.#reader, search));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const search = this.#last.then(work);
    this.#last = search.catch(() => undefined);
    return search;
  }

  async #find(projectId: ProjectId, uuid: string): Promise<FoundEvent | FoundRejection | undefined> {
    const bytes = parseUuid(uuid);
    if (bytes === undefined) return undefined;
    const found = await findPending(this.#reader, { projectId, uuid: bytes, maxBytes: MAX_SEARCH_BYTES });
    if (found === undefined) return undefined;
    if (found.kind === 'rejection') return { ...found, event: nameOf(found.raw) };
    const { propertiesJson, ...event } = found;
    const personId = formatUuid(uuidV5(this.#namespace, `${projectId}:${event.distinctId}`));
    return { ...event, personId, propertiesRaw: propertiesJson };
  }
}

function nameOf(raw: string): string {
  const value: unknown = JSON.parse(raw);
  if (value === null || typeof value !== 'object' || !('event' in value)) return '';
  return typeof value.event === 'string' ? value.event : '';
}
