import { fault, Impossible, type Fault } from '../errors.ts';
import type { Clock } from '../event/clock.ts';
import type { Limits } from '../limits/limits.ts';
import type { Registry } from '../registry/registry.ts';
import type { Store } from '../store/store.ts';
import { listEvents } from './event-list.ts';
import { lookUpEvent } from './event-lookup.ts';
import { answerQuery } from './hogql-query.ts';
import { changeLimits, showLimits } from './limits-api.ts';
import { showLedger } from './ledger-answer.ts';
import type { LedgerLookup } from './ledger-lookup.ts';
import type { PendingLookup, PendingRequests } from './pending-lookup.ts';
import { changePrivacy, showPrivacy } from './privacy-api.ts';
import { listProjects } from './projects.ts';
import type { ReadAnswer, ReadRequest } from './read-exchange.ts';
import { authenticate, findProject } from './reader.ts';
import { listRejections } from './rejection-list.ts';
import { noteRetries } from './rejection-retries.ts';
import { lookUpRequest } from './request-lookup.ts';
import { StoreReads, type ReadLimits } from './store-reads.ts';

export interface ReadApiNeeds {
  readonly store: Store;
  readonly registry: Registry;
  readonly pendingLookup: PendingLookup;
  readonly pendingRequests: PendingRequests;
  readonly ledger: LedgerLookup;
  readonly clock: Clock;
  readonly limits: ReadLimits;
  readonly projectLimits: Pick<Limits, 'usedThisMonth'>;
}

type Route =
  | { readonly noun: 'projects' }
  | { readonly noun: 'events' | 'rejections' | 'query' | 'limits' | 'privacy' | 'ledger'; readonly project: string }
  | { readonly noun: 'retries'; readonly project: string }
  | { readonly noun: 'event'; readonly project: string; readonly uuid: string }
  | { readonly noun: 'request'; readonly project: string; readonly requestId: string };

/** The reading API (interface.md 3): one request in, one answer or fault out. */
export class ReadApi {
  readonly #registry: Registry;
  readonly #pending: PendingLookup;
  readonly #pendingRequests: PendingRequests;
  readonly #ledger: LedgerLookup;
  readonly #clock: Clock;
  readonly #store: StoreReads;
  readonly #projectLimits: Pick<Limits, 'usedThisMonth'>;

  constructor(needs: ReadApiNeeds) {
    this.#registry = needs.registry;
    this.#pending = needs.pendingLookup;
    this.#pendingRequests = needs.pendingRequests;
    this.#ledger = needs.ledger;
    this.#clock = needs.clock;
    this.#projectLimits = needs.projectLimits;
    this.#store = new StoreReads(needs.store, needs.limits);
  }

  async handle(request: ReadRequest): Promise<ReadAnswer | Fault> {
    const route = routeOf(request.path);
    if (route === undefined) return fault('not_found');
    const allowed = methodsOf(route);
    if (!allowed.includes(request.method)) {
      return fault('method_not_allowed', { method: request.method, allowed: allowed.join(', ') });
    }

    const isChange = request.method === 'PUT' || route.noun === 'retries';
    const reader = authenticate(this.#registry, request.authorization, isChange ? 'admin' : 'query');
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
      case 'request':
        return lookUpRequest(read, { store: this.#store, pending: this.#pendingRequests }, route.requestId);
      case 'ledger':
        return showLedger(read, { store: this.#store, ledger: this.#ledger }, this.#clock.nowMs());
      case 'rejections':
        return listRejections(read, this.#store, this.#clock.nowMs());
      case 'retries':
        return noteRetries(read, { store: this.#store, registry: this.#registry });
      case 'query':
        return answerQuery(read, this.#store);
      case 'limits': {
        const places = { registry: this.#registry, limits: this.#projectLimits };
        return isChange ? changeLimits(read, places) : showLimits(read, places);
      }
      case 'privacy':
        return isChange ? changePrivacy(read, this.#registry) : showPrivacy(read, this.#registry);
      default:
        throw new Impossible(route);
    }
  }
}

const QUERY_METHODS = ['POST', 'OPTIONS'];
const LIMITS_METHODS = ['GET', 'HEAD', 'PUT', 'OPTIONS'];
const OTHER_METHODS = ['GET', 'HEAD', 'OPTIONS'];

/** OPTIONS is answered before a request comes here. */
function methodsOf(route: Route): readonly string[] {
  switch (route.noun) {
    case 'query':
    case 'retries':
      return QUERY_METHODS;
    case 'limits':
    case 'privacy':
      return LIMITS_METHODS;
    default:
      return OTHER_METHODS;
  }
}

/** What a 405 of this path says in `Allow`; undefined where nothing is served. */
export function allowedMethods(path: string): string | undefined {
  const route = routeOf(path);
  return route === undefined ? undefined : methodsOf(route).join(', ');
}

/** With and without the last slash; undefined where nothing is served. */
function routeOf(path: string): Route | undefined {
  const parts = path.replace(/\/$/, '').split('/').map(decodePart);
  const [root, api, projects, project, noun, id, ...more] = parts;
  if (root !== '' || api !== 'api' || projects !== 'projects' || more.length > 0) return undefined;
  if (project === undefined) return { noun: 'projects' };
  if (noun === 'rejections' && id === 'retries') return { noun: 'retries', project };
  if (id !== undefined) {
    if (noun === 'events') return { noun: 'event', project, uuid: id };
    return noun === 'requests' ? { noun: 'request', project, requestId: id } : undefined;
  }
  switch (noun) {
    case 'events':
    case 'rejections':
    case 'query':
    case 'limits':
    case 'privacy':
    case 'ledger':
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
