import type { ErrorCode } from '../errors.ts';

export interface ErrorTag {
  readonly error: string;
  readonly stage: 'parsing' | 'processing';
}

/** PostHog's words (protocol.md 9), where it has one for what the code says. */
const TAGS: Readonly<Partial<Record<ErrorCode, string>>> = {
  body_timeout: 'body_read_timeout',
  conflicting_api_keys: 'multiple_tokens',
  disk_full: 'retryable_sink',
  empty_batch: 'empty_batch',
  empty_event_name: 'no_event_name',
  event_too_large: 'oversize_event',
  inconsistent_api_keys: 'multiple_tokens',
  invalid_api_key: 'invalid_token',
  invalid_cookieless_mode: 'invalid_cookieless',
  invalid_encoding: 'req_decoding',
  invalid_event: 'req_hydration',
  invalid_form: 'req_decoding',
  invalid_json: 'req_parsing',
  invalid_properties: 'req_hydration',
  invalid_shape: 'req_parsing',
  log_unavailable: 'retryable_sink',
  missing_api_key: 'no_token',
  missing_distinct_id: 'no_distinct_id',
  missing_event_name: 'no_event_name',
  missing_payload: 'empty_payload',
  over_fair_share: 'retryable_sink',
  overloaded: 'retryable_sink',
  payload_too_large: 'oversize_event',
  quota_exceeded: 'billing_limit',
  revoked_api_key: 'unknown_token',
  unknown_api_key: 'unknown_token',
};

const tags: Readonly<Record<string, string>> = TAGS;

/** @returns PostHog's tag for one of our codes; the code itself where PostHog has none */
export function postHogErrorTag(code: string): ErrorTag {
  const error = tags[code] ?? code;
  return { error, stage: error === 'retryable_sink' || code === 'internal_error' ? 'processing' : 'parsing' };
}
