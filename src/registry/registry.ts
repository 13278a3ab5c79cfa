/**
 * The registry's port: projects, keys and limits. Engines: lmdb/. Each passes test/contract/registry.contract.ts.
 *
 * Project keys are public and stay readable; a personal key is stored only as a hash and shown once, at creation.
 */
import type { EpochMs, ProjectId } from '../event/ids.ts';
import type { PrivacyChange, PrivacyPolicy } from '../normalize/privacy-policy.ts';
import type { EventUse, LimitsChange, ProjectLimits } from './project-limits.ts';

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

/** The first project and its keys. A key left undefined is made here. */
export interface NewFirstProject {
  readonly name: string;
  readonly serverKey: string | undefined;
  readonly publicKey: string | undefined;
  /** `phx_…`; gets all scopes and all projects. */
  readonly personalSecret: string | undefined;
}

export interface FirstProject {
  readonly project: Project;
  readonly serverKey: ProjectKey;
  readonly publicKey: ProjectKey;
  readonly personalKey: PersonalKey;
  readonly personalSecret: string;
}

export interface Registry {
  projects(): readonly Project[];
  /** Undefined when there is none. */
  project(id: ProjectId): Project | undefined;
  createProject(name: string): Promise<Project>;
  /**
   * A project with a key of each kind, whole or not at all: of processes that start together one makes it, and a crash
   * leaves no project without keys. Undefined, and nothing done, when any project exists.
   */
  createFirstProject(wanted: NewFirstProject): Promise<FirstProject | undefined>;
  renameProject(id: ProjectId, name: string): Promise<Project | undefined>;
  /** Revokes its keys; its events stay until they are erased. False when there was none. */
  deleteProject(id: ProjectId): Promise<boolean>;

  projectKeys(): readonly ProjectKey[];
  personalKeys(): readonly PersonalKey[];
  /** `key`: chosen by the operator; undefined = made here. Refused when the same key exists, revoked or not. */
  createProjectKey(
    projectId: ProjectId,
    kind: ProjectKeyKind,
    key?: string,
  ): Promise<ProjectKey | { readonly kind: 'refused'; readonly reason: 'duplicate_key' | 'unknown_project' }>;
  /** The secret is in the answer and nowhere else. A chosen secret that exists gives back its key as it is. */
  createPersonalKey(wanted: NewPersonalKey): Promise<{ readonly key: PersonalKey; readonly secret: string }>;
  /** False when there is no key with this id. */
  revokeKey(id: string): Promise<boolean>;

  /** Synchronous and cheap: asked for each request. Revoked keys are found too. */
  findProjectKey(key: string): ProjectKey | undefined;
  /** Synchronous. By the hash of `secret`, compared in constant time. Revoked keys are found too. */
  findPersonalKey(secret: string): PersonalKey | undefined;
  /** Notes the use; may be written later and coarsely (at most once a minute and key). Never throws. */
  notePersonalKeyUse(id: string): void;

  /**
   * The limits of the projects that have one. Synchronous and cheap: asked for each request. The same object until
   * something changes.
   */
  projectLimits(): ReadonlyMap<ProjectId, ProjectLimits>;
  /** @returns all limits of the project as they are now; undefined when there is none with this id */
  setProjectLimits(id: ProjectId, change: LimitsChange): Promise<ProjectLimits | undefined>;

  /** The policies of the projects that keep less than everything, as `projectLimits`. */
  projectPrivacy(): ReadonlyMap<ProjectId, PrivacyPolicy>;
  /** @returns the whole policy of the project as it is now; undefined when there is none with this id */
  setProjectPrivacy(id: ProjectId, change: PrivacyChange): Promise<PrivacyPolicy | undefined>;

  /** How many events are counted for a month (`YYYY-MM`), by all processes. Synchronous. */
  eventUse(id: ProjectId, month: string): number;
  /** Adds to the counts, never below 0; all or nothing, durable when it resolves. @returns the sums, in the same order */
  addEventUse(uses: readonly EventUse[]): Promise<readonly number[]>;

  close(): Promise<void>;
}
