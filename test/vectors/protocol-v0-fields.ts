/** Fields of one event (3.5-3.9) of the v0 protocol. */
import { batchText, eventText, KEY, nextUuid, refuses, section, stores, type ProtocolRow } from './protocol-row.ts';

const idOf = (json: string): { body: string } => ({ body: `{"api_key":"${KEY}","event":"e","distinct_id":${json}}` });
const NO_ID = refuses(400, 'missing_distinct_id', {
  detail: 'event submitted without a distinct_id',
  attr: 'distinct_id',
});
const inside = (properties: string, more = ''): { body: string } => ({
  body: `{"api_key":"${KEY}","event":"e"${more},"properties":${properties}}`,
});

const ids: readonly ProtocolRow[] = section('3.5', [
  ['in properties', inside('{"distinct_id":"in"}'), stores({ distinctId: 'in', properties: '{"distinct_id":"in"}' })],
  ['the top level goes first', inside('{"distinct_id":"in"}', ',"distinct_id":"out"'), stores({ distinctId: 'out' })],
  [
    'null falls through to properties',
    inside('{"distinct_id":"in"}', ',"distinct_id":null'),
    stores({ distinctId: 'in' }),
  ],
  ['an empty text does not fall through', inside('{"distinct_id":"in"}', ',"distinct_id":""'), NO_ID],
  ['$distinct_id in properties is not asked', inside('{"$distinct_id":"in"}'), NO_ID],
  ['null in both places', inside('{"distinct_id":null}', ',"distinct_id":null'), NO_ID],
  [
    'a number in properties',
    inside('{"distinct_id":23.40}'),
    stores({ distinctId: '23.4', properties: '{"distinct_id":23.40}' }),
  ],
  ['none', { body: `{"api_key":"${KEY}","event":"e"}` }, NO_ID],
  ...(
    [
      ['23', '23'],
      ['23.40', '23.4'],
      ['1e3', '1000.0'],
      ['1E-7', '1e-7'],
      ['1.0', '1.0'],
      ['-0', '-0.0'],
      ['1e16', '1e16'],
      ['123456789.5', '123456789.5'],
      ['9007199254740993', '9007199254740993'],
      ['18446744073709551615', '18446744073709551615'],
      ['18446744073709551616', '1.8446744073709552e19'],
      ['-9223372036854775808', '-9223372036854775808'],
      ['true', 'true'],
      ['false', 'false'],
      ['["a","b"]', '["a","b"]'],
      ['[ 1 , "a" , null ]', '[1,"a",null]'],
      ['{}', '{}'],
      ['[]', '[]'],
      ['{"string":"a","number":3}', '{"number":3,"string":"a"}'],
      ['{"b":{"d":1.0,"c":[1e3]},"a":"1e3"}', '{"a":"1e3","b":{"c":[1000.0],"d":1.0}}'],
      ['{"a":1,"a":2}', '{"a":2}'],
      ['{"10":1,"9":2}', '{"10":1,"9":2}'],
      ['{"é":1,"z":2,"😀":3,"\\uffff":4}', '{"z":2,"é":1,"\uffff":4,"😀":3}'],
      ['["\\u0000\\u001f\\"\\\\\\/"]', '["\\u0000\\u001f\\"\\\\/"]'],
    ] as const
  ).map(([json, text]) => [`${json} becomes ${text}`, idOf(json), stores({ distinctId: text })] as const),
  ['NUL becomes U+FFFD', idOf('"a\\u0000b\\u0000"'), stores({ distinctId: 'a\ufffdb\ufffd' })],
  [
    'the copy in properties keeps its NUL',
    inside('{"distinct_id":"a\\u0000"}'),
    stores({ distinctId: 'a\ufffd', properties: '{"distinct_id":"a\\u0000"}' }),
  ],
  ...['" "', '"\\t\\n\\r"', '"\\u00a0\\u2003\\u3000"', '""'].map(
    (json) => [`${json} is blank`, idOf(json), NO_ID] as const,
  ),
  ['NUL alone is not blank', idOf('"\\u0000"'), stores({ distinctId: '\ufffd' })],
  ['surrounding white space is kept', idOf('" a "'), stores({ distinctId: ' a ' })],
  ['escaped white space around it is kept', idOf('"\\ta\\n"'), stores({ distinctId: '\ta\n' })],
  ...(
    [
      ['a', 'ASCII'],
      ['é', 'two bytes'],
      ['漢', 'three bytes'],
      ['😀', 'pairs'],
    ] as const
  ).flatMap(([char, kind]) => [
    [
      `200 characters of ${kind} are kept`,
      idOf(`"${char.repeat(200)}"`),
      stores({ distinctId: char.repeat(200) }),
    ] as const,
    [
      `201 characters of ${kind} are cut to 200`,
      idOf(`"${char.repeat(201)}"`),
      stores({ distinctId: char.repeat(200) }),
    ] as const,
  ]),
  [
    'an array is cut as text',
    idOf(`[${'1,'.repeat(300)}1]`),
    stores({ distinctId: `[${'1,'.repeat(300)}`.slice(0, 200) }),
  ],
  [
    '900 KB of text in an array is cut',
    idOf(`["${'x'.repeat(900_000)}"]`),
    stores({ distinctId: `["${'x'.repeat(198)}` }),
  ],
  [
    'the copy in properties is not cut',
    inside(`{"distinct_id":"${'a'.repeat(201)}"}`),
    stores({ distinctId: 'a'.repeat(200), properties: `{"distinct_id":"${'a'.repeat(201)}"}` }),
  ],
]);

