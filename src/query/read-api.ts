import { fault, Impossible, type Fault } from '../errors.ts';
import type { Clock } from '../event/clock.ts';
import type { Registry } from '../registry/registry.ts';
import type { Store } from '../store/store.ts';
import { listEvents } from './event-list.ts';
import { lookUpEvent } from './event-lookup.ts';
import { answerQuery } from './hogql-query.ts';
import type { PendingLookup } from './pending-lookup.ts';
import { listProjects } from './projects.ts';
import type { ReadAnswer, ReadRequest } from './read-exchange.ts';
import { authenticate, findProject } from './reader.ts';
import { listRejections } from './rejection-list.ts';
import { StoreReads, type ReadLimits } from './store-reads.ts';

export interface ReadApiNeeds {
  readonly store: Store;
  readonly registry: Registry;
  readonly pendingLookup: PendingLookup;
  readonly clock: Clock;
  readonly limits: ReadLimits;
}

type Route =
  | { readonly noun: 'projects' }
  | { readonly noun: 'events' | 'rejections' | 'query'; readonly project: string }
  | { readonly noun: 'event'; readonly project: string; readonly uuid: string };

/** The reading API (interface.md 3): one request in, one answer or fault out. */
export class ReadApi {
  readonly #registry: Registry;
  readonly #pending: PendingLookup;
  readonly #clock: Clock;
  readonly #store: StoreReads;

  constructor(needs: ReadApiNeeds) {
    this.#registry = needs.registry;
    this.#pending = needs.pendingLookup;
    this.#clock = needs.clock;
    this.#store = new StoreReads(needs.store, needs.limits);
  }

  async handle(request: ReadRequest): Promise<ReadAnswer | Fault> {
    const route = routeOf(request.path);
    if (route === undefined) return fault('not_found');
    const allowed = route.noun === 'query' ? 'POST' : 'GET';
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    if (method !== allowed) return fault('method_not_allowed', { method: request.method, allowed });

    const reader = authenticate(this.#registry, request.authorization);
    if (reader.kind === 'fault') return reader;
    if (route.noun === 'projects') return listProjects(reader);
    const project = findProject(this.#registry, reader, route.project);
    if ('kind' in project) return project;

    const read = { request, project };
    switch (route.noun) {
      case 'events':
        return listEvents(read, this.#store, this.#clock.nowMs());
      case 'event':
        return lookUpEvent(read, { store: this.#store, pending: this.#pending }, route.uuid);
      case 'rejections':
        return listRejections(read, this.#store, this.#clock.nowMs());
      case 'query':
        return answerQuery(read, this.#store);
      default:
        throw new Impossible(route);
    }
  }
}

/** With and without the last slash; undefined where nothing is served. */
function routeOf(path: string): Route | undefined {
  const parts = path.replace(/\/$/, '').split('/').map(decodePart);
  const [root, api, projects, project, noun, uuid, ...more] = parts;
  if (root !== '' || api !== 'api' || projects !== 'projects' || more.length > 0) return undefined;
  if (project === undefined) return { noun: 'projects' };
  if (uuid !== undefined) return noun === 'events' ? { noun: 'event', project, uuid } : undefined;
  switch (noun) {
    case 'events':
    case 'rejections':
    case 'query':
      return { noun, project };
    case undefined:
    default:
      return undefined;
  }
}

/** `%40current` is `@current`; what is no percent-encoding stays, and then names nothing. */
function decodePart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
