import { fault, type Fault } from '../errors.ts';
import type { PersonalKey, Project, Registry, Scope } from '../registry/registry.ts';

/** A personal key that may do what was asked for, and the projects it may read. */
export interface Reader {
  readonly kind: 'reader';
  readonly key: PersonalKey;
  /** By id. */
  readonly projects: readonly Project[];
}

const BEARER = /^Bearer +(\S+) *$/i;

/** Who is asking (interface.md 3): the key in `Authorization`, which must have `scope`. */
export function authenticate(registry: Registry, authorization: string | undefined, scope: Scope): Reader | Fault {
  const secret = BEARER.exec(authorization ?? '')?.[1];
  if (secret === undefined) return fault('missing_bearer');
  const key = registry.findPersonalKey(secret);
  if (key === undefined || key.revokedAtMs !== undefined) return fault('invalid_personal_api_key');
  if (!key.scopes.includes(scope)) return fault('missing_scope', { scope });
  registry.notePersonalKeyUse(key.id);
  const projects = registry.projects().filter((project) => mayRead(key, project));
  return { kind: 'reader', key, projects: projects.toSorted((a, b) => a.id - b.id) };
}

/** The project that the path names: a number, or `@current` for the only or first one that the key may read. */
export function findProject(registry: Registry, reader: Reader, name: string): Project | Fault {
  if (name === '@current') return reader.projects[0] ?? fault('unknown_project');
  const known = /^[0-9]{1,10}$/.test(name)
    ? registry.projects().find((project) => project.id === Number(name))
    : undefined;
  if (known === undefined) return fault('unknown_project');
  return mayRead(reader.key, known) ? known : fault('wrong_project');
}

function mayRead(key: PersonalKey, project: Project): boolean {
  return key.projects === undefined || key.projects.includes(project.id);
}
