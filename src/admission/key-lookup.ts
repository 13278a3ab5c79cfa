import type { EpochMs, ProjectId } from '../event/ids.ts';

/** What admission needs to know of a project key. */
export interface KnownProjectKey {
  readonly kind: 'server' | 'public';
  readonly projectId: ProjectId;
  readonly revokedAtMs: EpochMs | undefined;
}

/** What admission needs to know of a personal key. */
export interface KnownPersonalKey {
  readonly id: string;
  readonly scopes: readonly string[];
  /** Projects it is limited to; undefined = all. */
  readonly projects: readonly ProjectId[] | undefined;
  readonly revokedAtMs: EpochMs | undefined;
}

/** The question admission asks about keys; `app.ts` hands it the registry. Asked for each request, so synchronous. */
export interface KeyLookup {
  /** Revoked keys are found too. */
  findProjectKey(key: string): KnownProjectKey | undefined;
  /** Revoked keys are found too; the comparison takes the same time for every secret. */
  findPersonalKey(secret: string): KnownPersonalKey | undefined;
  /** Never throws, never waits. */
  notePersonalKeyUse(id: string): void;
}
