/** A store for unit tests: answers from a script and keeps what it was asked. Imported by tests alone. */
import type { ProjectId } from '../event/ids.ts';
import type { QueryAnswer, QueryFault, QueryRequest, Store } from '../store/store.ts';

export interface Asked extends QueryRequest {
  /** Undefined for our own SQL. */
  readonly confinedTo: ProjectId | undefined;
}

export type Script = (asked: Asked) => QueryAnswer | QueryFault | Promise<QueryAnswer | QueryFault>;

export class RecordingStore implements Store {
  readonly asked: Asked[] = [];
  #script: Script;

  constructor(script: Script = () => rowsAnswer([])) {
    this.#script = script;
  }

  answerWith(script: Script): void {
    this.#script = script;
  }

  query(request: QueryRequest): Promise<QueryAnswer | QueryFault> {
    return this.#ask({ ...request, confinedTo: undefined });
  }

  queryProject(projectId: ProjectId, request: QueryRequest): Promise<QueryAnswer | QueryFault> {
    return this.#ask({ ...request, confinedTo: projectId });
  }

  async #ask(asked: Asked): Promise<QueryAnswer | QueryFault> {
    this.asked.push(asked);
    return this.#script(asked);
  }

  insert(): Promise<void> {
    return Promise.reject(new Error('reading inserts nothing'));
  }

  findUuids(): Promise<readonly []> {
    return Promise.resolve([]);
  }

  findRejections(): Promise<readonly []> {
    return Promise.resolve([]);
  }

  findReach(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  isReady(): boolean {
    return true;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

export function rowsAnswer(rows: readonly (readonly unknown[])[]): QueryAnswer {
  return {
    kind: 'rows',
    columns: [],
    types: [],
    rowsJson: JSON.stringify(rows),
    rowCount: rows.length,
    hasMore: false,
  };
}