const uuids: readonly ProtocolRow[] = section('3.6', [
  ...(
    [
      ['hyphenated', (uuid: string) => uuid],
      ['in capitals', (uuid: string) => uuid.toUpperCase()],
      ['without hyphens', (uuid: string) => uuid.replaceAll('-', '')],
      ['in braces', (uuid: string) => `{${uuid}}`],
      ['as a URN', (uuid: string) => `urn:uuid:${uuid}`],
      ['with an escape', (uuid: string) => `\\u0030${uuid.slice(1)}`],
    ] as const
  ).map(([name, spell]) => {
    const uuid = nextUuid();
    return [name, { body: eventText(`,"uuid":"${spell(uuid)}"`) }, stores({ uuid })] as const;
  }),
  ...[
    '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
    '6fa459ea-ee8a-3ca4-894e-db77e160355e',
    '16fd2706-8baf-433b-82eb-8c7fada847da',
    '886313e1-3b8a-5372-9b90-0c9aee199e5d',
    '00000000-0000-0000-0000-000000000000',
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
  ].map((uuid) => [`of any version: ${uuid}`, { body: eventText(`,"uuid":"${uuid}"`) }, stores({ uuid })] as const),
  ...[
    ' 0190b3f2-5d5c-7c2a-9e1b-0123456789ab',
    '0190b3f2-5d5c-7c2a-9e1b-0123456789ab ',
    '0190b3f2-5d5c-7c2a-9e1b-0123456789a',
    '0190b3f25d5c-7c2a-9e1b-0123456789ab',
    '0190b3f2-5d5c-7c2a-9e1b-0123456789ag',
    '{0190b3f25d5c7c2a9e1b0123456789ab}',
    'URN:UUID:0190b3f2-5d5c-7c2a-9e1b-0123456789ab',
    '0190b3f2_5d5c_7c2a_9e1b_0123456789ab',
  ].map(
    (uuid) => [`"${uuid}" is none`, { body: eventText(`,"uuid":"${uuid}"`) }, refuses(400, 'invalid_uuid')] as const,
  ),
  [
    'none: one of version 7 with the event’s time',
    { body: eventText(',"timestamp":"2024-01-02T03:04:05.678Z"') },
    stores({ hasMadeUuid: true, timestamp: '2024-01-02T03:04:05.678Z' }),
  ],
  [
    'none, before 1970: its time is floored at 1970',
    { body: eventText(',"timestamp":"1960-01-01T00:00:00Z"') },
    stores({ hasMadeUuid: true }),
  ],
]);

