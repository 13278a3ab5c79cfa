/** Which part answers a path. Every path is served with and without its last slash, and nothing redirects. */
import { sideRouteOf, type SideRoute } from './side-routes.ts';

export type Route =
  | SideRoute
  | { readonly kind: 'capture' | 'capture_v1'; readonly path: string }
  | { readonly kind: 'read'; readonly path: string }
  | { readonly kind: 'root' }
  | { readonly kind: 'liveness' }
  | { readonly kind: 'readiness' }
  | { readonly kind: 'metrics' }
  | { readonly kind: 'openapi' }
  | { readonly kind: 'backups' }
  | { readonly kind: 'unknown' };

const UNKNOWN: Route = { kind: 'unknown' };
const ROOT: Route = { kind: 'root' };
const LIVENESS: Route = { kind: 'liveness' };
const READINESS: Route = { kind: 'readiness' };
const METRICS: Route = { kind: 'metrics' };
const OPENAPI: Route = { kind: 'openapi' };
const BACKUPS: Route = { kind: 'backups' };
export const captureRoutes: ReadonlyMap<string, Route> = new Map([
  ...bothSpellings('capture', ['/capture', '/batch', '/e', '/i/v0/e', '/track', '/engage', '/i/v0/ai/batch']),
  ...bothSpellings('capture_v1', ['/i/v1/analytics/events', '/i/v1/ai/events']),
]);

function bothSpellings(kind: 'capture' | 'capture_v1', paths: readonly string[]): (readonly [string, Route])[] {
  return paths.flatMap((path) => {
    const route: Route = { kind, path };
    return [
      [path, route],
      [`${path}/`, route],
    ] as const;
  });
}

/** @param path undecoded, without the query */
export function routeOf(path: string): Route {
  const capture = captureRoutes.get(path);
  if (capture !== undefined) return capture;
  const side = sideRouteOf(path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path);
  if (side !== undefined) return side;
  if (path.startsWith('/api/projects')) return { kind: 'read', path: path.endsWith('/') ? path.slice(0, -1) : path };
  switch (path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path) {
    case '/':
    case '':
      return ROOT;
    case '/_liveness':
      return LIVENESS;
    case '/_readiness':
      return READINESS;
    case '/metrics':
      return METRICS;
    case '/openapi.json':
      return OPENAPI;
    case '/api/backups':
      return BACKUPS;
    default:
      return UNKNOWN;
  }
}

/**
 * The same below `ingestPath`, where only what clients send to and load from is served.
 *
 * @param ingestPath as `config/` leaves it: begins with a slash, ends without one; undefined: none
 */
export function routeWith(ingestPath: string | undefined, path: string): Route {
  if (ingestPath === undefined || !path.startsWith(ingestPath) || path[ingestPath.length] !== '/') return routeOf(path);
  const route = routeOf(path.slice(ingestPath.length));
  switch (route.kind) {
    case 'read':
    case 'root':
    case 'liveness':
    case 'readiness':
    case 'metrics':
    case 'openapi':
    case 'backups':
      return UNKNOWN;
    default:
      return route;
  }
}
