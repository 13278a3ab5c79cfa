import { describe, expect, it } from 'vitest';
import { bodyOf, codeOf, readApiForTest } from './read-api-for-test.ts';
import { rowsAnswer } from './recording-store-for-test.ts';

const request = '018f3b7e-5d5c-7c2a-9e1b-0123456789ab';
const path = '/api/projects/1/rejections/';

/** A row as the store gives it: the columns of `rejection-row.ts`, two for the order, and how many were found. */
function row(index: number, found: number): unknown[] {
  const texts = ['1767225600123456', 'invalid_event', 'not an object', '', '', '[1'];
  return [request, index, ...texts, '2026-01-01 00:00:00.123456', request, found];
}

describe('the list of rejections', () => {
  it('shows what was sent, as a text, and why it was refused', async () => {
    const { get, store } = readApiForTest();
    store.answerWith(() => rowsAnswer([row(2, 1)]));
    expect(JSON.parse(bodyOf(await get(path)))).toEqual({
      results: [
        {
          request_id: request,
          index: 2,
          received_at: '2026-01-01T00:00:00.123Z',
          code: 'invalid_event',
          detail: 'not an object',
          event: '',
          uuid: null,
          raw: '[1',
        },
      ],
      next: null,
    });
  });

  it('filters by code and time with parameters', async () => {
    const { get, store } = readApiForTest();
    await get(`${path}?code=a'b&after=1970-01-01T00:00:01Z&before=-1d&limit=5`);
    expect(store.asked[0]?.sql).toContain('(code = {code:String})');
    expect(store.asked[0]?.parameters).toMatchObject({ project_id: 1, code: "a'b", after: 1_000_000n, row_limit: 6 });
  });

  it('goes on behind the last one shown', async () => {
    const { get, store } = readApiForTest();
    store.answerWith(() => rowsAnswer([row(2, 2), row(1, 2)]));
    const { next } = JSON.parse(bodyOf(await get(`${path}?limit=1`))) as { readonly next: string };
    expect(next).toBe(`${path}?limit=1&cursor=1767225600123456_${request}_2`);
    await get(next);
    expect(store.asked[1]?.parameters).toMatchObject({
      cursor_micros: 1_767_225_600_123_456n,
      cursor_request: request,
      cursor_index: 2,
    });
  });

  for (const query of ['limit=1001', 'after=x', 'before=x', 'cursor=x']) {
    it(`refuses ${query}`, async () => {
      expect(codeOf(await readApiForTest().get(`${path}?${query}`))).toBe('invalid_parameter');
    });
  }
});
