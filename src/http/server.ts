/**
 * The listener: one request in, one answer out, no framework between.
 *
 * Order    route -> may the event be kept now (before the body is read) -> query string -> body -> the part that answers.
 * Bounds   headers 16 KiB and 60 s to arrive (Node's own), body as body-reader.ts states.
 * Drain    `drain()` makes readiness false at once; open connections are still served, each with `Connection: close`;
 *          `close()` stops listening and waits for the answers under way.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Capture, CaptureAnswer, CaptureRequest } from '../capture/capture.ts';
import { type Fault, fault } from '../errors.ts';
import type { Clock } from '../event/clock.ts';
import type { IdSource } from '../event/id-source.ts';
import type { EpochMs } from '../event/ids.ts';
import { formatUuid, parseUuid } from '../event/uuid.ts';
import { clientIp } from '../normalize/client-ip.ts';
import type { ReadApi } from '../query/read-api.ts';
import type { LogLines } from '../telemetry/log-lines.ts';
import type { Metrics, RouteLabel } from '../telemetry/metrics.ts';
import { parseQuery, type QueryParameters } from '../wire/v0/query-parameters.ts';
import {
  type AnswerContext,
  rawFault,
  writeBody,
  writeFault,
  writeNoContent,
  writePreflight,
} from './answer-writer.ts';
import { type BodyLimits, BodyReader, type BodyResult } from './body-reader.ts';
import { type Route, routeOf } from './routes.ts';

export interface ServerParts {
  /** Undefined: this process has not the role. */
  readonly capture: Capture | undefined;
  readonly reads: ReadApi | undefined;
  readonly metrics: Metrics;
  readonly log: LogLines;
  readonly clock: Clock;
  readonly ids: IdSource;
  readonly limits: BodyLimits;
  /** May the client behind this address say whom it forwards for? */
  readonly isTrustedProxy: (address: string | undefined) => boolean;
}

const MAX_HEADER_BYTES = 16 * 1024;
const IDLE_SWEEP_MS = 50;
const KEEP_ALIVE_MS = 65_000; // longer than the 60 s of common load balancers, so that they close first

/** Shared with every exchange, which looks at it when it answers. */
interface ServerState {
  phase: 'starting' | 'serving' | 'draining';
}

export class HttpServer {
  readonly #parts: ServerParts;
  readonly #server: Server;
  readonly #bodies: BodyReader;
  readonly #state: ServerState = { phase: 'starting' };
  /** The newest answer of each connection. */
  readonly #open = new WeakMap<Duplex, ServerResponse>();

  constructor(parts: ServerParts) {
    this.#parts = parts;
    this.#bodies = new BodyReader(parts.limits, parts.clock);
    // A request without Host gets our own envelope, not Node's empty answer.
    const options = { maxHeaderSize: MAX_HEADER_BYTES, keepAliveTimeout: KEEP_ALIVE_MS, requireHostHeader: false };
    const serve = (request: IncomingMessage, response: ServerResponse): void => {
      this.#open.set(request.socket, response);
      new Exchange(this.#parts, this.#bodies, request, response).start(this.#state);
    };
    this.#server = createServer(options, serve);
    this.#server.on('checkExpectation', serve);
    this.#server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
      socket.end(
        this.#rawFault(fault('method_not_allowed', { method: 'CONNECT', allowed: 'GET, HEAD, POST, OPTIONS' })),
      );
    });
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
      if (!socket.writable || error.code === 'ECONNRESET') {
        socket.destroy();
        return;
      }
      const isSlow = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
      const refusal = isSlow
        ? fault('body_timeout', { timeoutMs: parts.limits.stallTimeoutMs })
        : fault('invalid_header');
      const pending = this.#open.get(socket);
      // What was read before the bad bytes still gets its answer first: it may be stored, and a 400 would deny that.
      if (pending === undefined || pending.writableFinished || !pending.req.complete)
        socket.end(this.#rawFault(refusal));
      else pending.once('finish', () => socket.end(this.#rawFault(refusal)));
    });
  }

  #rawFault(refusal: Fault): string {
    const requestId = new Uint8Array(16);
    this.#parts.ids.writeUuidV7(this.#parts.clock.nowMs(), requestId, 0);
    return rawFault(refusal, formatUuid(requestId));
  }

  /** @returns the port that listens. Rejects with the system's error, e.g. EADDRINUSE. */
  listen(port: number, host: string): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, 4096, () => {
        this.#server.removeListener('error', reject);
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  /** From now on requests are served; before, they get 503 `starting`. */
  serve(): void {
    this.#state.phase = 'serving';
  }

  drain(): void {
    this.#state.phase = 'draining';
  }

  /** Stops listening; resolves when every request that was under way is answered. */
  close(): Promise<void> {
    this.#state.phase = 'draining';
    return new Promise((resolve) => {
      // Again and again: a connection that was busy when the listener closed is idle only behind its answer.
      const sweep = setInterval(() => {
        this.#server.closeIdleConnections();
      }, IDLE_SWEEP_MS);
      this.#server.close(() => {
        clearInterval(sweep);
        this.#bodies.close();
        resolve();
      });
      this.#server.closeIdleConnections();
    });
  }

  /** Cuts what is left. */
  closeAllConnections(): void {
    this.#server.closeAllConnections();
  }
}

