/** From what a person calls a project to the project. */
import type { Project, Registry } from '../registry/registry.ts';
import { CommandFailure, usageFailure } from './command-failure.ts';

/** By id, else by name. */
export function projectNamed(registry: Registry, idOrName: string): Project {
  const projects = registry.projects();
  const byId = projects.find((project) => String(project.id) === idOrName);
  if (byId !== undefined) return byId;
  const byName = projects.filter((project) => project.name === idOrName);
  const [only] = byName;
  if (only === undefined) {
    throw new CommandFailure(`There is no project "${idOrName}". "hedgerow projects list" shows those there are.`);
  }
  if (byName.length > 1) {
    throw usageFailure(
      `${byName.length} projects are named "${idOrName}"; give the id of one: ${byName.map((project) => project.id).join(', ')}.`,
    );
  }
  return only;
}

/** The only project, for a command that names none. */
export function onlyProject(registry: Registry): Project {
  const [first, second] = registry.projects();
  if (first === undefined) {
    throw new CommandFailure('There is no project yet. Make one with "hedgerow projects create <name>".');
  }
  if (second !== undefined) {
    throw usageFailure('There are several projects; say which one with --project <id or name>.');
  }
  return first;
}
