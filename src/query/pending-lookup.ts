import type { ProjectId } from '../event/ids.ts';
import type { FoundEvent, FoundRejection, PendingEvents } from '../loader/pending-events.ts';

/** An event that is durable in the log and on its way to the store. */
export type PendingEvent = Omit<FoundEvent, 'index'>;

/** A rejected event that is durable in the log and on its way to the store. */
export type PendingRejection = FoundRejection;

/** The events of a request that wait, by its id. */
export type PendingRequests = Pick<PendingEvents, 'findRequest'>;

/** What the log holds that the store does not yet: the question that `query` asks and the loader answers. */
export interface PendingLookup {
  /** `uuid`: lower case, hyphenated. Undefined when nothing with it waits. */
  find(projectId: ProjectId, uuid: string): Promise<PendingEvent | PendingRejection | undefined>;
}