/** One request and its answer. */
class Exchange {
  readonly #parts: ServerParts;
  readonly #bodies: BodyReader;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #receivedAtMs: EpochMs;
  readonly #startedMs: number;
  readonly #requestId: Uint8Array;
  #state: ServerState = { phase: 'serving' };
  #mustClose = false;
  #label: RouteLabel = 'other';

  // One object a request: its four parts are what a request is.
  constructor(parts: ServerParts, bodies: BodyReader, request: IncomingMessage, response: ServerResponse) {
    this.#parts = parts;
    this.#bodies = bodies;
    this.#request = request;
    this.#response = response;
    this.#receivedAtMs = parts.clock.nowMs();
    this.#startedMs = parts.clock.monotonicMs();
    this.#requestId = this.#chooseRequestId();
  }

  start(state: ServerState): void {
    this.#state = state;
    if (this.#request.headers.host === undefined && this.#request.httpVersion === '1.1') {
      this.#mustClose = true;
      this.#request.resume();
      this.#refuse(fault('invalid_header'));
      return;
    }
    if (state.phase === 'starting') {
      this.#request.resume();
      this.#refuse(fault('starting'));
      return;
    }
    const target = originForm(this.#request.url ?? '/');
    const mark = target.indexOf('?');
    const route = routeOf(mark < 0 ? target : target.slice(0, mark));
    const query = mark < 0 ? '' : target.slice(mark + 1);
    if (this.#request.method === 'OPTIONS') {
      this.#request.resume();
      writePreflight(this.#response, this.#context(), this.#request.headers['access-control-request-headers']);
      this.#count(200);
      return;
    }
    try {
      this.#dispatch(route, query);
    } catch (error) {
      this.#fail(error);
    }
  }

  #dispatch(route: Route, query: string): void {
    const { method } = this.#request;
    switch (route.kind) {
      case 'capture':
        this.#label = 'capture';
        this.#capture(route.path, query);
        return;
      case 'read':
        this.#label = 'read';
        this.#read(route.path, query);
        return;
      case 'root':
      case 'liveness':
      case 'readiness':
      case 'metrics':
        this.#label = route.kind === 'metrics' ? 'metrics' : 'health';
        this.#request.resume();
        if (method !== 'GET' && method !== 'HEAD') {
          this.#refuse(
            fault('method_not_allowed', { method: method ?? '', allowed: 'GET, HEAD, OPTIONS' }),
            'GET, HEAD, OPTIONS',
          );
          return;
        }
        this.#status(route.kind);
        return;
      case 'unknown':
        this.#request.resume();
        this.#refuse(fault('not_found'));
        return;
    }
  }

