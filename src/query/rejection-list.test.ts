import { describe, expect, it } from 'vitest';
import { bodyOf, codeOf, readApiForTest } from './read-api-for-test.ts';
import { rowsAnswer } from './recording-store-for-test.ts';

const request = '018f3b7e-5d5c-7c2a-9e1b-0123456789ab';
const path = '/api/projects/1/rejections/';

/** A row as the store gives it: the columns of `rejection-row.ts`, two for the order, and how many were found. */
function row(index: number, found: number): unknown[] {
  const texts = ['1767225600123456', 'invalid_event', 'not an object', '', '', '[1]'];
  const listed = ['ann', '1767225600000000', '203.0.113.7', true, false, 0];
  return [request, index, ...texts, ...listed, '2026-01-01 00:00:00.123456', request, found];
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
          sent_at: '2026-01-01T00:00:00.000Z',
          code: 'invalid_event',
          detail: 'not an object',
          event: '',
          distinct_id: 'ann',
          uuid: null,
          ip: '203.0.113.7',
          authenticated: true,
          historical: false,
          retried: false,
          raw: '[1]',
        },
      ],
      next: null,
      count: 1,
    });
  });

  it('filters by code and time with parameters', async () => {
    const { get, store } = readApiForTest();
    await get(`${path}?code=a'b&after=1970-01-01T00:00:01Z&before=-1d&request=${request}&index=7&limit=5`);
    expect(store.asked[0]?.sql).toContain('(code = {code:String})');
    expect(store.asked[0]?.parameters).toMatchObject({
      project_id: 1,
      code: "a'b",
      after: 1_000_000n,
      request,
      index: 7,
      row_limit: 6,
    });
  });

  it('goes on behind the last one shown', async () => {
    const { get, store } = readApiForTest();
    store.answerWith(({ sql }) => rowsAnswer(sql.includes('count()) FROM') ? [[41]] : [row(2, 2), row(1, 2)]));
    const { next, count } = JSON.parse(bodyOf(await get(`${path}?limit=1`))) as { next: string; count: number };
    expect(next).toBe(`${path}?limit=1&cursor=1767225600123456_${request}_2`);
    expect(count).toBe(41);
    const { count: again } = JSON.parse(bodyOf(await get(next))) as { count?: number };
    expect(again).toBeUndefined();
    expect(store.asked).toHaveLength(3);
    expect(store.asked[1]?.parameters).not.toHaveProperty('cursor_micros');
    expect(store.asked[2]?.parameters).toMatchObject({
      cursor_micros: 1_767_225_600_123_456n,
      cursor_request: request,
      cursor_index: 2,
    });
  });

  it('leaves out what was sent again, unless all is asked for', async () => {
    const { get, store } = readApiForTest();
    for (const query of ['', '?all=0', '?all=false']) await get(`${path}${query}`);
    for (const query of ['?all=1', '?all=true']) await get(`${path}${query}`);
    const areLeftOut = store.asked.map(({ sql }) => sql.includes('(NOT ((request_id'));
    expect(areLeftOut).toEqual([true, true, true, false, false]);
  });

  for (const query of ['limit=1001', 'after=x', 'before=x', 'cursor=x', 'request=x', 'index=-1', 'all=yes']) {
    it(`refuses ${query}`, async () => {
      expect(codeOf(await readApiForTest().get(`${path}?${query}`))).toBe('invalid_parameter');
    });
  }
});
