/**
 * A gate in front of a server: a reverse proxy on loopback that can be told to refuse.
 *
 * Guarantees
 *   G1  What passes is not changed: method, target, header names, their order and case, and the bytes of the bodies, as
 *       they come (no decoding, no buffering). Only the framing of a chunked body is its own.
 *   G2  While it refuses, and while nothing listens behind it, each request is read to its end and answered 503 with
 *       `Retry-After`, in whole seconds, which is what a load balancer in front of a restarting server does. It never
 *       answers 2xx by itself.
 */
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Gate {
  readonly url: string;
  /** How many requests passed, and how many were refused. */
  readonly counts: { passed: number; refused: number };
  refuseFor(ms: number): void;
  close(): Promise<void>;
}

/** What it says when nobody listens behind it: two restarts of the server fit in. */
const ABSENT_WAIT_MS = 3000;

/** @param refusalHeaders beside its own, such as those without which a browser hides a refusal from the page */
export async function openGate(target: string, refusalHeaders: Readonly<Record<string, string>> = {}): Promise<Gate> {
  const { hostname, port } = new URL(target);
  const counts = { passed: 0, refused: 0 };
  let refusesUntilMs = 0;

  function refuse(response: ServerResponse, waitMs: number): void {
    counts.refused += 1;
    const headers = { 'Content-Type': 'application/json', 'Retry-After': Math.ceil(waitMs / 1000) };
    response.writeHead(503, { ...headers, ...refusalHeaders });
    response.end('{"type":"server_error","code":"overloaded","detail":"the gate is closed","attr":null}');
  }

  function pass(incoming: IncomingMessage, response: ServerResponse): void {
    const outgoing = request({
      hostname,
      port,
      method: incoming.method,
      path: incoming.url,
      headers: incoming.rawHeaders,
      setHost: false,
      agent: false,
    });
    outgoing.on('response', (answer) => {
      counts.passed += 1;
      response.sendDate = false; // the answer has its own, or none
      response.writeHead(answer.statusCode ?? 502, answer.statusMessage, answer.rawHeaders);
      answer.pipe(response);
      answer.on('error', () => response.destroy());
    });
    outgoing.on('error', () => {
      incoming.unpipe(outgoing);
      if (response.headersSent) response.destroy();
      else readToEnd(incoming, () => refuse(response, ABSENT_WAIT_MS));
    });
    incoming.pipe(outgoing);
  }

  const server = createServer((incoming, response) => {
    if (Date.now() >= refusesUntilMs) pass(incoming, response);
    else readToEnd(incoming, () => refuse(response, Math.max(refusesUntilMs - Date.now(), 1)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    counts,
    refuseFor: (ms) => {
      refusesUntilMs = Date.now() + ms;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function readToEnd(incoming: IncomingMessage, then: () => void): void {
  if (incoming.readableEnded) then();
  else incoming.resume().once('end', then);
}
