/**
 * The listener: one request in, one answer out, no framework between; over TLS where a certificate is given.
 *
 * Order    listener -> exchange.ts (what a request has) -> dispatch.ts (who answers its path) -> one file a kind of route.
 * Bounds   headers 16 KiB and 60 s to arrive (Node's own), body as body-reader.ts states. `maxConnections` connections;
 *          one more gets a 503 on its first request and is closed; beyond a quarter more they are closed without a word.
 * Drain    `drain()` makes readiness false at once; open connections are still served, each with `Connection: close`;
 *          `close()` stops listening and waits for the answers under way. Of requests that were pipelined the last is the
 *          one whose answer ends the connection; what had come when the signal did is read before anything is closed.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Fault, fault } from '../errors.ts';
import { formatUuid } from '../event/uuid.ts';
import { turnAway } from './admission-control.ts';
import { rawFault } from './answer-writer.ts';
import { BodyReader } from './body-reader.ts';
import { dispatch } from './dispatch.ts';
import { Exchange, type ServerParts, type ServerState } from './exchange.ts';
import type { TlsCredentials } from './tls.ts';

export const MAX_HEADER_BYTES = 16 * 1024;
const IDLE_SWEEP_MS = 50;
const SETTLE_MS = 50;
/** How exactly the deadlines of headers and requests are kept; Node's own 30 s let a slow sender have half as much again. */
const DEADLINE_SWEEP_MS = 5_000;
/** A connection that is one too many and asks for nothing. */
const EXCESS_IDLE_MS = 5_000;
/** A client that opens a connection and says nothing. */
const TLS_HANDSHAKE_MS = 10_000;
export const KEEP_ALIVE_MS = 65_000; // longer than the 60 s of common load balancers, so that they close first

export class HttpServer {
  readonly #parts: ServerParts;
  readonly #server: Server | TlsServer;
  readonly #bodies: BodyReader;
  readonly #state: ServerState = { phase: 'starting', newest: new WeakMap(), ending: new WeakSet() };
  /** Connections beyond the most there may be. */
  readonly #excess = new Set<Duplex>();

  /** @param tls undefined: plain HTTP */
  constructor(parts: ServerParts, tls: TlsCredentials | undefined) {
    this.#parts = parts;
    this.#bodies = new BodyReader(parts.limits, parts.clock);
    // A request without Host gets our own envelope, not Node's empty answer.
    const options = {
      maxHeaderSize: MAX_HEADER_BYTES,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: DEADLINE_SWEEP_MS,
      requireHostHeader: false,
    };
    const serve = (request: IncomingMessage, response: ServerResponse): void => {
      if (this.#state.ending.has(request.socket)) {
        request.resume(); // its client was told that this connection ends, and sends it again on another
        return;
      }
      this.#state.newest.set(request.socket, response);
      const exchange = new Exchange(this.#parts, this.#bodies, request, response);
      if (this.#excess.size > 0 && this.#excess.has(request.socket)) turnAway(exchange);
      else dispatch(exchange, this.#state);
    };
    this.#server =
      tls === undefined
        ? createServer(options, serve)
        : createTlsServer({ ...options, ...tls.options, handshakeTimeout: TLS_HANDSHAKE_MS }, serve);
    this.#watchConnections(tls === undefined ? 'connection' : 'secureConnection');
    this.#server.on('checkExpectation', serve);
    this.#server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
      // Who asks before sending is told no before sending; then nobody knows whether the body follows, so the connection ends.
      if (parts.capture?.readiness().kind === 'refused') response.shouldKeepAlive = false;
      else response.writeContinue();
      serve(request, response);
    });
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
      const pending = this.#state.newest.get(socket);
      // A body that is cut short is no request of its own: its exchange counts it.
      if (isSlow || pending === undefined || pending.writableFinished || pending.req.complete)
        parts.metrics.unreadableRequests.add(refusal.code);
      // What was read before the bad bytes still gets its answer first: it may be stored, and a 400 would deny that.
      if (pending === undefined || pending.writableFinished || !pending.req.complete)
        socket.end(this.#rawFault(refusal));
      else pending.once('finish', () => socket.end(this.#rawFault(refusal)));
    });
  }

  /** @param ready the event with the socket that requests come by */
  #watchConnections(ready: 'connection' | 'secureConnection'): void {
    const { maxConnections, metrics } = this.#parts;
    this.#server.maxConnections = maxConnections + Math.ceil(maxConnections / 4);
    this.#server.on('connection', (socket: Duplex) => {
      metrics.http.connections += 1;
      socket.once('close', () => {
        metrics.http.connections -= 1;
      });
    });
    this.#server.on(ready, (socket: Duplex) => {
      if (metrics.http.connections <= maxConnections) return;
      this.#excess.add(socket);
      const timer = setTimeout(() => socket.destroy(), EXCESS_IDLE_MS);
      socket.once('close', () => {
        clearTimeout(timer);
        this.#excess.delete(socket);
      });
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

  /** New connections are shown this certificate; open ones stay as they are. Only where the server speaks TLS. */
  renewTls(tls: TlsCredentials): void {
    if ('setSecureContext' in this.#server) this.#server.setSecureContext(tls.options);
  }

  /** From now on requests are served; before, they get 503 `starting`. */
  serve(): void {
    this.#state.phase = 'serving';
  }

  drain(): void {
    this.#state.phase = 'draining';
  }

  /** Stops listening; resolves when every request that was under way is answered. */
  async close(): Promise<void> {
    this.#state.phase = 'draining';
    // Requests that lie in the kernel's buffers, of connections that look idle or are not accepted yet.
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    await new Promise<void>((resolve) => {
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
