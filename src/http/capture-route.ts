import type { Capture, CaptureAnswer, CaptureRequest } from '../capture/capture.ts';
import { passKillPoint } from '../config/kill-point.ts';
import { type Fault, fault } from '../errors.ts';
import { parseQuery, type QueryParameters } from '../wire/v0/query-parameters.ts';
import { isRefusedUnread } from './admission-control.ts';
import type { BodyResult } from './body-reader.ts';
import type { Exchange } from './exchange.ts';

const METHODS = 'GET, HEAD, POST, OPTIONS';

/** Protocol v0 (protocol.md 1-5): may the event be kept now, before the body is read; query string; body; capture. */
export function serveCapture(exchange: Exchange, target: { readonly path: string; readonly query: string }): void {
  const { capture } = exchange.parts;
  const { method } = exchange.request;
  if (capture === undefined) {
    exchange.refuseBeforeBody(fault('not_found'));
    return;
  }
  if (method !== 'POST' && method !== 'GET' && method !== 'HEAD') {
    exchange.refuseMethod(METHODS);
    return;
  }
  const parameters = parseQuery(target.query);
  if (parameters.kind === 'fault') {
    exchange.refuseBeforeBody(parameters);
    return;
  }
  if (isRefusedUnread(exchange, capture.readiness())) return;
  const { path } = target;
  exchange.bodies.read(exchange.request, (result) => {
    captureBody(exchange, capture, { path, parameters, result });
  });
}

function captureBody(
  exchange: Exchange,
  capture: Capture,
  read: { readonly path: string; readonly parameters: QueryParameters; readonly result: BodyResult },
): void {
  const bytes = exchange.bodyOf(read.result);
  if (bytes === undefined) return;
  const { headers, method } = exchange.request;
  exchange.parts.metrics.bodyBytes.observe(bytes.length);
  const request: CaptureRequest = {
    method: method === 'POST' ? 'POST' : 'GET',
    path: read.path,
    parameters: read.parameters,
    contentType: headers['content-type'],
    contentEncoding: headers['content-encoding'],
    authorization: headers.authorization,
    personalApiKeyHeader: exchange.header('x-personal-api-key'),
    userAgent: headers['user-agent'],
    body: bytes,
    receivedAtMs: exchange.receivedAtMs,
    requestId: exchange.requestId,
    ip: exchange.clientIp(),
  };
  try {
    const answer = capture.handle(request);
    if (!(answer instanceof Promise)) {
      answerWith(exchange, answer);
      return;
    }
    exchange.answerLater(answer, (later) => {
      answerWith(exchange, later);
    });
  } catch (error) {
    exchange.fail(error);
  }
}

function answerWith(exchange: Exchange, answer: CaptureAnswer | Fault): void {
  if (answer.kind === 'fault') {
    exchange.refuse(answer);
  } else if (answer.body === undefined) {
    exchange.answerNothing();
  } else {
    exchange.answer(200, answer.body);
    passKillPoint('answer.after');
  }
}