const at = (timestamp: string, more = ''): { body: string } => ({
  body: eventText(`,"timestamp":"${timestamp}"${more}`),
});
const T = '2024-01-02T03:04:05.000Z';
const NOW = stores({ afterReceiptMs: 0 });
const HOUR = 3_600_000;
const startMs = Date.now();
const iso = (ms: number): string => new Date(ms).toISOString();
/** A batch of one event, sent when the client's clock was `skewMs` ahead. */
function skewed(options: {
  readonly skewMs: number;
  readonly agoMs: number;
  readonly sentAt?: string;
  readonly event?: string;
}): { body: string } {
  const sentAt = startMs + options.skewMs;
  const event = `{"event":"e","distinct_id":"d","timestamp":"${iso(sentAt - options.agoMs)}"${options.event ?? ''}}`;
  return { body: batchText(event, `,"sent_at":"${options.sentAt ?? iso(sentAt)}"`) };
}

const times: readonly ProtocolRow[] = section('3.7', [
  ...(
    [
      ['2024-01-02T03:04:05Z', T],
      ['2024-01-02T03:04:05.678Z', '2024-01-02T03:04:05.678Z'],
      ['2024-01-02T03:04:05.678901Z', '2024-01-02T03:04:05.678Z'],
      ['2024-01-02T05:04:05+02:00', T],
      ['2024-01-01T22:04:05.000-05:00', T],
      ['2024-01-02T06:04:05+03', T],
      ['2024-01-02T03:04:05.000000+00:00', T],
      ['2024-01-02T03:04:05', T],
      ['2024-01-02T03:04:05.5', '2024-01-02T03:04:05.500Z'],
      ['2024-01-02', '2024-01-02T00:00:00.000Z'],
      ['2024-01-02 03:04:05', T],
      ['2024-01-02 03:04:05.250', '2024-01-02T03:04:05.250Z'],
      ['2024-01-02 03:04', '2024-01-02T03:04:00.000Z'],
      ['2024/01/02 03:04:05', T],
      ['2024/01/02', '2024-01-02T00:00:00.000Z'],
      ['01/02/2024', '2024-01-02T00:00:00.000Z'],
      ['01/02/2024 03:04:05', T],
      ['Tue, 2 Jan 2024 03:04:05 +0000', T],
      ['Tue, 02 Jan 2024 05:04:05 +0200', T],
      ['02 Jan 2024 03:04:05 GMT', T],
      ['1704164645', T],
      ['1704164645000', T],
      ['1704164645678', '2024-01-02T03:04:05.678Z'],
      ['0001-01-01T00:00:00Z', undefined],
    ] as const
  ).flatMap(([text, timestamp]) =>
    timestamp === undefined ? [] : [[`"${text}"`, at(text), stores({ timestamp })] as const],
  ),
  ...['', 'yesterday', '2024-13-01T00:00:00Z', '2024-02-30', '2024-01-02T25:00:00Z', '20240102', '1', '-1', 'null'].map(
    (text) => [`"${text}" is unreadable, so now`, at(text), NOW] as const,
  ),
  ['properties.timestamp is not asked', { body: eventText(',"properties":{"timestamp":"2024-01-02T03:04:05Z"}') }, NOW],
  ['none: now', { body: eventText() }, NOW],
  ['an offset is taken off now', { body: eventText(',"offset":1500') }, stores({ afterReceiptMs: -1_500 })],
  [
    'an offset goes before the timestamp',
    at('2024-01-02T03:04:05Z', ',"offset":1500'),
    stores({ afterReceiptMs: -1_500 }),
  ],
  [
    'an offset goes before the skew',
    skewed({ skewMs: HOUR, agoMs: 5_000, event: ',"offset":1500' }),
    stores({ afterReceiptMs: -1_500 }),
  ],
  [
    '22 h ahead by an offset is believed',
    { body: eventText(`,"offset":${-22 * HOUR}`) },
    stores({ afterReceiptMs: 22 * HOUR }),
  ],
  [
    '23 h ahead by an offset is believed',
    { body: eventText(`,"offset":${-23 * HOUR}`) },
    stores({ afterReceiptMs: 23 * HOUR }),
  ],
  ['more than 23 h ahead is now', { body: eventText(`,"offset":${-23 * HOUR - 1}`) }, NOW],
  ['a timestamp of tomorrow but one is now', at(iso(startMs + 48 * HOUR)), NOW],
  ['the year 9999 is now', at('9999-12-31T23:59:59Z'), NOW],
  [
    'an offset far beyond the calendar is 1970',
    { body: eventText(',"offset":9223372036854775807') },
    stores({ timestamp: '1970-01-01T00:00:00.000Z' }),
  ],
  ['an offset far ahead is now', { body: eventText(',"offset":-9223372036854775808') }, NOW],
  ['a year below 0 is 1970', at('-0001-06-01T00:00:00Z'), stores({ timestamp: '1970-01-01T00:00:00.000Z' })],
  [
    'a clock ahead by an hour is corrected',
    skewed({ skewMs: HOUR, agoMs: 5_000 }),
    stores({ afterReceiptMs: -5_000, sentAt: iso(startMs + HOUR) }),
  ],
  [
    'a clock behind by a day is corrected',
    skewed({ skewMs: -24 * HOUR, agoMs: 60_000 }),
    stores({ afterReceiptMs: -60_000 }),
  ],
  [
    'a sent_at with another zone',
    skewed({ skewMs: 0, agoMs: 5_000, sentAt: iso(startMs + 2 * HOUR).replace('Z', '+02:00') }),
    stores({ afterReceiptMs: -5_000, sentAt: iso(startMs) }),
  ],
  [
    'a sent_at with a zone of two digits',
    skewed({ skewMs: 0, agoMs: 5_000, sentAt: iso(startMs + 2 * HOUR).replace('Z', '+02') }),
    stores({ afterReceiptMs: -5_000 }),
  ],
  ...['2024-01-02T03:04:05', '2024-01-02', 'no time', '', '1704164645000'].map(
    (sentAt) =>
      [
        `a sent_at of "${sentAt}" is ignored`,
        {
          body: batchText(
            '{"event":"e","distinct_id":"d","timestamp":"2024-01-02T03:04:05Z"}',
            `,"sent_at":"${sentAt}"`,
          ),
        },
        stores({ timestamp: T, sentAt: null }),
      ] as const,
  ),
  [
    'sent_at of a single event is not asked',
    at('2024-01-02T03:04:05Z', ',"sent_at":"2024-01-02T03:04:10Z"'),
    stores({ timestamp: T, sentAt: null }),
  ],
  ...['_', 'sent_at'].map(
    (name) =>
      [
        `${name} in the query`,
        { ...at(iso(startMs + HOUR - 7_000)), query: `${name}=${startMs + HOUR}` },
        stores({ afterReceiptMs: -7_000, sentAt: iso(startMs + HOUR) }),
      ] as const,
  ),
  [
    '_ in the query for an array',
    { body: `[${eventText(`,"timestamp":"${iso(startMs - 7_000)}"`)}]`, query: `_=${startMs}` },
    stores({ afterReceiptMs: -7_000 }),
  ],
  [
    '_ in seconds is ignored',
    { ...at('2024-01-02T03:04:05Z'), query: '_=1704164650' },
    stores({ timestamp: T, sentAt: null }),
  ],
  [
    '_ of the end of 2020 is ignored',
    { ...at('2024-01-02T03:04:05Z'), query: '_=1609459199999' },
    stores({ timestamp: T, sentAt: null }),
  ],
  [
    '_ of the beginning of 2021 counts',
    { ...at('2021-01-01T00:00:00Z'), query: '_=1609459200000' },
    stores({ afterReceiptMs: 0, sentAt: '2021-01-01T00:00:00.000Z' }),
  ],
  [
    'the batch’s sent_at goes before the query’s',
    { ...skewed({ skewMs: HOUR, agoMs: 5_000 }), query: `_=${startMs}` },
    stores({ afterReceiptMs: -5_000, sentAt: iso(startMs + HOUR) }),
  ],
  [
    'the query’s counts where the batch’s is unreadable',
    { ...skewed({ skewMs: HOUR, agoMs: 5_000, sentAt: 'x' }), query: `_=${startMs + HOUR}` },
    stores({ afterReceiptMs: -5_000, sentAt: iso(startMs + HOUR) }),
  ],
  [
    '$ignore_sent_at leaves the timestamp as it is, sent_at is kept',
    {
      body: batchText(
        '{"event":"e","distinct_id":"d","timestamp":"2024-01-02T03:04:05Z","properties":{"$ignore_sent_at":true}}',
        ',"sent_at":"2024-01-02T03:04:10Z"',
      ),
    },
    stores({ timestamp: T, sentAt: '2024-01-02T03:04:10.000Z' }),
  ],
  ...['false', '"true"', '1', 'null'].map(
    (value) =>
      [
        `$ignore_sent_at of ${value} does nothing`,
        {
          body: batchText(
            `{"event":"e","distinct_id":"d","timestamp":"2024-01-02T03:04:05Z","properties":{"$ignore_sent_at":${value}}}`,
            ',"sent_at":"2024-01-02T03:04:10Z"',
          ),
        },
        stores({ afterReceiptMs: -5_000 }),
      ] as const,
  ),
  [
    'a skew that moves it more than 23 h ahead: now',
    {
      body: batchText(
        '{"event":"e","distinct_id":"d","timestamp":"2024-01-03T03:04:05Z"}',
        ',"sent_at":"2024-01-02T03:04:04Z"',
      ),
    },
    NOW,
  ],
  [
    'an unreadable timestamp with sent_at: now',
    { body: batchText('{"event":"e","distinct_id":"d","timestamp":"x"}', `,"sent_at":"${iso(startMs + HOUR)}"`) },
    stores({ afterReceiptMs: 0, sentAt: iso(startMs + HOUR) }),
  ],
]);

