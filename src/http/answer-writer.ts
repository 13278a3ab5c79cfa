/** Turns faults and bodies into HTTP answers: status line, headers, bytes. The only place that does. */
import type { ServerResponse } from 'node:http';
import { errors, type Fault } from '../errors.ts';
import { errorEnvelope } from '../wire/v1/error-envelope.ts';
import { isHeaderText, rfc2822 } from '../wire/v1/response-headers.ts';
import { retryAfterSeconds } from './retry-after.ts';

export interface AnswerContext {
  readonly requestId: string;
  readonly origin: string | undefined;
  /** The connection ends behind this answer. */
  readonly mustClose: boolean;
  /** Set on the routes of protocol V1, which words its faults in its own way and says more in its headers. */
  readonly v1: V1AnswerContext | undefined;
}

export interface V1AnswerContext {
  readonly receivedAtMs: number;
  /** `PostHog-Request-Id` as it was sent. */
  readonly givenRequestId: string | undefined;
}

const JSON_TYPE = 'application/json';
const VARY = 'origin, access-control-request-method, access-control-request-headers';
const EXPOSED = 'Retry-After, X-Request-Id';
/** A day, so that browsers ask once (design.md 4). */
const PREFLIGHT_SECONDS = '86400';

/** Headers of every answer; CORS mirrors the origin and allows all (protocol.md 5.4). */
function headersOf(context: AnswerContext, contentType: string, contentLength: number): string[] {
  const headers = [
    'Content-Type', contentType,
    'Content-Length', String(contentLength),
    'X-Request-Id', context.requestId,
    'Access-Control-Allow-Credentials', 'true',
    'Access-Control-Expose-Headers', EXPOSED,
    'Vary', VARY,
  ]; // prettier-ignore
  if (context.origin !== undefined) headers.push('Access-Control-Allow-Origin', context.origin);
  if (context.mustClose) headers.push('Connection', 'close');
  if (context.v1 !== undefined) pushV1Headers(headers, context.v1);
  return headers;
}

/** protocol.md 8.5 */
function pushV1Headers(headers: string[], { receivedAtMs, givenRequestId }: V1AnswerContext): void {
  headers.push('Date', rfc2822(receivedAtMs));
  if (givenRequestId !== undefined && isHeaderText(givenRequestId)) headers.push('PostHog-Request-Id', givenRequestId);
}

function faultBody(context: AnswerContext, refusal: Fault): Buffer {
  if (context.v1 !== undefined) return errorEnvelope(refusal);
  const type = refusal.status === 503 ? 'server_error' : errors[refusal.code].type;
  return Buffer.from(JSON.stringify({ type, code: refusal.code, detail: refusal.detail, attr: refusal.attr }));
}

export function writeBody(
  response: ServerResponse,
  context: AnswerContext,
  answer: { readonly status: number; readonly body: Buffer | string; readonly contentType?: string },
  /** Names and values, in turn, beside those of every answer. */
  more: readonly string[] = [],
): void {
  const length = typeof answer.body === 'string' ? Buffer.byteLength(answer.body) : answer.body.length;
  const headers = headersOf(context, answer.contentType ?? JSON_TYPE, length);
  response.writeHead(answer.status, more.length === 0 ? headers : [...headers, ...more]);
  // ASCII alone: the same bytes, and cheaper to write.
  if (typeof answer.body === 'string') response.end(answer.body, answer.body.length === length ? 'latin1' : 'utf8');
  else response.end(answer.body);
}

/** 304: the client's copy is good. It says nothing of type and length, which are those of the copy. */
export function writeNotModified(response: ServerResponse, context: AnswerContext, more: readonly string[]): void {
  response.writeHead(304, [...headersOf(context, JSON_TYPE, 0).slice(4), ...more]);
  response.end();
}

export function writeNoContent(response: ServerResponse, context: AnswerContext): void {
  const headers = headersOf(context, JSON_TYPE, 0);
  response.writeHead(204, headers.slice(4));
  response.end();
}

export function writePreflight(
  response: ServerResponse,
  context: AnswerContext,
  requestedHeaders: string | undefined,
): void {
  const headers = headersOf(context, JSON_TYPE, 0).slice(2);
  const methods = context.v1 === undefined ? 'GET,POST,OPTIONS' : 'POST,OPTIONS';
  headers.push('Access-Control-Allow-Methods', methods, 'Access-Control-Max-Age', PREFLIGHT_SECONDS);
  if (requestedHeaders !== undefined) headers.push('Access-Control-Allow-Headers', requestedHeaders);
  response.writeHead(200, headers);
  response.end();
}

export function writeFault(
  response: ServerResponse,
  context: AnswerContext,
  refusal: Fault,
  allow: string | undefined,
): void {
  const body = faultBody(context, refusal);
  const headers = headersOf(context, JSON_TYPE, body.length);
  const { requestId, v1 } = context;
  const retryAfter = retryAfterSeconds(refusal, { requestId, speaksV1: v1 !== undefined });
  if (retryAfter !== undefined) headers.push('Retry-After', String(retryAfter));
  if (allow !== undefined) headers.push('Allow', allow);
  response.writeHead(refusal.status ?? errors[refusal.code].status, headers);
  response.end(body);
}

/** Raw bytes for a socket on which no request could be read. */
export function rawFault(refusal: Fault, requestId: string): string {
  const entry = errors[refusal.code];
  const body = JSON.stringify({ type: entry.type, code: refusal.code, detail: refusal.detail, attr: refusal.attr });
  const retryAfter = retryAfterSeconds(refusal, { requestId, speaksV1: false });
  return (
    `HTTP/1.1 ${entry.status} Refused\r\nContent-Type: ${JSON_TYPE}\r\n` +
    (retryAfter === undefined ? '' : `Retry-After: ${retryAfter}\r\n`) +
    `Content-Length: ${Buffer.byteLength(body)}\r\nX-Request-Id: ${requestId}\r\nConnection: close\r\n\r\n${body}`
  );
}
