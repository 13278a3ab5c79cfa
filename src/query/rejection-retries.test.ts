import { describe, expect, it } from 'vitest';
import { codeOf, readApiForTest } from './read-api-for-test.ts';

const path = '/api/projects/1/rejections/retries/';
const uuid = '018f3b7e-5d5c-7c2a-9e1b-0123456789ab';
const stored = { request_id: uuid, index: 0, received_at: '2026-01-01T00:00:00.123Z', retry_request_id: uuid };

describe('notes of what was sent again', () => {
  it('need the scope admin, and a POST', async () => {
    const { get, post, store } = readApiForTest();
    expect(codeOf(await post(path, { requests: [uuid] }))).toBe('missing_scope');
    expect(codeOf(await get(path))).toBe('method_not_allowed');
    expect(store.asked).toEqual([]);
  });

  for (const body of [
    '',
    '[]',
    { request: [uuid] },
    { requests: ['x'] },
    { requests: Array.from({ length: 1001 }, () => uuid) },
    { stored: [{ ...stored, index: -1 }] },
    { stored: [{ ...stored, index: 2 ** 32 }] },
    { stored: [{ ...stored, received_at: 'yesterday' }] },
    { stored: [{ ...stored, more: 1 }] },
  ]) {
    it(`refuses ${JSON.stringify(body).slice(0, 60)}`, async () => {
      const { get, store } = readApiForTest();
      const sent = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
      const code = codeOf(await get(path, { method: 'POST', authorization: 'Bearer phx_admin', body: sent }));
      expect(code).toBe(body === '' ? 'invalid_json' : 'invalid_parameter');
      expect(store.asked).toEqual([]);
    });
  }
});
