import { formatInstant } from './instant.ts';
import { jsonAnswer, type ReadAnswer } from './read-exchange.ts';
import type { Reader } from './reader.ts';

/** `GET /api/projects/`: the projects that the key may read, by id. */
export function listProjects(reader: Reader): ReadAnswer {
  const results = reader.projects.map((project) => ({
    id: project.id,
    name: project.name,
    created_at: formatInstant(project.createdAtMs),
  }));
  return jsonAnswer(JSON.stringify({ results }));
}