const withProperties = (
  properties: string,
  headers: Readonly<Record<string, string>> = {},
): { body: string; headers: Readonly<Record<string, string>> } => ({
  body: eventText(`,"properties":${properties}`),
  headers,
});

const flags: readonly ProtocolRow[] = section('3.8', [
  ['$cookieless_mode true is stored', withProperties('{"$cookieless_mode":true}'), stores({ isCookieless: true })],
  ['$cookieless_mode false', withProperties('{"$cookieless_mode":false}'), stores({ isCookieless: false })],
  ['no $cookieless_mode', withProperties('{}'), stores({ isCookieless: false })],
  ...['null', '1', '"true"', '[]', '{}'].map(
    (value) =>
      [
        `$cookieless_mode of ${value}`,
        withProperties(`{"$cookieless_mode":${value}}`),
        refuses(400, 'invalid_cookieless_mode', {
          detail: 'event submitted with invalid cookieless mode',
          attr: 'properties.$cookieless_mode',
        }),
      ] as const,
  ),
  [
    '$cookieless_mode beside properties does nothing',
    { body: eventText(',"$cookieless_mode":1') },
    stores({ isCookieless: false }),
  ],
  [
    '$cookieless_mode deeper in properties does nothing',
    withProperties('{"a":{"$cookieless_mode":1}}'),
    stores({ isCookieless: false }),
  ],
  ...['true', 'false', 'null', '"x"'].map(
    (value) =>
      [
        `capture_internal of ${value} makes the address 127.0.0.1`,
        withProperties(`{"capture_internal":${value}}`, { 'X-Forwarded-For': '9.9.9.9' }),
        stores({ ip: '127.0.0.1' }),
      ] as const,
  ),
  [
    'capture_internal beside properties does nothing',
    { body: eventText(',"capture_internal":true'), headers: { 'X-Forwarded-For': '9.9.9.9' } },
    stores({ ip: '9.9.9.9' }),
  ],
  [
    '$ip does not change the address',
    withProperties('{"$ip":"1.1.1.1"}', { 'X-Forwarded-For': '9.9.9.9' }),
    stores({ ip: '9.9.9.9', properties: '{"$ip":"1.1.1.1"}' }),
  ],
]);

