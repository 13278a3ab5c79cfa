/**
 * The registry's port: projects and keys. Engines: lmdb/. Each passes test/contract/registry.contract.ts.
 *
 * Project keys are public and stay readable; a personal key is stored only as a hash and shown once, at creation.
 */
import type { EpochMs, ProjectId } from '../event/ids.ts';

export interface Project {
  readonly id: ProjectId;
  readonly name: string;
  readonly createdAtMs: EpochMs;
}

export type ProjectKeyKind = 'server' | 'public';
export const scopes = ['capture', 'query', 'admin'] as const;
export type Scope = (typeof scopes)[number];

export interface ProjectKey {
  readonly id: string;
  readonly kind: ProjectKeyKind;
  /** `phc_…`, or what the operator chose. */
  readonly key: string;
  readonly projectId: ProjectId;
  readonly createdAtMs: EpochMs;
  readonly revokedAtMs: EpochMs | undefined;
}

export interface PersonalKey {
  readonly id: string;
  readonly kind: 'personal';
  readonly scopes: readonly Scope[];
  /** Projects it is limited to; undefined = all. */
  readonly projects: readonly ProjectId[] | undefined;
  readonly createdAtMs: EpochMs;
  readonly revokedAtMs: EpochMs | undefined;
  readonly lastUsedAtMs: EpochMs | undefined;
}

export interface NewPersonalKey {
  readonly scopes: readonly Scope[];
  readonly projects: readonly ProjectId[] | undefined;
  /** A secret chosen by the operator, `phx_…`; undefined = made here. */
  readonly secret?: string;
}

export interface Registry {
  projects(): readonly Project[];
  /** Undefined when there is none. */
  project(id: ProjectId): Project | undefined;
  createProject(name: string): Promise<Project>;
  renameProject(id: ProjectId, name: string): Promise<Project | undefined>;
  /** Revokes its keys; its events stay until they are erased. False when there was none. */
  deleteProject(id: ProjectId): Promise<boolean>;

  projectKeys(): readonly ProjectKey[];
  personalKeys(): readonly PersonalKey[];
  /** `key`: chosen by the operator; undefined = made here. Refused when the same key exists. */
  createProjectKey(
    projectId: ProjectId,
    kind: ProjectKeyKind,
    key?: string,
  ): Promise<ProjectKey | { readonly kind: 'refused'; readonly reason: 'duplicate_key' | 'unknown_project' }>;
  /** The secret is in the answer and nowhere else. */
  createPersonalKey(wanted: NewPersonalKey): Promise<{ readonly key: PersonalKey; readonly secret: string }>;
  /** False when there is no key with this id. */
  revokeKey(id: string): Promise<boolean>;

  /** Synchronous and cheap: asked for each request. Revoked keys are found too. */
  findProjectKey(key: string): ProjectKey | undefined;
  /** Synchronous. By the hash of `secret`, compared in constant time. Revoked keys are found too. */
  findPersonalKey(secret: string): PersonalKey | undefined;
  /** Notes the use; may be written later and coarsely (at most once a minute and key). Never throws. */
  notePersonalKeyUse(id: string): void;

  close(): Promise<void>;
}
