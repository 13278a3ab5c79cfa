import { describe, expect, it } from 'vitest';
import { errors, type ErrorCode, fault, type Fault } from '../../errors.ts';
import { errorEnvelope } from './error-envelope.ts';

function read(refusal: Fault): Record<string, string> {
  return JSON.parse(errorEnvelope(refusal).toString()) as Record<string, string>;
}

describe('V1’s envelope (protocol.md 8.4)', () => {
  it.each(Object.keys(errors) as ErrorCode[])('%s has three keys and no empty one', (code) => {
    const body = read({ kind: 'fault', code, detail: 'what was wrong', attr: null });
    expect(Object.keys(body)).toEqual(['error', 'error_description', 'error_uri']);
    expect(body['error']).toMatch(/^[a-z0-9_]+$/);
    expect(body['error_description']).toMatch(/\S/);
  });

  it.each<[Fault, string, string]>([
    [fault('body_timeout', { timeoutMs: 5 }), 'body_read_timeout', 'client stopped sending data'],
    [fault('disk_full'), 'service_unavailable', 'Service Unavailable: the disk'],
    [fault('draining'), 'service_unavailable', 'Service Unavailable: the server'],
    [fault('empty_batch'), 'empty_batch', 'request batch is empty'],
    [fault('internal_error'), 'internal_error', 'Internal Server Error. Nothing'],
    [fault('log_unavailable'), 'service_unavailable', 'Service Unavailable: transient error'],
    [fault('overloaded'), 'service_unavailable', 'Service Unavailable: too many'],
    [
      fault('quota_exceeded', { events: 1, used: 5, monthlyQuota: 5 }),
      'billing_limit_exceeded',
      'Billing quota exceeded. Events are being dropped. Upgrade your plan to resume ingestion.',
    ],
    [
      fault('rate_limited', { events: 1, eventsPerSecond: 5, burst: 5 }),
      'service_unavailable',
      'Service Unavailable: rate limited',
    ],
    [fault('revoked_api_key'), 'invalid_api_token', 'The provided API token is not valid. This'],
    [fault('starting'), 'service_unavailable', 'Service Unavailable: the server'],
    [fault('unknown_api_key'), 'unknown_api_token', 'API key does not belong to any project'],
    [fault('request_parsing_error', { problem: 'x' }), 'request_parsing_error', 'Failed to parse request body. x'],
    [fault('invalid_api_token', { reason: 'empty' }), 'invalid_api_token', 'The provided API token is not valid. As'],
  ])('%o', (refusal, tag, beginning) => {
    const body = read(refusal);
    expect({ tag: body['error'], says: body['error_description']?.slice(0, beginning.length) }).toEqual({
      tag,
      says: beginning,
    });
  });

  it('sends who is over the quota to the page about quotas', () => {
    const uri = (refusal: Fault): string | undefined => read(refusal)['error_uri'];
    expect(uri(fault('quota_exceeded', { events: 1, used: 5, monthlyQuota: 5 }))).toBe(
      'https://posthog.com/docs/billing/limits',
    );
    expect(uri(fault('overloaded'))).toBe('https://posthog.com/docs/api');
  });
});
