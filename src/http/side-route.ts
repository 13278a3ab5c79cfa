import { type Fault, fault } from '../errors.ts';
import { formatUuid } from '../event/uuid.ts';
import type { Exchange } from './exchange.ts';
import type { SideAnswer } from './side-answers.ts';
import type { SideRoute } from './side-routes.ts';

/** What SDKs call beside capture, in the same process: method, body within the route's own size, answer. */
export function serveSide(exchange: Exchange, target: { readonly route: SideRoute; readonly query: string }): void {
  const { parts, request } = exchange;
  const { route } = target;
  if (parts.capture === undefined) {
    exchange.refuseBeforeBody(fault('not_found'));
    return;
  }
  if (!route.methods.includes(request.method ?? '')) {
    exchange.refuseMethod([...route.methods, 'OPTIONS'].join(', '));
    return;
  }
  const onBody = (body: Buffer): void => {
    const answer = parts.sides.handle({
      target: route.target,
      query: new URLSearchParams(target.query),
      headers: request.headers,
      body,
      requestId: formatUuid(exchange.requestId),
      receivedAtMs: exchange.receivedAtMs,
    });
    if (!(answer instanceof Promise)) {
      answerWith(exchange, answer);
      return;
    }
    exchange.answerLater(answer, (later) => {
      answerWith(exchange, later);
    });
  };
  exchange.bodies.read(
    request,
    (result) => {
      const body = exchange.bodyOf(result);
      if (body === undefined) return;
      try {
        onBody(body);
      } catch (error) {
        exchange.fail(error);
      }
    },
    { maxBodyBytes: route.maxBodyBytes, isKept: route.keepsBody },
  );
}

function answerWith(exchange: Exchange, answer: SideAnswer | Fault): void {
  if (answer.kind === 'fault') exchange.refuse(answer);
  else exchange.answerWithHeaders(answer, answer.headers);
}
