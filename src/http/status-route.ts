import { fault } from '../errors.ts';
import { METRICS_CONTENT_TYPE, metricsPage } from '../telemetry/metrics-page.ts';
import type { Exchange } from './exchange.ts';

const METHODS = 'GET, HEAD, OPTIONS';

/** Probes and numbers (protocol.md 9): no key, no body. */
export function serveStatus(exchange: Exchange, kind: 'root' | 'liveness' | 'readiness' | 'metrics'): void {
  const { method } = exchange.request;
  if (method !== 'GET' && method !== 'HEAD') {
    exchange.refuseMethod(METHODS);
    return;
  }
  exchange.skipBody();
  switch (kind) {
    case 'metrics': {
      exchange.answerLater(metricsPage(exchange.parts.metrics), (text) => {
        exchange.answer(200, text, METRICS_CONTENT_TYPE);
      });
      return;
    }
    case 'root':
      exchange.answer(200, 'capture', 'text/plain; charset=utf-8');
      return;
    case 'liveness':
      exchange.answer(200, '{"status":"alive"}');
      return;
    case 'readiness': {
      const reason = unreadiness(exchange);
      // An alarm, and no reason to send events elsewhere: capture goes on.
      const detail = exchange.parts.ledgerAlarm();
      if (reason === undefined) exchange.answer(200, JSON.stringify({ status: 'ready', detail }));
      else exchange.refuse(fault(reason));
    }
  }
}

function unreadiness(exchange: Exchange): 'draining' | 'overloaded' | 'disk_full' | 'log_unavailable' | undefined {
  if (exchange.phase === 'draining') return 'draining';
  const readiness = exchange.parts.capture?.readiness();
  return readiness === undefined || readiness.kind === 'ready' ? undefined : readiness.code;
}
