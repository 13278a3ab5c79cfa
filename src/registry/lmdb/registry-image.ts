import { asEpochMs, asProjectId, type ProjectId } from '../../event/ids.ts';
import type { PrivacyPolicy } from '../../normalize/privacy-policy.ts';
import type { ProjectLimits } from '../project-limits.ts';
import type { PersonalKey, Project, ProjectKey } from '../registry.ts';
import type { LimitsRow, PersonalKeyRow, PrivacyRow, ProjectKeyRow, ProjectRow } from './rows.ts';

export interface HashedPersonalKey {
  readonly hash: Buffer;
  readonly key: PersonalKey;
}

/** All rows as of one revision, in memory. */
export interface RegistryImage {
  readonly revision: number;
  readonly projects: ReadonlyMap<ProjectId, Project>;
  /** By their text. */
  readonly projectKeys: ReadonlyMap<string, ProjectKey>;
  /** By the SHA-256 of the secret, in hex. */
  readonly personalKeys: ReadonlyMap<string, HashedPersonalKey>;
  /** Of the projects that have one. */
  readonly limits: ReadonlyMap<ProjectId, ProjectLimits>;
  /** Of the projects that keep less than everything. */
  readonly privacy: ReadonlyMap<ProjectId, PrivacyPolicy>;
}

export function projectOf(id: number, row: ProjectRow): Project {
  return Object.freeze({ id: asProjectId(id), name: row.name, createdAtMs: asEpochMs(row.createdAtMs) });
}

export function projectKeyOf(text: string, row: ProjectKeyRow): ProjectKey {
  return Object.freeze({
    id: row.id,
    kind: row.kind,
    key: text,
    projectId: asProjectId(row.projectId),
    createdAtMs: asEpochMs(row.createdAtMs),
    revokedAtMs: row.revokedAtMs === null ? undefined : asEpochMs(row.revokedAtMs),
  });
}

export function personalKeyOf(row: PersonalKeyRow, lastUsedAtMs: number | undefined): PersonalKey {
  return Object.freeze({
    id: row.id,
    kind: 'personal',
    scopes: Object.freeze([...row.scopes]),
    projects: row.projects === null ? undefined : Object.freeze(row.projects.map(asProjectId)),
    createdAtMs: asEpochMs(row.createdAtMs),
    revokedAtMs: row.revokedAtMs === null ? undefined : asEpochMs(row.revokedAtMs),
    lastUsedAtMs: lastUsedAtMs === undefined ? undefined : asEpochMs(lastUsedAtMs),
  });
}

export function limitsOf(row: LimitsRow): ProjectLimits {
  return Object.freeze({
    eventsPerSecond: row.eventsPerSecond ?? undefined,
    burst: row.burst ?? undefined,
    monthlyQuota: row.monthlyQuota ?? undefined,
  });
}

export function privacyOf(row: PrivacyRow): PrivacyPolicy {
  return Object.freeze({ address: row.address, redact: Object.freeze([...row.redact]) });
}
