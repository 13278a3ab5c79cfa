import { describe, expect, it } from 'vitest';
import { bodyOf, codeOf, readApiForTest, type ReadApiForTest } from './read-api-for-test.ts';
import { rowsAnswer } from './recording-store-for-test.ts';

const uuid = '018f3b7e-5d5c-7c2a-9e1b-0123456789ab';
const person = '018f3b7e-5d5c-5c2a-9e1b-0123456789ab';
const request = '018f3b7e-5d5c-7c2a-9e1b-ba9876543210';

/** A row as the store gives it: the columns of `event-row.ts`, two for the order, and how many were found. */
function row(propertiesRaw: string, found = 1): unknown[] {
  const micros = '1767225600123456';
  const texts = [uuid, 'paid', 'ann', person, micros, '1767225601000000', null, propertiesRaw, '::1'];
  return [...texts, true, false, request, 'web', '1.2', '2026-01-01 00:00:00.123456', uuid, found];
}

async function listed(rows: readonly unknown[][], target = '/api/projects/1/events/'): Promise<string> {
  const { get, store } = readApiForTest();
  store.answerWith(() => rowsAnswer(rows));
  return bodyOf(await get(target));
}

async function sqlOf(query: string): Promise<{ readonly sql: string; readonly parameters: object }> {
  const api: ReadApiForTest = readApiForTest();
  expect(codeOf(await api.get(`/api/projects/1/events/?${query}`))).toBe('answer');
  const [asked] = api.store.asked;
  if (asked === undefined) throw new Error('nothing was asked');
  return asked;
}

describe('the list of events', () => {
  it('shows an event as interface.md 3 says', async () => {
    expect(JSON.parse(await listed([row('{"price":1}')]))).toEqual({
      results: [
        {
          uuid,
          id: uuid,
          event: 'paid',
          distinct_id: 'ann',
          timestamp: '2026-01-01T00:00:00.123Z',
          received_at: '2026-01-01T00:00:01.000Z',
          sent_at: null,
          properties: { price: 1 },
          person: { id: person, distinct_ids: ['ann'], properties: {} },
          elements_chain: '',
          ip: '::1',
          authenticated: true,
          request_id: request,
          lib: 'web',
          lib_version: '1.2',
        },
      ],
      next: null,
    });
  });

  it('gives back the properties byte for byte: large integers, 1.0, escapes, spaces, repeated keys', async () => {
    const sent = '{ "id":9223372036854775807, "one":1.0,"e":1e400, "s":"\\u00e9\\/\\ud83d", "a":1,"a":2 }';
    expect(await listed([row(sent)])).toContain(`"properties":${sent},"person"`);
  });

  it('takes elements_chain from the properties, and only as a text', async () => {
    expect(await listed([row('{"$elements_chain":"a:1"}')])).toContain('"elements_chain":"a:1"');
    expect(await listed([row('{"$elements_chain":1}')])).toContain('"elements_chain":""');
  });

  it('shows no person where the client asked for none, or the event is cookieless', async () => {
    expect(await listed([row('{"$process_person_profile":false}')])).toContain('"person":null');
    expect(await listed([row('{"$process_person_profile":true}')])).toContain('"person":{"id"');
    expect(await listed([row('{}').with(10, true)])).toContain('"person":null');
  });

  it('asks for one project, newest first, one row more than the page, within the limits', async () => {
    const asked = await sqlOf('limit=7&offset=3');
    expect(asked.sql).toContain('WHERE project_id = {project_id:UInt32} ORDER BY timestamp DESC, uuid DESC LIMIT');
    expect(asked).toMatchObject({
      parameters: { project_id: 1, row_limit: 8, row_offset: 3, max_page_bytes: 16 * 1024 * 1024 },
      limits: { timeoutMs: 30_000, maxRows: 8 },
      confinedTo: undefined,
    });
  });

  const filters: readonly [query: string, condition: string, parameters: object][] = [
    ['event=%24pageview', '(event = {event:String})', { event: '$pageview' }],
    ["distinct_id=a'b", '(distinct_id = {distinct_id:String})', { distinct_id: "a'b" }],
    [`person_id=${person.toUpperCase()}`, '(person_id = {person_id:UUID})', { person_id: person }],
    [
      'after=1970-01-01T00:00:01Z',
      "(timestamp > fromUnixTimestamp64Micro({after:Int64}, 'UTC'))",
      { after: 1_000_000n },
    ],
    [
      'before=1970-01-01T00:00:01.5Z',
      "(timestamp < fromUnixTimestamp64Micro({before:Int64}, 'UTC'))",
      { before: 1_500_000n },
    ],
    [
      `properties=${encodeURIComponent('[{"key":"plan","value":"pro"}]')}`,
      "(ifNull(has({property_0_value:Array(String)}, JSONExtract(properties_raw, {property_0_key:String}, 'Nullable(String)')), 0))",
      { property_0_key: 'plan', property_0_value: ['pro'] },
    ],
  ];
  for (const [query, condition, parameters] of filters) {
    it(`filters by ${query}`, async () => {
      const asked = await sqlOf(query);
      expect(asked.sql).toContain(condition);
      expect(asked.parameters).toMatchObject(parameters);
    });
  }

  it('takes an empty parameter for an absent one', async () => {
    const empty = await sqlOf('event=&distinct_id=&person_id=&after=&before=&properties=&limit=&offset=');
    expect(empty.sql).toBe((await sqlOf('')).sql);
    expect(empty.parameters).toMatchObject({ row_limit: 101, row_offset: 0 });
  });

  const refused = ['limit=0', 'limit=1001', 'limit=ten', 'limit=1.5', 'offset=-1', 'person_id=7', 'after=soon'].concat([
    'before=2026-13-01',
    'properties=%7B',
    'cursor=1',
    `cursor=1_${'-'.repeat(36)}`,
    `cursor=1_${uuid}'`,
  ]);
  for (const query of refused) {
    it(`refuses ${query} and asks the store nothing`, async () => {
      const { get, store } = readApiForTest();
      const answer = await get(`/api/projects/1/events/?${query}`);
      expect(answer).toMatchObject({ kind: 'fault', code: 'invalid_parameter' });
      expect(answer.kind === 'fault' ? answer.detail : '').toContain(`"${query.split('=')[0] ?? ''}"`);
      expect(store.asked).toEqual([]);
    });
  }

  it('accepts the limits 1 and 1000', async () => {
    expect((await sqlOf('limit=1')).parameters).toMatchObject({ row_limit: 2 });
    expect((await sqlOf('limit=1000')).parameters).toMatchObject({ row_limit: 1001 });
  });
});

