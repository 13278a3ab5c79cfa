import type { ProjectId } from '../event/ids.ts';
import type { SqlParameters } from './store-reads.ts';

/** The conditions of one query of ours, which always names its project. Texts are ours; values are parameters. */
export class Where {
  readonly #conditions = ['project_id = {project_id:UInt32}'];
  #parameters: SqlParameters;

  constructor(projectId: ProjectId) {
    this.#parameters = { project_id: projectId };
  }

  add(condition: string, parameters: SqlParameters): void {
    this.#conditions.push(`(${condition})`);
    this.#parameters = { ...this.#parameters, ...parameters };
  }

  get sql(): string {
    return this.#conditions.join(' AND ');
  }

  get parameters(): SqlParameters {
    return this.#parameters;
  }
}
