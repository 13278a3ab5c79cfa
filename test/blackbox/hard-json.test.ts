/** Hard JSON through the whole path: each 200 is readable by its uuid with its own text, and stops no other event. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ask,
  bearer,
  post,
  sql,
  startHedgerow,
  stopAndRemove,
  testKeys,
  untilCounted,
  type Hedgerow,
} from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';

let server: Hedgerow;
let lastUuid = 0;

beforeAll(async () => {
  server = await startHedgerow();
});
afterAll(async () => {
  await stopAndRemove(server);
});

function nextUuid(): string {
  lastUuid += 1;
  return `0190b3f2-5d5c-7c2a-9e1b-${String(lastUuid).padStart(12, '0')}`;
}

function bodyOf(uuid: string, properties: string, more = ''): string {
  return `{"api_key":"${testKeys.public}","event":"hard","distinct_id":"d","uuid":"${uuid}"${more},"properties":${properties}}`;
}

async function storedText(uuid: string): Promise<string> {
  return until(
    async () => {
      const found = await ask(`${server.url}/api/projects/@current/events/${uuid}/`, { headers: bearer });
      const { status } = found.json as { status?: unknown };
      return status === 'stored' ? found.text : undefined;
    },
    { deadlineMs: 20_000, what: `${uuid} is stored` },
  );
}

const nested = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
const range = (count: number, item: (i: number) => string): string =>
  Array.from({ length: count }, (_, i) => item(i)).join(',');

/** Name, properties as sent. Source: protocol.md 2.7, design.md 2. */
const properties: readonly (readonly [string, string])[] = [
  ['repeated keys', '{"a":1,"a":{"b":2},"a":"last"}'],
  ['a repeated key with an escape', '{"\\u0061":1,"a":2}'],
  ['a.b beside a:{b}', '{"a.b":1,"a":{"b":2}}'],
  ['a beside a.b beside a:{b}', '{"a":{"b":2},"a.b":1,"a":5}'],
  ['integers beyond 64 bits', '{"n":123456789012345678901234567890,"m":-9223372036854775809}'],
  ['the ends of 64 bits', '{"n":18446744073709551615,"m":-9223372036854775808}'],
  ['the ends of doubles', '{"x":1e308,"y":-1.7976931348623157e308,"z":5e-324,"w":1e-400,"v":-0}'],
  ['125 levels inside an event', nested(125)],
  ['124 levels of arrays', `{"a":${'['.repeat(124)}${']'.repeat(124)}}`],
  ['NUL in keys and values', '{"a\\u0000b":"c\\u0000d","":"\\u0000"}'],
  ['empty keys', '{"":1,"a":{"":{"":2}}}'],
  ['keys of dots', '{".":1,"..":2,"a.":3,".a":4,"a..b":5}'],
  ['keys of quotes', '{"`":1,"a`.b":2,"^":3,":":4,"\\"":5,"\\\\":6}'],
  ['keys of JavaScript', '{"__proto__":{"x":1},"constructor":1,"toString":2}'],
  ['20,000 keys', `{${range(20_000, (i) => `"key_${i}":${i}`)}}`],
  ['5,000 objects', `{${range(5_000, (i) => `"k${i}":{"a":${i},"b":["x",{"c":null}]}`)}}`],
  ['3,000 objects of different keys in an array', `{"a":[${range(3_000, (i) => `{"k${i}":${i}}`)}]}`],
  ['a string of 900 KB', `{"s":"${'x'.repeat(900_000)}"}`],
  ['a key of 900 KB', `{"${'k'.repeat(900_000)}":1}`],
  ['400,000 numbers', `{"a":[${range(400_000, () => '1')}]}`],
  ['a fraction of 50,000 digits', `{"n":0.${'1'.repeat(50_000)}}`],
  ['a key of 2,000 dots', `{"${'a.'.repeat(2_000)}b":1}`],
  ['arrays of everything', '{"a":[1,"x",{"b":[[],{}]},null,true,1.5,[[1],["2"]]]}'],
  ['nothing', '{"a":{},"b":[],"c":null,"d":[null],"e":""}'],
  ['non-characters and pairs', '{"😀":"\\ud83d\\ude00 😀 \uffff \u2028"}'],
  ['texts that look like dates and numbers', '{"a":"2026-01-01","b":"2026-01-01T00:00:00Z","c":"1","d":"true"}'],
];

