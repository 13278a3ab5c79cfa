import { describe, expect, it } from 'vitest';
import { bodyOf, readApiForTest } from './read-api-for-test.ts';
import { rowsAnswer } from './recording-store-for-test.ts';

const path = '/api/projects/1/query/';
const hogql = (query: unknown, values?: unknown): object => ({ query: { kind: 'HogQLQuery', query, values } });

describe('a HogQL query', () => {
  it('gives the rows back as the store wrote them: 64-bit integers are exact', async () => {
    const { post, store } = readApiForTest();
    const rowsJson = '[[9223372036854775807,1.0],[1,"é"]]';
    store.answerWith(() => ({
      ...rowsAnswer([]),
      columns: ['a', 'b'],
      types: ['UInt64', 'String'],
      rowsJson,
      hasMore: true,
    }));
    expect(bodyOf(await post(path, hogql('select 1')))).toBe(
      `{"columns":["a","b"],"types":["UInt64","String"],"results":${rowsJson},"hasMore":true}`,
    );
  });

  it('is confined to the project, with typed values and within the limits', async () => {
    const { post, store } = readApiForTest();
    await post('/api/projects/2/query', hogql('select {a}', { a: "x'" }));
    expect(store.asked[0]).toMatchObject({
      sql: 'select {a:String}',
      parameters: { a: "x'" },
      confinedTo: 2,
      limits: { timeoutMs: 30_000, maxRows: 50_000 },
    });
  });

  it('may come with what PostHog’s clients add', async () => {
    const { post, store } = readApiForTest();
    const query = { kind: 'HogQLQuery', query: 'select 1', values: null, modifiers: {} };
    await post(path, { query, refresh: 'blocking', client_query_id: 'x' });
    expect(store.asked).toHaveLength(1);
  });

  const refused: readonly [name: string, body: unknown, code: string, says: string][] = [
    ['an empty body', '', 'invalid_json', 'the body is empty at line 1 column 1'],
    ['no JSON', '{\n "query": ]', 'invalid_json', 'the body is not JSON at line 2'],
    ['no query', {}, 'invalid_parameter', '"query"'],
    ['a query that is a text', { query: 'select 1' }, 'invalid_parameter', '"query"'],
    ['another kind', { query: { kind: 'TrendsQuery' } }, 'invalid_parameter', 'must be "HogQLQuery"'],
    ['no SQL', hogql(undefined), 'invalid_parameter', '"query.query"'],
    ['empty SQL', hogql('  '), 'invalid_parameter', '"query.query"'],
    ['values that are a list', hogql('select 1', [1]), 'invalid_parameter', '"query.values"'],
    ['a value that is missing', hogql('select {a}'), 'invalid_parameter', '"query.values.a"'],
  ];
  for (const [name, body, code, says] of refused) {
    it(`is refused with ${name}`, async () => {
      const { post, store } = readApiForTest();
      const answer = await post(path, body);
      expect(answer).toMatchObject({ kind: 'fault', code });
      expect(answer.kind === 'fault' ? answer.detail : '').toContain(says);
      expect(store.asked).toEqual([]);
    });
  }

  const faults = [
    ['invalid', 'invalid_sql', 'Unknown column x at line 1'],
    ['refused', 'invalid_sql', 'Unknown column x at line 1'],
    ['memory', 'query_memory', 'Unknown column x at line 1'],
    ['timeout', 'query_timeout', 'longer than 30 s'],
    ['unavailable', 'store_unavailable', 'starting'],
  ] as const;
  for (const [reason, code, says] of faults) {
    it(`that the store answers with ${reason} is ${code}`, async () => {
      const { post, store } = readApiForTest();
      store.answerWith(() => ({ kind: 'fault', reason, message: 'Unknown column x at line 1' }));
      const answer = await post(path, hogql('select x'));
      expect(answer).toMatchObject({ kind: 'fault', code, detail: expect.stringContaining(says) });
    });
  }

  it('hands the client’s signal to the store, and is cancelled when the client leaves', async () => {
    const { get, post, store } = readApiForTest();
    const client = new AbortController();
    store.answerWith(({ signal }) => {
      client.abort();
      return { kind: 'fault', reason: signal?.aborted === true ? 'timeout' : 'invalid', message: 'stopped' };
    });
    const body = Buffer.from(JSON.stringify(hogql('select 1')));
    const answer = await get(path, { method: 'POST', body, signal: client.signal });
    expect(answer).toMatchObject({ kind: 'fault', code: 'query_cancelled' });
    expect((await post(path, hogql('select 1'))).kind).toBe('fault');
  });

  it('waits while four run, and is told to come again when a hundred wait', async () => {
    const { post, store } = readApiForTest({ limits: { maxRunning: 4, maxWaiting: 100 } });
    let open: () => void = () => undefined;
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    store.answerWith(() => opened.then(() => rowsAnswer([])));
    const taken = Array.from({ length: 104 }, () => post(path, hogql('select 1')));
    expect(await post(path, hogql('select 1'))).toMatchObject({ kind: 'fault', code: 'too_many_queries' });
    expect(store.asked).toHaveLength(4);
    open();
    expect(new Set((await Promise.all(taken)).map((answer) => answer.kind))).toEqual(new Set(['answer']));
    expect(store.asked).toHaveLength(104);
  });
});
