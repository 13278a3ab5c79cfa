/**
 * The registry as a running server sees it: with one more personal key, which exists in memory alone and which the server
 * leaves for the local user beside its address, so that the commands need no key of their own.
 */
import { timingSafeEqual } from 'node:crypto';
import { asEpochMs, type ProjectId } from '../event/ids.ts';
import type { PrivacyChange, PrivacyPolicy } from '../normalize/privacy-policy.ts';
import type { EventUse, LimitsChange, ProjectLimits } from './project-limits.ts';
import {
  type FirstProject,
  type NewFirstProject,
  type NewPersonalKey,
  type PersonalKey,
  type Project,
  type ProjectKey,
  type ProjectKeyKind,
  type Registry,
  scopes,
} from './registry.ts';

export class LocalKey implements Registry {
  readonly #registry: Registry;
  readonly #secret: Buffer;
  readonly #key: PersonalKey = {
    id: 'local',
    kind: 'personal',
    scopes,
    projects: undefined,
    createdAtMs: asEpochMs(0),
    revokedAtMs: undefined,
    lastUsedAtMs: undefined,
  };

  constructor(registry: Registry, secret: string) {
    this.#registry = registry;
    this.#secret = Buffer.from(secret);
  }

  findPersonalKey(secret: string): PersonalKey | undefined {
    const given = Buffer.from(secret);
    if (given.length === this.#secret.length && timingSafeEqual(given, this.#secret)) return this.#key;
    return this.#registry.findPersonalKey(secret);
  }

  notePersonalKeyUse(id: string): void {
    if (id !== this.#key.id) this.#registry.notePersonalKeyUse(id);
  }

  projects(): readonly Project[] {
    return this.#registry.projects();
  }
  project(id: ProjectId): Project | undefined {
    return this.#registry.project(id);
  }
  createProject(name: string): Promise<Project> {
    return this.#registry.createProject(name);
  }
  createFirstProject(wanted: NewFirstProject): Promise<FirstProject | undefined> {
    return this.#registry.createFirstProject(wanted);
  }
  renameProject(id: ProjectId, name: string): Promise<Project | undefined> {
    return this.#registry.renameProject(id, name);
  }
  deleteProject(id: ProjectId): Promise<boolean> {
    return this.#registry.deleteProject(id);
  }
  projectKeys(): readonly ProjectKey[] {
    return this.#registry.projectKeys();
  }
  personalKeys(): readonly PersonalKey[] {
    return this.#registry.personalKeys();
  }
  createProjectKey(projectId: ProjectId, kind: ProjectKeyKind, key?: string): ReturnType<Registry['createProjectKey']> {
    return this.#registry.createProjectKey(projectId, kind, key);
  }
  createPersonalKey(wanted: NewPersonalKey): ReturnType<Registry['createPersonalKey']> {
    return this.#registry.createPersonalKey(wanted);
  }
  revokeKey(id: string): Promise<boolean> {
    return this.#registry.revokeKey(id);
  }
  findProjectKey(key: string): ProjectKey | undefined {
    return this.#registry.findProjectKey(key);
  }
  projectLimits(): ReadonlyMap<ProjectId, ProjectLimits> {
    return this.#registry.projectLimits();
  }
  setProjectLimits(id: ProjectId, change: LimitsChange): Promise<ProjectLimits | undefined> {
    return this.#registry.setProjectLimits(id, change);
  }
  projectPrivacy(): ReadonlyMap<ProjectId, PrivacyPolicy> {
    return this.#registry.projectPrivacy();
  }
  setProjectPrivacy(id: ProjectId, change: PrivacyChange): Promise<PrivacyPolicy | undefined> {
    return this.#registry.setProjectPrivacy(id, change);
  }
  eventUse(id: ProjectId, month: string): number {
    return this.#registry.eventUse(id, month);
  }
  addEventUse(uses: readonly EventUse[]): Promise<readonly number[]> {
    return this.#registry.addEventUse(uses);
  }
  close(): Promise<void> {
    return this.#registry.close();
  }
}
