/** Which part answers a path. Every path is served with and without its last slash, and nothing redirects. */
export type Route =
  | { readonly kind: 'capture'; readonly path: string }
  | { readonly kind: 'read'; readonly path: string }
  | { readonly kind: 'root' }
  | { readonly kind: 'liveness' }
  | { readonly kind: 'readiness' }
  | { readonly kind: 'metrics' }
  | { readonly kind: 'unknown' };

const UNKNOWN: Route = { kind: 'unknown' };
const ROOT: Route = { kind: 'root' };
const LIVENESS: Route = { kind: 'liveness' };
const READINESS: Route = { kind: 'readiness' };
const METRICS: Route = { kind: 'metrics' };
const CAPTURE: ReadonlyMap<string, Route> = new Map(
  ['/capture', '/batch', '/e', '/i/v0/e', '/track', '/engage', '/i/v0/ai/batch'].flatMap((path) => {
    const route: Route = { kind: 'capture', path };
    return [
      [path, route],
      [`${path}/`, route],
    ] as const;
  }),
);

/** @param path undecoded, without the query */
export function routeOf(path: string): Route {
  const capture = CAPTURE.get(path);
  if (capture !== undefined) return capture;
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
    default:
      return UNKNOWN;
  }
}