describe('an answer of 200 means readable, as sent', () => {
  it.each(properties)('%s', async (_name, text) => {
    const uuid = nextUuid();
    const answer = await post(`${server.url}/e/`, bodyOf(uuid, text));
    expect({ status: answer.status, text: answer.text }).toEqual({ status: 200, text: '{"status":"Ok"}' });
    const found = await storedText(uuid);
    expect(found.includes(`"properties":${text}`)).toBe(true);
  });

  it('all in one batch, between ordinary events', async () => {
    // A batch is three levels by itself, so the deepest ones cannot be in it.
    const hard = properties.filter(([name, text]) => text.length < 100_000 && !name.includes('levels'));
    const events = hard.flatMap(([, text]) => [
      `{"event":"in batch","distinct_id":"d","properties":${text}}`,
      '{"event":"ordinary","distinct_id":"d","properties":{"a":1}}',
    ]);
    const answer = await post(`${server.url}/batch/`, `{"api_key":"${testKeys.public}","batch":[${events.join(',')}]}`);
    expect(answer.text).toBe('{"status":"Ok"}');
    await untilCounted(server, "event = 'ordinary'", hard.length);
    await untilCounted(server, "event = 'in batch'", hard.length);
    expect(await sql(server, "select count() from events where event = 'ordinary' and properties.a = 1")).toEqual([
      [hard.length],
    ]);
  });
});

describe('times', () => {
  it.each([
    '0001-01-01T00:00:00Z',
    '1800-06-01T00:00:00Z',
    '1899-12-31T23:59:59.999Z',
    '1969-12-31T23:59:59.999Z',
    '2300-01-01T00:00:00Z',
    '9999-12-31T23:59:59.999Z',
    '-0001-01-01T00:00:00Z',
    '99999999999999999',
    'no time at all',
  ])('%s', async (timestamp) => {
    const uuid = nextUuid();
    expect((await post(`${server.url}/e/`, bodyOf(uuid, '{}', `,"timestamp":"${timestamp}"`))).status).toBe(200);
    expect(await storedText(uuid)).toMatch(/"timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"/);
  });

  it.each(['9223372036854775807', '-9223372036854775808', '0', '-1'])('an offset of %s', async (offset) => {
    const uuid = nextUuid();
    expect((await post(`${server.url}/e/`, bodyOf(uuid, '{}', `,"offset":${offset}`))).status).toBe(200);
    await storedText(uuid);
  });

  it.each(['253402300799999', '9223372036854775807', '-5', '0'])('a request time of %s', async (sentAt) => {
    const uuid = nextUuid();
    const body = bodyOf(uuid, '{}', ',"timestamp":"2026-11-25T00:00:00Z"');
    expect((await post(`${server.url}/e/?_=${sentAt}`, body)).status).toBe(200);
    await storedText(uuid);
  });
});

describe('refused, each with 400', () => {
  it.each<[string, string]>([
    ['127 levels below the event', nested(127)],
    ['a number out of range', '{"x":1e309}'],
    ['an integer of 5,000 digits', `{"n":${'9'.repeat(5_000)}}`],
    ['half a pair', '{"a":"\\ud83d"}'],
    ['NaN', '{"a":NaN}'],
    ['a control character', '{"a":"\u0001"}'],
  ])('%s', async (_name, text) => {
    const answer = await post(`${server.url}/e/`, bodyOf(nextUuid(), text));
    expect({ status: answer.status, code: (answer.json as { code?: unknown }).code }).toEqual({
      status: 400,
      code: 'invalid_json',
    });
  });
});

// protocol.md 2.7 says the last wins. ClickHouse's JSON keeps the first, and refusing the row would lose all of it; the events API
// gives both, as sent. docs/decisions/0006 says so, and design.md names it.
it('SQL sees the first of repeated keys, the events API both', async () => {
  const uuid = nextUuid();
  await post(`${server.url}/e/`, bodyOf(uuid, '{"plan":"free","plan":"paid"}'));
  expect(await storedText(uuid)).toContain('{"plan":"free","plan":"paid"}');
  expect(await sql(server, `select properties.plan from events where uuid = '${uuid}'`)).toEqual([['free']]);
});
