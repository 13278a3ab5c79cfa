import type { CaptureV1, V1Sender } from '../capture/capture-v1.ts';
import { fault } from '../errors.ts';
import { isRefusedUnread } from './admission-control.ts';
import type { BodyResult } from './body-reader.ts';
import type { Exchange } from './exchange.ts';

/** Protocol V1 (protocol.md 8): who sends it and how; may events be kept now; then the body, and capture. */
export function serveCaptureV1(exchange: Exchange): void {
  const { captureV1 } = exchange.parts;
  const { method, headers } = exchange.request;
  if (captureV1 === undefined) {
    exchange.refuseBeforeBody(fault('not_found'));
    return;
  }
  if (method !== 'POST') {
    exchange.refuseMethod('POST, OPTIONS');
    return;
  }
  const sender = captureV1.admit(headers);
  if (sender.kind === 'fault') {
    exchange.refuseBeforeBody(sender);
    return;
  }
  if (isRefusedUnread(exchange, captureV1.readiness(sender))) return;
  exchange.bodies.read(
    exchange.request,
    (result) => {
      captureBody(exchange, captureV1, { sender, result });
    },
    { maxBodyBytes: captureV1.maxBodyBytes, isKept: true },
  );
}

function captureBody(
  exchange: Exchange,
  captureV1: CaptureV1,
  read: { readonly sender: V1Sender; readonly result: BodyResult },
): void {
  const body = exchange.bodyOf(read.result);
  if (body === undefined) return;
  exchange.parts.metrics.bodyBytes.observe(body.length);
  const work = captureV1.handle({
    sender: read.sender,
    body,
    receivedAtMs: exchange.receivedAtMs,
    requestId: exchange.requestId,
    ip: exchange.clientIp(),
  });
  exchange.answerLater(work, (answer) => {
    if (Buffer.isBuffer(answer)) exchange.answer(200, answer);
    else exchange.refuse(answer);
  });
}
