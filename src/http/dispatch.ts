/** Leads a request to the part that answers its path. */
import { fault } from '../errors.ts';
import { serveBackups } from './backup-route.ts';
import { serveCapture } from './capture-route.ts';
import { serveCaptureV1 } from './capture-v1-route.ts';
import type { Exchange, ServerState } from './exchange.ts';
import { serveOpenApi } from './openapi-route.ts';
import { serveRead } from './read-route.ts';
import { type Route, routeWith } from './routes.ts';
import { serveSide } from './side-route.ts';
import { serveStatus } from './status-route.ts';

/** As /metrics names them. */
const STATUS_LABELS = { root: '/', liveness: '/_liveness', readiness: '/_readiness', metrics: '/metrics' } as const;

export function dispatch(exchange: Exchange, state: ServerState): void {
  exchange.start(state);
  const { request } = exchange;
  const target = originForm(request.url ?? '/');
  const mark = target.indexOf('?');
  const route = routeWith(exchange.parts.ingestPath, mark < 0 ? target : target.slice(0, mark));
  if (route.kind === 'capture_v1') exchange.speakV1();
  if (request.headers.host === undefined && request.httpVersion === '1.1') {
    exchange.closeAfterAnswer();
    exchange.refuseBeforeBody(fault('invalid_header'));
    return;
  }
  if (state.phase === 'starting') {
    exchange.refuseBeforeBody(fault('starting'));
    return;
  }
  if (request.method === 'OPTIONS') {
    exchange.answerPreflight();
    return;
  }
  try {
    serve(exchange, route, mark < 0 ? '' : target.slice(mark + 1));
  } catch (error) {
    exchange.fail(error);
  }
}

/** @param query what stands behind the `?`, undecoded */
function serve(exchange: Exchange, route: Route, query: string): void {
  switch (route.kind) {
    case 'capture':
      exchange.countAs(route.path, exchange.parts.metrics.requestsRefused);
      serveCapture(exchange, { path: route.path, query });
      return;
    case 'capture_v1':
      exchange.countAs(route.path, exchange.parts.metrics.requestsRefused);
      serveCaptureV1(exchange);
      return;
    case 'side':
      exchange.countAs(route.label);
      serveSide(exchange, { route, query });
      return;
    case 'read':
      exchange.countAs('/api/projects');
      serveRead(exchange, { path: route.path, query });
      return;
    case 'root':
    case 'liveness':
    case 'readiness':
    case 'metrics':
      exchange.countAs(STATUS_LABELS[route.kind]);
      serveStatus(exchange, route.kind);
      return;
    case 'backups':
      exchange.countAs('/api/backups');
      serveBackups(exchange);
      return;
    case 'openapi':
      exchange.countAs('/openapi.json');
      serveOpenApi(exchange);
      return;
    case 'unknown':
      exchange.refuseBeforeBody(fault('not_found'));
      return;
  }
}

/** A target may be a whole URL (RFC 9112 3.2.2); what counts is its path. */
function originForm(target: string): string {
  if (target.startsWith('/')) return target;
  const path = /^https?:\/\/[^/?]*(.*)$/i.exec(target)?.[1];
  if (path === undefined) return target;
  return path.startsWith('/') ? path : `/${path}`;
}
