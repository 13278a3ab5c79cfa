import { fault } from '../errors.ts';
import { allowedMethods } from '../query/read-api.ts';
import type { Exchange } from './exchange.ts';

/** The reading API (interface.md 3); a client that goes away stops its query. */
export function serveRead(exchange: Exchange, target: { readonly path: string; readonly query: string }): void {
  const { reads } = exchange.parts;
  if (reads === undefined) {
    exchange.refuseBeforeBody(fault('not_found'));
    return;
  }
  exchange.bodies.read(exchange.request, (result) => {
    const bytes = exchange.bodyOf(result);
    if (bytes === undefined) return;
    const aborter = new AbortController();
    exchange.response.on('close', () => {
      aborter.abort();
    });
    const { host, authorization } = exchange.request.headers;
    const work = reads.handle({
      method: exchange.request.method ?? 'GET',
      path: target.path,
      query: new URLSearchParams(target.query),
      authorization,
      body: bytes,
      signal: aborter.signal,
      origin: host === undefined ? undefined : `${'encrypted' in exchange.request.socket ? 'https' : 'http'}://${host}`,
    });
    exchange.answerLater(work, (answer) => {
      if (answer.kind === 'fault') {
        exchange.refuse(answer, answer.code === 'method_not_allowed' ? allowedMethods(target.path) : undefined);
        return;
      }
      exchange.answer(answer.status, answer.body, answer.headers['Content-Type']);
    });
  });
}