describe('the next page of events', () => {
  const next = `/api/projects/1/events/?limit=1&event=a%26b&cursor=1767225600123456_${uuid}`;

  it('goes on behind the last row shown, with the same filters and without the offset', async () => {
    const body = await listed([row('{}', 2), row('{}', 2)], '/api/projects/1/events/?limit=1&offset=5&event=a%26b');
    expect(JSON.parse(body)).toMatchObject({ results: [{ uuid }], next });
  });

  it('is there too when the page ended early by its bytes', async () => {
    expect(JSON.parse(await listed([row('{}', 5)]))).toMatchObject({ next: expect.stringContaining('cursor=') });
  });

  it('is a whole URL when the server knows its own', async () => {
    const { get, store } = readApiForTest();
    store.answerWith(() => rowsAnswer([row('{}', 2)]));
    const answer = await get('/api/projects/1/events/?limit=1&event=a%26b', { origin: 'http://localhost:8000' });
    expect(JSON.parse(bodyOf(answer))).toMatchObject({ next: `http://localhost:8000${next}` });
  });

  it('starts strictly behind the cursor, which is exact to the microsecond', async () => {
    const asked = await sqlOf(next.split('?')[1] ?? '');
    expect(asked.sql).toContain(
      "(timestamp, uuid) < (fromUnixTimestamp64Micro({cursor_micros:Int64}, 'UTC'), {cursor_uuid:UUID}))",
    );
    expect(asked.parameters).toMatchObject({ cursor_micros: 1_767_225_600_123_456n, cursor_uuid: uuid });
  });
});
