/**
 * The listener: one request in, one answer out, no framework between.
 *
 * Order    listener -> exchange.ts (what a request has) -> dispatch.ts (who answers its path) -> one file a kind of route.
 * Bounds   headers 16 KiB and 60 s to arrive (Node's own), body as body-reader.ts states.
 * Drain    `drain()` makes readiness false at once; open connections are still served, each with `Connection: close`;
 *          `close()` stops listening and waits for the answers under way.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { type Fault, fault } from '../errors.ts';
import { formatUuid } from '../event/uuid.ts';
import { rawFault } from './answer-writer.ts';
import { BodyReader } from './body-reader.ts';
import { dispatch } from './dispatch.ts';
import { Exchange, type ServerParts, type ServerState } from './exchange.ts';

export const MAX_HEADER_BYTES = 16 * 1024;
const IDLE_SWEEP_MS = 50;
export const KEEP_ALIVE_MS = 65_000; // longer than the 60 s of common load balancers, so that they close first

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
      dispatch(new Exchange(this.#parts, this.#bodies, request, response), this.#state);
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
      // A body that is cut short is no request of its own: its exchange counts it.
      if (isSlow || pending === undefined || pending.writableFinished || pending.req.complete)
        parts.metrics.unreadableRequests.add(refusal.code);
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
