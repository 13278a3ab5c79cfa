/** The reading API over fakes, for unit tests: two projects, and a key for each kind of reader. Imported by tests alone. */
import { asEpochMs, asProjectId, type ProjectId } from '../event/ids.ts';
import type { PersonalKey, Project, Registry } from '../registry/registry.ts';
import type { PendingRequestRecord } from '../loader/pending-lookup.ts';
import type { LedgerLookup } from './ledger-lookup.ts';
import type { PendingLookup } from './pending-lookup.ts';
import { ReadApi } from './read-api.ts';
import type { ReadAnswer, ReadRequest } from './read-exchange.ts';
import { RecordingStore } from './recording-store-for-test.ts';
import { defaultReadLimits, type ReadLimits } from './store-reads.ts';
import type { Fault } from '../errors.ts';

export const first = asProjectId(1);
export const second = asProjectId(2);
export const nowMs = asEpochMs(Date.UTC(2026, 0, 31, 12));

export interface ReadApiForTest {
  readonly store: RecordingStore;
  /** Ids of the keys whose use was noted. */
  readonly usedKeys: readonly string[];
  readonly get: (pathAndQuery: string, changes?: Partial<ReadRequest>) => Promise<ReadAnswer | Fault>;
  /** POST of `body` as JSON, or as it is when it is a text. */
  readonly post: (path: string, body: unknown) => Promise<ReadAnswer | Fault>;
}

export interface Fakes {
  readonly pending?: PendingLookup;
  readonly pendingRecords?: readonly PendingRequestRecord[];
  readonly ledger?: LedgerLookup;
  readonly limits?: Partial<ReadLimits>;
}

export function readApiForTest(fakes: Fakes = {}): ReadApiForTest {
  const store = new RecordingStore();
  const usedKeys: string[] = [];
  const api = new ReadApi({
    store,
    registry: registryOf(usedKeys),
    pendingLookup: fakes.pending ?? { find: () => Promise.resolve(undefined) },
    pendingRequests: { findRequest: () => Promise.resolve(fakes.pendingRecords ?? []) },
    ledger: fakes.ledger ?? { book: { read: unused }, findingsOf: () => [] },
    clock: { nowMs: () => nowMs, monotonicMs: () => 0 },
    limits: { ...defaultReadLimits, ...fakes.limits },
    projectLimits: { usedThisMonth: unused },
  });
  const ask = (method: string, target: string, changes: Partial<ReadRequest>): Promise<ReadAnswer | Fault> => {
    const [path = '', query = ''] = target.split('?');
    return api.handle({
      method,
      path,
      query: new URLSearchParams(query),
      authorization: 'Bearer phx_all',
      body: Buffer.alloc(0),
      signal: new AbortController().signal,
      ...changes,
    });
  };
  return {
    store,
    usedKeys,
    get: (target, changes = {}) => ask('GET', target, changes),
    post: (path, body) => {
      const text = typeof body === 'string' ? body : JSON.stringify(body);
      return ask('POST', path, { body: Buffer.from(text) });
    },
  };
}

/** The body of an answer; throws where it is a fault. */
export function bodyOf(answer: ReadAnswer | Fault): string {
  if (answer.kind === 'fault') throw new Error(`a fault: ${answer.code} ${answer.detail}`);
  return answer.body;
}

/** The code of a fault, or `answer`. */
export function codeOf(answer: ReadAnswer | Fault): string {
  return answer.kind === 'fault' ? answer.code : 'answer';
}

function unused(): never {
  throw new Error('reading asks the registry for projects and personal keys alone');
}

function registryOf(usedKeys: string[]): Registry {
  const projects: readonly Project[] = [
    { id: second, name: 'Second', createdAtMs: asEpochMs(2000) },
    { id: first, name: 'First', createdAtMs: asEpochMs(1000.5) },
  ];
  const keys = new Map<string, PersonalKey>([
    ['phx_all', key('all', undefined)],
    ['phx_second', key('second', [second])],
    ['phx_none', key('none', [])],
    ['phx_capture', { ...key('capture', undefined), scopes: ['capture'] }],
    ['phx_admin', { ...key('admin', undefined), scopes: ['admin'] }],
    ['phx_revoked', { ...key('revoked', undefined), revokedAtMs: asEpochMs(5) }],
  ]);
  return {
    projects: () => projects,
    project: (id) => projects.find((project) => project.id === id),
    findPersonalKey: (secret) => keys.get(secret),
    notePersonalKeyUse: (id) => usedKeys.push(id),
    createFirstProject: unused,
    createProject: unused,
    renameProject: unused,
    deleteProject: unused,
    projectKeys: unused,
    personalKeys: unused,
    createProjectKey: unused,
    createPersonalKey: unused,
    revokeKey: unused,
    findProjectKey: unused,
    projectLimits: unused,
    setProjectLimits: unused,
    projectPrivacy: unused,
    setProjectPrivacy: unused,
    eventUse: unused,
    addEventUse: unused,
    close: () => Promise.resolve(),
  };
}

function key(id: string, projects: readonly ProjectId[] | undefined): PersonalKey {
  return {
    id,
    kind: 'personal',
    scopes: ['query'],
    projects,
    createdAtMs: asEpochMs(0),
    revokedAtMs: undefined,
    lastUsedAtMs: undefined,
  };
}
