import type { EpochMs, ProjectId } from '../event/ids.ts';

/** An event that is durable in the log and on its way to the store. */
export interface PendingEvent {
  readonly kind: 'event';
  /** Lower case, hyphenated; so are the other uuids. */
  readonly uuid: string;
  readonly event: string;
  readonly distinctId: string;
  readonly personId: string;
  readonly timestampMs: EpochMs;
  readonly receivedAtMs: EpochMs;
  readonly sentAtMs: EpochMs | undefined;
  /** JSON text as the store's `properties_raw` will hold it. */
  readonly propertiesRaw: string;
  readonly ip: string;
  readonly isAuthenticated: boolean;
  readonly isCookieless: boolean;
  readonly requestId: string;
  readonly lib: string;
  readonly libVersion: string;
}

/** A rejected event that is durable in the log and on its way to the store. */
export interface PendingRejection {
  readonly kind: 'rejection';
  readonly uuid: string;
  readonly requestId: string;
  /** Position in its request, from 0. */
  readonly index: number;
  readonly receivedAtMs: EpochMs;
  readonly code: string;
  readonly detail: string;
  readonly event: string;
  readonly raw: string;
}

/** What the log holds that the store does not yet: the question that `query` asks and the loader answers. */
export interface PendingLookup {
  /** `uuid`: lower case, hyphenated. Undefined when nothing with it waits. */
  find(projectId: ProjectId, uuid: string): Promise<PendingEvent | PendingRejection | undefined>;
}
