/** Why one event was refused (interface.md 2). A code is never renamed or reused. */
export const rejectionCodes = [
  'empty_event_name',
  'event_too_large',
  'invalid_cookieless_mode',
  'invalid_event',
  'invalid_properties',
  'invalid_uuid',
  'missing_distinct_id',
  'missing_event_name',
  'performance_event',
  'refused_with_batch',
] as const;

export type RejectionCode = (typeof rejectionCodes)[number];

/** What was wrong with one event; a value, in the order of the request. */
export interface Rejection {
  readonly code: RejectionCode;
  /** Says what was wrong and what to do; never shows a value. */
  readonly detail: string;
  /** The field at fault within the event, for `attr`; undefined when it is the event as a whole. */
  readonly field: string | undefined;
}
