/**
 * Who is let in before anything of a body is read: a refusal here costs no memory.
 *
 * Bounds   requests under way: as many as connections. A connection has one at a time, unless a client sends the next
 *          without waiting; then it takes from the same number.
 * Order    what the log says goes first, since it names the cause.
 */
import { type ErrorCode, fault } from '../errors.ts';
import type { Exchange } from './exchange.ts';

type Readiness =
  | { readonly kind: 'ready' }
  | {
      readonly kind: 'refused';
      readonly code: 'overloaded' | 'disk_full' | 'log_unavailable' | 'draining' | 'over_fair_share';
    };

/** @returns whether the request was answered, because its events could not be kept now */
export function isRefusedUnread(exchange: Exchange, readiness: Readiness): boolean {
  const code = readiness.kind === 'refused' ? readiness.code : busyCode(exchange);
  if (code === undefined) return false;
  exchange.refuseUnread(fault(code));
  return true;
}

function busyCode({ parts }: Exchange): Extract<ErrorCode, 'overloaded'> | undefined {
  return parts.metrics.http.inFlight > parts.maxConnections ? 'overloaded' : undefined;
}

/** Answers the first request of a connection that is one too many, whatever it asks for; then the connection ends. */
export function turnAway(exchange: Exchange): void {
  const { maxConnections, limits } = exchange.parts;
  exchange.closeAfterAnswer();
  // Read off first: what is unread when a connection closes takes the answer with it.
  exchange.bodies.read(
    exchange.request,
    (result) => {
      if (exchange.bodyOf(result) !== undefined) exchange.refuse(fault('too_many_connections', { maxConnections }));
    },
    { maxBodyBytes: limits.maxBodyBytes, isKept: false },
  );
}
