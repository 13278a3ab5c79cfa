import { eventFlags, type RawEvent } from '../raw-event.ts';
import { stringText } from '../json/json-text.ts';
import type { DecodedDocument } from './document-decoder.ts';

export interface TokenFinding {
  readonly token: string | undefined;
  /** The events of an array name several keys. */
  readonly isInconsistent: boolean;
}

function tokenText(event: RawEvent): string {
  return stringText(event.body, {
    start: event.tokenStart,
    end: event.tokenEnd,
    isEscaped: (event.flags & eventFlags.tokenIsEscaped) !== 0,
  });
}

function haveSameToken(a: RawEvent, b: RawEvent): boolean {
  if (((a.flags | b.flags) & eventFlags.tokenIsEscaped) !== 0) return tokenText(a) === tokenText(b);
  return a.body.compare(b.body, b.tokenStart, b.tokenEnd, a.tokenStart, a.tokenEnd) === 0;
}

/**
 * The project key of a request (protocol.md 4): a batch's own; else the one that its events agree on.
 *
 * @param events those of `document` that count
 */
export function findToken(document: DecodedDocument, events: readonly RawEvent[]): TokenFinding {
  if (document.shape === 'batch') return { token: document.batchToken, isInconsistent: false };
  let first: RawEvent | undefined;
  for (const event of events) {
    if (event.tokenStart < 0) continue;
    if (first === undefined) first = event;
    else if (!haveSameToken(first, event)) return { token: undefined, isInconsistent: true };
  }
  return { token: first === undefined ? undefined : tokenText(first), isInconsistent: false };
}
