import type { FirstProject, Project, Registry } from './registry.ts';
import { scopes } from './registry.ts';

const DEFAULT_PROJECT_NAME = 'Default project';

/** Keys that the operator chose; undefined = made here. `config/` has checked their shape. */
export interface Seeds {
  /** Of kind `server`. */
  readonly projectApiKey: string | undefined;
  /** Of kind `public`. */
  readonly publicApiKey: string | undefined;
  /** Gets all scopes and all projects. */
  readonly personalApiKey: string | undefined;
}

/**
 * Makes the first project with one key of each kind, taking the seeds where given.
 *
 * Where there is a project already, a seed that no key has yet becomes a key of the oldest project, so that a setting
 * added later does what it says; a seed that exists stays as it is, even revoked: a restart must not undo a revocation.
 * Called by every process at its start; run by several at once, it still makes each thing once.
 *
 * @returns what was made, secrets included, for `start` to print; undefined when there was a project already
 */
export async function seedFirstProject(registry: Registry, seeds: Seeds): Promise<FirstProject | undefined> {
  const made = await registry.createFirstProject({
    name: DEFAULT_PROJECT_NAME,
    serverKey: seeds.projectApiKey,
    publicKey: seeds.publicApiKey,
    personalSecret: seeds.personalApiKey,
  });
  if (made !== undefined) return made;

  const oldest = oldestOf(registry.projects());
  if (oldest !== undefined) {
    for (const { kind, key } of [
      { kind: 'server', key: seeds.projectApiKey },
      { kind: 'public', key: seeds.publicApiKey },
    ] as const) {
      // `duplicate_key`: another process was faster. `unknown_project`: it was deleted just now, and its keys with it.
      if (key !== undefined && registry.findProjectKey(key) === undefined) {
        await registry.createProjectKey(oldest.id, kind, key);
      }
    }
  }
  if (seeds.personalApiKey !== undefined && registry.findPersonalKey(seeds.personalApiKey) === undefined) {
    await registry.createPersonalKey({ scopes, projects: undefined, secret: seeds.personalApiKey });
  }
  return undefined;
}

function oldestOf(projects: readonly Project[]): Project | undefined {
  let oldest: Project | undefined;
  for (const project of projects) if (oldest === undefined || project.id < oldest.id) oldest = project;
  return oldest;
}
