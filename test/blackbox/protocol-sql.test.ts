/** What SQL sees of `properties`, as docs/protocol.md 2.7 has it; and LZ-string next to other requests. */
import lzString from 'lz-string';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ask, post, sql, startHedgerow, stopAndRemove, untilCounted, type Hedgerow } from '../harness/hedgerow.ts';
import { batchText, eventText } from '../vectors/protocol-row.ts';

let server: Hedgerow;

beforeAll(async () => {
  server = await startHedgerow();
});
afterAll(async () => {
  await stopAndRemove(server);
});

/** Name, properties, expression, what it is. */
const rows: readonly (readonly [string, string, string, unknown])[] = [
  ['1.0 is the number 1', '{"n":1.0}', 'toFloat64(properties.n)', 1],
  ['1e3 is the number 1000', '{"n":1e3}', 'toFloat64(properties.n)', 1000],
  ['an integer beyond 2^53 is exact', '{"n":9007199254740993}', 'toString(properties.n)', '9007199254740993'],
  ['2^64 - 1 is exact', '{"n":18446744073709551615}', 'toString(properties.n)', '18446744073709551615'],
  ['-2^63 is exact', '{"n":-9223372036854775808}', 'toString(properties.n)', '-9223372036854775808'],
  ['2^64 is the nearest double', '{"n":18446744073709551616}', 'toFloat64(properties.n)', 18446744073709551616],
  [
    '30 digits are the nearest double',
    '{"n":123456789012345678901234567890}',
    'toFloat64(properties.n)',
    1.2345678901234568e29,
  ],
  ['the first of repeated keys', '{"n":"free","n":"paid"}', 'toString(properties.n)', 'free'],
  ['the first of a.b and a:{b}', '{"n.b":1,"n":{"b":2}}', 'toInt64(properties.n.b)', 1],
  ['a text that looks like a date', '{"n":"2026-01-01"}', 'toString(properties.n)', '2026-01-01'],
  ['a text that looks like a number', '{"n":"1.0"}', 'toString(properties.n)', '1.0'],
  ['the text itself has all of it', '{"n":1.0,"n":1e3}', 'properties_raw', '{"n":1.0,"n":1e3}'],
];

describe('SQL sees (protocol.md 2.7)', () => {
  it.each(rows)('%s', async (name, properties, expression, expected) => {
    await post(`${server.url}/e/`, eventText(`,"properties":${properties}`, name));
    await untilCounted(server, `event = '${name}'`, 1);
    const [[value] = []] = await sql(server, `select ${expression} from events where event = '${name}'`);
    expect(typeof expected === 'number' ? Number(value) : value).toBe(expected);
  });
});

describe('LZ-string (protocol.md 2.5, 6)', () => {
  it('of many megabytes at once leaves the server its time for others, and refuses what it cannot take', async () => {
    const events = Array.from(
      { length: 60_000 },
      (_, i) => `{"event":"lz","distinct_id":"${i}","properties":{"n":${i * 7919}}}`,
    ).join(',');
    const body = lzString.compressToBase64(batchText(events));
    const all = Promise.all(Array.from({ length: 16 }, () => post(`${server.url}/batch/?compression=lz64`, body)));
    let longestMs = 0;
    let isOver = false;
    void all.finally(() => (isOver = true));
    while (!isOver) {
      const startedMs = performance.now();
      expect((await ask(`${server.url}/_liveness`)).status).toBe(200);
      longestMs = Math.max(longestMs, performance.now() - startedMs);
    }
    const answers = await all;
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 503]));
    for (const { status, headers } of answers) expect(headers.get('retry-after') !== null).toBe(status === 503);
    expect(longestMs).toBeLessThan(3_000);
    expect((await post(`${server.url}/batch/?compression=lz64`, body)).status).toBe(200);
  });
});