const from = (
  headers: Readonly<Record<string, string>>,
  ip: string,
  name?: string,
): readonly [string, { body: string; headers: Readonly<Record<string, string>> }, ReturnType<typeof stores>] => [
  name ??
    Object.entries(headers)
      .map(([key, value]) => `${key}: ${value}`)
      .join(', '),
  { body: eventText(), headers },
  stores({ ip }),
];

const addresses: readonly ProtocolRow[] = section('3.9', [
  from({}, '127.0.0.1', 'no header: the socket’s'),
  from({ 'X-Forwarded-For': '1.2.3.4' }, '1.2.3.4'),
  from({ 'X-Forwarded-For': '1.2.3.4, 5.6.7.8' }, '1.2.3.4'),
  from({ 'X-Forwarded-For': 'unknown, 5.6.7.8' }, '5.6.7.8'),
  from({ 'X-Forwarded-For': '2001:db8::1' }, '2001:db8::1'),
  from({ 'X-Forwarded-For': '1.2.3.4:5678' }, '1.2.3.4'),
  from({ 'X-Forwarded-For': '[2001:db8::1]:443' }, '2001:db8::1'),
  from({ 'X-Forwarded-For': 'nonsense' }, '127.0.0.1'),
  from({ 'X-Forwarded-For': '1.2.3.4', Forwarded: 'for=5.6.7.8', 'X-Real-Ip': '9.9.9.9' }, '1.2.3.4'),
  from({ Forwarded: 'for=5.6.7.8;proto=https, for=1.1.1.1', 'X-Real-Ip': '9.9.9.9' }, '5.6.7.8'),
  from({ Forwarded: 'proto=https;For="[2001:db8::2]:4711"' }, '2001:db8::2'),
  from({ 'X-Forwarded-For': 'nonsense', 'X-Real-Ip': '9.9.9.9' }, '9.9.9.9'),
  from({ 'X-Real-Ip': '9.9.9.9', 'Fly-Client-IP': '8.8.8.8' }, '9.9.9.9'),
  from({ 'Fly-Client-IP': '8.8.8.8', 'True-Client-IP': '7.7.7.7' }, '8.8.8.8'),
  from({ 'True-Client-IP': '7.7.7.7', 'CF-Connecting-IP': '6.6.6.6' }, '7.7.7.7'),
  from({ 'CF-Connecting-IP': '6.6.6.6', 'CloudFront-Viewer-Address': '4.4.4.4:443' }, '6.6.6.6'),
  from({ 'CloudFront-Viewer-Address': '4.4.4.4:443' }, '4.4.4.4'),
  from({ 'CloudFront-Viewer-Address': '2001:db8::3:4433' }, '2001:db8::3'),
  from({ 'X-Real-Ip': 'fe80::1%eth0' }, '127.0.0.1'),
]);

export const fieldRows: readonly ProtocolRow[] = [...ids, ...uuids, ...times, ...flags, ...addresses];
