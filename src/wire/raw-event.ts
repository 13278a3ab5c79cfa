/**
 * One event as it lies in the decoded text of a request: positions, no copies. Made by the decoders of `wire/` alone;
 * valid while the request's body is.
 *
 * Positions are byte offsets into `body`; a string's are those of its contents, between the quotes; -1 = absent.
 */
import type { RejectionCode } from '../event/outcome.ts';

/** How the `distinct_id` was written: it may be any JSON value (protocol.md 3.5). */
export const distinctIdForms = ['absent', 'plain', 'escaped', 'other'] as const;
export type DistinctIdForm = (typeof distinctIdForms)[number];

/** Bits of `RawEvent.flags`. */
export const eventFlags = {
  nameIsEscaped: 1 << 0,
  uuidIsEscaped: 1 << 1,
  tokenIsEscaped: 1 << 2,
  timestampIsEscaped: 1 << 3,
  libIsEscaped: 1 << 4,
  libVersionIsEscaped: 1 << 5,
  propertiesAreEmpty: 1 << 6,
  setInProperties: 1 << 7,
  setOnceInProperties: 1 << 8,
  unsetInProperties: 1 << 9,
  ignoresSentAt: 1 << 10,
  isCookieless: 1 << 11,
  hasInvalidCookielessMode: 1 << 12,
  isCaptureInternal: 1 << 13,
  /** Somewhere in `properties` stands a number of 19 or more digits without fraction or exponent. */
  hasLongInteger: 1 << 14,
  /** V1's `disable_skew_correction`: the timestamp counts as it is, however far ahead (protocol.md 8.2). */
  keepsTimestamp: 1 << 15,
} as const;

/** Why the shape of this event does not fit; decided while scanning. */
export interface EventFault {
  readonly code: Extract<RejectionCode, 'invalid_event' | 'invalid_properties' | 'missing_event_name'>;
  readonly field: string | undefined;
  readonly problem: string;
}

export interface RawEvent {
  readonly body: Buffer;
  /** Place in the request, from 0. */
  readonly index: number;
  /** The event's whole JSON value: `body[start, end)`. */
  readonly start: number;
  readonly end: number;
  readonly fault: EventFault | undefined;
  readonly flags: number;
  readonly nameStart: number;
  readonly nameEnd: number;
  readonly distinctIdForm: DistinctIdForm;
  readonly distinctIdStart: number;
  readonly distinctIdEnd: number;
  readonly uuidStart: number;
  readonly uuidEnd: number;
  readonly tokenStart: number;
  readonly tokenEnd: number;
  readonly timestampStart: number;
  readonly timestampEnd: number;
  /** Milliseconds before the request arrived; may be negative. */
  readonly offsetMs: number | undefined;
  /** With its braces. */
  readonly propertiesStart: number;
  readonly propertiesEnd: number;
  /** `$set`, `$set_once`, `$unset` beside `properties`: whole JSON values. */
  readonly setStart: number;
  readonly setEnd: number;
  readonly setOnceStart: number;
  readonly setOnceEnd: number;
  readonly unsetStart: number;
  readonly unsetEnd: number;
  readonly libStart: number;
  readonly libEnd: number;
  readonly libVersionStart: number;
  readonly libVersionEnd: number;
}