  #status(kind: 'root' | 'liveness' | 'readiness' | 'metrics'): void {
    if (kind === 'metrics') {
      this.#parts.metrics.text().then(
        (text) => {
          this.#answer(200, text, this.#parts.metrics.registry.contentType);
        },
        (error: unknown) => {
          this.#fail(error);
        },
      );
      return;
    }
    if (kind === 'root') {
      this.#answer(200, 'capture', 'text/plain; charset=utf-8');
      return;
    }
    if (kind === 'liveness') {
      this.#answer(200, '{"status":"alive"}');
      return;
    }
    const reason = this.#unreadiness();
    if (reason === undefined) this.#answer(200, '{"status":"ready"}');
    else this.#refuse(fault(reason));
  }

  #unreadiness(): 'draining' | 'overloaded' | 'disk_full' | 'log_unavailable' | undefined {
    if (this.#state.phase === 'draining') return 'draining';
    const readiness = this.#parts.capture?.readiness();
    return readiness === undefined || readiness.kind === 'ready' ? undefined : readiness.code;
  }

  #capture(path: string, query: string): void {
    const { capture } = this.#parts;
    const { method } = this.#request;
    if (capture === undefined) {
      this.#request.resume();
      this.#refuse(fault('not_found'));
      return;
    }
    if (method !== 'POST' && method !== 'GET' && method !== 'HEAD') {
      this.#request.resume();
      this.#refuse(
        fault('method_not_allowed', { method: method ?? '', allowed: 'GET, HEAD, POST, OPTIONS' }),
        'GET, HEAD, POST, OPTIONS',
      );
      return;
    }
    const parameters = parseQuery(query);
    if (parameters.kind === 'fault') {
      this.#request.resume();
      this.#refuse(parameters);
      return;
    }
    const readiness = capture.readiness();
    if (readiness.kind === 'refused') {
      // The body stays unread: a client that is refused early must not fill our memory first.
      this.#mustClose = true;
      this.#refuse(fault(readiness.code));
      this.#request.resume();
      return;
    }
    this.#bodies.read(this.#request, (result) => {
      this.#captureBody(capture, path, parameters, result);
    });
  }

  #captureBody(capture: Capture, path: string, parameters: QueryParameters, result: BodyResult): void {
    const bytes = this.#bodyOf(result);
    if (bytes === undefined) return;
    const { headers } = this.#request;
    this.#parts.metrics.bodyBytes.inc(bytes.length);
    const request: CaptureRequest = {
      method: this.#request.method === 'POST' ? 'POST' : 'GET',
      path,
      parameters,
      contentType: headers['content-type'],
      contentEncoding: headers['content-encoding'],
      authorization: headers.authorization,
      personalApiKeyHeader: single(headers['x-personal-api-key']),
      body: bytes,
      receivedAtMs: this.#receivedAtMs,
      requestId: this.#requestId,
      ip: this.#clientIp(),
    };
    try {
      const answer = capture.handle(request);
      if (!(answer instanceof Promise)) {
        this.#captured(answer);
        return;
      }
      answer.then(
        (later) => {
          this.#captured(later);
        },
        (error: unknown) => {
          this.#fail(error);
        },
      );
    } catch (error) {
      this.#fail(error);
    }
  }

  /** The headers count only when the socket's other end is trusted to set them. */
  #clientIp(): string {
    const { remoteAddress } = this.#request.socket;
    const isTrusted = this.#parts.isTrustedProxy(remoteAddress);
    return clientIp(isTrusted ? this.#request.headers : {}, remoteAddress);
  }

  #captured(answer: CaptureAnswer | Fault): void {
    if (answer.kind === 'fault') {
      this.#parts.metrics.requestsRefused.inc({ code: answer.code });
      this.#refuse(answer);
    } else if (answer.body === undefined) {
      writeNoContent(this.#response, this.#context());
      this.#count(204);
    } else {
      this.#answer(200, answer.body);
    }
  }

  #read(path: string, query: string): void {
    const { reads } = this.#parts;
    if (reads === undefined) {
      this.#request.resume();
      this.#refuse(fault('not_found'));
      return;
    }
    this.#bodies.read(this.#request, (result) => {
      const bytes = this.#bodyOf(result);
      if (bytes === undefined) return;
      const aborter = new AbortController();
      this.#response.on('close', () => {
        aborter.abort();
      });
      const { host } = this.#request.headers;
      reads
        .handle({
          method: this.#request.method ?? 'GET',
          path,
          query: new URLSearchParams(query),
          authorization: this.#request.headers.authorization,
          body: bytes,
          signal: aborter.signal,
          origin: host === undefined ? undefined : `http://${host}`,
        })
        .then(
          (answer) => {
            if (answer.kind === 'fault') this.#refuse(answer);
            else this.#answer(answer.status, answer.body, answer.headers['Content-Type']);
          },
          (error: unknown) => {
            this.#fail(error);
          },
        );
    });
  }

  /** Undefined: the request is answered already, or nobody waits. */
  #bodyOf(result: BodyResult): Buffer | undefined {
    switch (result.kind) {
      case 'body':
        return result.bytes;
      case 'refused':
        this.#mustClose = result.mustClose;
        this.#refuse(result.fault);
        return undefined;
      case 'aborted':
        return undefined;
    }
  }

  #answer(status: number, body: Buffer | string, contentType?: string): void {
    writeBody(
      this.#response,
      this.#context(),
      contentType === undefined ? { status, body } : { status, body, contentType },
    );
    this.#count(status);
  }

  #refuse(refusal: Fault, allow?: string): void {
    writeFault(this.#response, this.#context(), refusal, allow);
    this.#count(this.#response.statusCode);
  }

  #fail(error: unknown): void {
    this.#parts.log.error({ requestId: formatUuid(this.#requestId), err: error }, 'a request failed inside');
    if (!this.#response.headersSent) this.#refuse(fault('internal_error'));
  }

  #context(): AnswerContext {
    return {
      requestId: formatUuid(this.#requestId),
      origin: this.#request.headers.origin,
      mustClose: this.#mustClose || this.#state.phase === 'draining',
    };
  }

  #chooseRequestId(): Uint8Array {
    const { headers } = this.#request;
    const given = single(headers['x-request-id']) ?? single(headers['posthog-request-id']);
    const parsed = given === undefined ? undefined : parseUuid(given);
    if (parsed !== undefined) return parsed;
    const made = new Uint8Array(16);
    this.#parts.ids.writeUuidV7(this.#receivedAtMs, made, 0);
    return made;
  }

  #count(status: number): void {
    const { metrics, clock } = this.#parts;
    metrics.requests.inc({ route: this.#label, method: methodLabel(this.#request.method), status: String(status) });
    metrics.requestSeconds.observe({ route: this.#label }, (clock.monotonicMs() - this.#startedMs) / 1000);
  }
}

/** A target may be a whole URL (RFC 9112 3.2.2); what counts is its path. */
function originForm(target: string): string {
  if (target.startsWith('/')) return target;
  const path = /^https?:\/\/[^/?]*(.*)$/i.exec(target)?.[1];
  if (path === undefined) return target;
  return path.startsWith('/') ? path : `/${path}`;
}

function methodLabel(method: string | undefined): string {
  return method === 'GET' || method === 'POST' || method === 'HEAD' || method === 'OPTIONS' ? method : 'other';
}

function single(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0];
}
