/** Why one event was refused (interface.md 2). A code is never renamed or reused. */
export const rejectionCodes = [
  'ai_event_too_big',
  'cookieless_id_without_mode',
  'distinct_id_too_large',
  'dropped_performance_event',
  'empty_event_name',
  'event_name_too_long',
  'event_too_big',
  'event_too_large',
  'invalid_cookieless_mode',
  'invalid_event',
  'invalid_event_timestamp',
  'invalid_options',
  'invalid_properties',
  'invalid_uuid',
  'malformed_event_properties',
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
