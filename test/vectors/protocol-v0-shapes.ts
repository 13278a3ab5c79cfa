/** Body shapes (3.1-3.4) and tokens (4) of the v0 protocol. */
import {
  batchText,
  eventText,
  KEY,
  OK,
  refuses,
  section,
  SERVER_KEY,
  stores,
  type ProtocolRow,
} from './protocol-row.ts';

const NO_NAME = refuses(400, 'missing_event_name', {
  detail: 'failed to hydrate events from request: non-engage request missing event name attribute',
});
const NO_FIT = 'failed to parse request: data did not match any variant of untagged enum RawRequest';
const invalidEvent = (attr: string): ReturnType<typeof refuses> =>
  refuses(400, 'invalid_event', { detail: NO_FIT, attr });
const INVALID_SHAPE = refuses(400, 'invalid_shape', { detail: NO_FIT });
/** One good event beside a bad one: the good one is stored (design.md 4). */
const keeps = (
  rejected: string,
): { status: number; rejected: readonly string[]; stored: readonly { distinctId: string }[] } => ({
  status: 200,
  rejected: [rejected],
  stored: [{ distinctId: 'good' }],
});
const good = '{"event":"e","distinct_id":"good"}';
const single = (members: string): { body: string } => ({ body: `{"api_key":"${KEY}",${members}}` });

const shapes: readonly ProtocolRow[] = [
  ...section('3.1', [
    [
      'an array of events',
      { body: `[${eventText('', 'e', '1')},${eventText('', 'f', '2')}]` },
      stores({ event: 'e' }, { event: 'f' }),
    ],
    [
      'a batch',
      { body: batchText('{"event":"e","distinct_id":"1"},{"event":"f","distinct_id":"2"}') },
      stores({ event: 'e' }, { event: 'f' }),
    ],
    ['a batch whose key is token', { body: `{"token":"${KEY}","batch":[${good}]}` }, stores({ distinctId: 'good' })],
    [
      'a batch whose key comes last',
      { body: `{"batch":[${good}],"api_key":"${KEY}"}` },
      stores({ distinctId: 'good' }),
    ],
    [
      'batch and event with a key is a batch',
      { body: `{"event":"single","distinct_id":"d","api_key":"${KEY}","batch":[${good}]}` },
      stores({ event: 'e' }),
    ],
    [
      'batch and event without a key is a single event',
      { body: `{"event":"single","distinct_id":"d","batch":[${good}],"properties":{"token":"${KEY}"}}` },
      stores({ event: 'single' }),
    ],
    [
      'unknown keys are passed over',
      {
        body: eventText(',"type":"capture","library":{"a":[1]},"sent_at":5,"ip":"1.1.1.1","historical_migration":"x"'),
      },
      stores({ event: 'e', properties: '{}' }),
    ],
    ['an empty object', { body: '{}' }, NO_NAME],
    ['an object without an event', { body: `{"api_key":"${KEY}","distinct_id":"d"}` }, NO_NAME],
    ['an event that is null', single('"event":null,"distinct_id":"d"'), NO_NAME],
    [
      'an event that is a number',
      single('"event":5,"distinct_id":"d"'),
      refuses(400, 'invalid_event', { attr: 'event' }),
    ],
    ['a batch without a key, though its events have one', { body: `{"batch":[${eventText()}]}` }, NO_NAME],
    ['a batch with a null key', { body: `{"api_key":null,"batch":[${good}]}` }, NO_NAME],
    ['a batch that is null', single('"batch":null'), NO_NAME],
    ['a batch that is an object', single('"batch":{}'), NO_NAME],
    ['data is no alias of batch', single(`"data":[${good}]`), NO_NAME],
    [
      'historical_migration that is no boolean',
      single(`"batch":[${good}],"historical_migration":"true"`),
      refuses(400, 'invalid_shape'),
    ],
    ['historical_migration that is null', single(`"batch":[${good}],"historical_migration":null`), stores({})],
    ['historical_migration that is true', single(`"batch":[${good}],"historical_migration":true`), stores({})],
    [
      'a batch’s sent_at that is a number',
      single(`"batch":[${good}],"sent_at":1700000000000`),
      refuses(400, 'invalid_shape'),
    ],
    ['a batch’s sent_at that is null', single(`"batch":[${good}],"sent_at":null`), stores({ sentAt: null })],
    ['batch given twice', single(`"batch":[${good}],"batch":[${good}]`), INVALID_SHAPE],
    ['null', { body: ' null ' }, INVALID_SHAPE],
    ['a number', { body: '7' }, INVALID_SHAPE],
    ['a word', { body: 'true' }, INVALID_SHAPE],
    ['a string', { body: '"event"' }, INVALID_SHAPE],
    [
      'properties that are null',
      single('"event":"e","distinct_id":"d","properties":null'),
      refuses(400, 'invalid_properties', { detail: NO_FIT, attr: 'properties' }),
    ],
    [
      'properties that are an array',
      single('"event":"e","distinct_id":"d","properties":[]'),
      refuses(400, 'invalid_properties'),
    ],
    [
      'properties that are a string',
      single('"event":"e","distinct_id":"d","properties":"{}"'),
      refuses(400, 'invalid_properties'),
    ],
    [
      'a uuid that is none',
      single('"event":"e","distinct_id":"d","uuid":"x"'),
      refuses(400, 'invalid_uuid', { detail: NO_FIT, attr: 'uuid' }),
    ],
    ['a uuid that is a number', single('"event":"e","distinct_id":"d","uuid":5'), invalidEvent('uuid')],
    ['a numeric timestamp', single('"event":"e","distinct_id":"d","timestamp":1700000000'), invalidEvent('timestamp')],
    ['a fractional offset', single('"event":"e","distinct_id":"d","offset":1.5'), invalidEvent('offset')],
    ['an offset that is a text', single('"event":"e","distinct_id":"d","offset":"5"'), invalidEvent('offset')],
    ['$set that is a text', single('"event":"e","distinct_id":"d","$set":"x"'), invalidEvent('$set')],
    ['$set_once that is an array', single('"event":"e","distinct_id":"d","$set_once":[]'), invalidEvent('$set_once')],
    ['a token that is a number', { body: '{"token":5,"event":"e","distinct_id":"d"}' }, INVALID_SHAPE],
    ['a batch key that is a number', { body: `{"token":5,"batch":[${good}]}` }, INVALID_SHAPE],
    [
      'distinct_id beside $distinct_id',
      single('"event":"e","distinct_id":"d","$distinct_id":"d"'),
      invalidEvent('distinct_id'),
    ],
    [
      'distinct_id beside a null $distinct_id',
      single('"event":"e","distinct_id":"d","$distinct_id":null'),
      invalidEvent('distinct_id'),
    ],
    ['event given twice', single('"event":"e","event":"e","distinct_id":"d"'), invalidEvent('event')],
    [
      'properties given twice',
      single('"event":"e","distinct_id":"d","properties":{},"properties":{}'),
      refuses(400, 'invalid_event'),
    ],
    [
      'an unknown key given twice',
      single('"event":"e","distinct_id":"d","sent_at":1,"sent_at":2,"x":1,"x":2'),
      stores({ event: 'e' }),
    ],
    ['a positional array is no batch', { body: `["${KEY}",null,null,[${good}]]` }, refuses(401, 'missing_api_key')],
  ]),
  ...section('design', [
    [
      'api_key and token that are equal',
      { body: `{"api_key":"${KEY}","token":"${KEY}","event":"e","distinct_id":"d"}` },
      stores({ event: 'e' }),
    ],
    [
      'all three names of the key, equal',
      { body: `{"api_key":"${KEY}","token":"${KEY}","$token":"${KEY}","event":"e","distinct_id":"d"}` },
      stores({ event: 'e' }),
    ],
    [
      'api_key and token that are equal on a batch',
      { body: `{"api_key":"${KEY}","token":"${KEY}","batch":[${good}]}` },
      stores({ distinctId: 'good' }),
    ],
    [
      'api_key and token that differ',
      { body: `{"api_key":"${KEY}","token":"other","event":"e","distinct_id":"d"}` },
      refuses(400, 'conflicting_api_keys'),
    ],
    [
      'api_key and token that differ on a batch',
      { body: `{"api_key":"${KEY}","token":"other","batch":[${good}]}` },
      refuses(400, 'conflicting_api_keys'),
    ],
    [
      'keys that differ within one event of a batch',
      { body: batchText(`${good},{"event":"e","distinct_id":"x","api_key":"a","token":"b"}`) },
      keeps('1: invalid_event'),
    ],
    ['an element that is no object', { body: batchText(`7,${good}`) }, keeps('0: invalid_event')],
    ['an element that is null', { body: `[null,${eventText('', 'e', 'good')}]` }, keeps('0: invalid_event')],
    [
      'an event of a batch without a name',
      { body: batchText(`${good},{"distinct_id":"d"}`) },
      keeps('1: missing_event_name'),
    ],
    [
      'an event of a batch with an invalid uuid',
      { body: batchText(`${good},{"event":"e","distinct_id":"d","uuid":"x"}`) },
      keeps('1: invalid_uuid'),
    ],
    [
      'an event of a batch with null properties',
      { body: batchText(`${good},{"event":"e","distinct_id":"d","properties":null}`) },
      keeps('1: invalid_properties'),
    ],
    [
      'an event of a batch that is too large',
      { body: batchText(`${good},{"event":"e","distinct_id":"d","properties":{"a":"${'x'.repeat(1_000_000)}"}}`) },
      keeps('1: event_too_large'),
    ],
    [
      'an event of a batch with a bad cookieless mode',
      { body: batchText(`${good},{"event":"e","distinct_id":"d","properties":{"$cookieless_mode":1}}`) },
      keeps('1: invalid_cookieless_mode'),
    ],
    [
      'an event of an array without a distinct_id',
      { body: `[{"event":"e"},${eventText('', 'e', 'good')}]` },
      keeps('0: missing_distinct_id'),
    ],
    [
      'all bad: the first one’s code and place',
      { body: batchText('{"event":"e"},7') },
      refuses(400, 'missing_distinct_id', { attr: 'batch.0.distinct_id' }),
    ],
    [
      'all bad in an array',
      { body: `[{"event":"","distinct_id":"d","api_key":"${KEY}"}]` },
      refuses(400, 'empty_event_name', { attr: '0.event' }),
    ],
    [
      'strict: one bad refuses all',
      { query: 'strict=1', body: batchText(`${good},7`) },
      refuses(400, 'invalid_event', { attr: 'batch.1' }),
    ],
  ]),
];

const eventFields: readonly ProtocolRow[] = section('3.2', [
  ...['token', '$token', 'api_key'].map(
    (name) =>
      [
        `the key as ${name}`,
        { body: `{"${name}":"${KEY}","event":"e","distinct_id":"d"}` },
        stores({ event: 'e' }),
      ] as const,
  ),
  [
    'the key in properties',
    { body: `{"event":"e","distinct_id":"d","properties":{"token":"${KEY}"}}` },
    stores({ properties: `{"token":"${KEY}"}` }),
  ],
  [
    'api_key in properties is none',
    { body: `{"event":"e","distinct_id":"d","properties":{"api_key":"${KEY}"}}` },
    refuses(401, 'missing_api_key'),
  ],
  [
    'a null key falls back to properties',
    { body: `{"api_key":null,"event":"e","distinct_id":"d","properties":{"token":"${KEY}"}}` },
    stores({ event: 'e' }),
  ],
  [
    'a key in properties that is no text',
    { body: '{"event":"e","distinct_id":"d","properties":{"token":5}}' },
    refuses(401, 'missing_api_key'),
  ],
  [
    'an empty name',
    single('"event":"","distinct_id":"d"'),
    refuses(400, 'empty_event_name', { detail: 'event submitted with an empty event name', attr: 'event' }),
  ],
  ['a name of a space is kept', single('"event":" ","distinct_id":"d"'), stores({ event: ' ' })],
  ['a name is not trimmed', single('"event":" e ","distinct_id":"d"'), stores({ event: ' e ' })],
  [
    'a name has no length limit',
    single(`"event":"${'n'.repeat(5_000)}","distinct_id":"d"`),
    stores({ event: 'n'.repeat(5_000) }),
  ],
  [
    'a name of any characters',
    single('"event":"a\\"b\\\\\\u00e9 😀","distinct_id":"d"'),
    stores({ event: 'a"b\\é 😀' }),
  ],
  [
    'keys with escapes are the same keys',
    single('"\\u0065vent":"e","distinct\\u005fid":"d"'),
    stores({ event: 'e', distinctId: 'd' }),
  ],
  ['$distinct_id', single('"event":"e","$distinct_id":"d"'), stores({ distinctId: 'd' })],
  ['a null uuid', single('"event":"e","distinct_id":"d","uuid":null'), stores({ hasMadeUuid: true })],
  ['an empty uuid', single('"event":"e","distinct_id":"d","uuid":""'), stores({ hasMadeUuid: true })],
  [
    'null timestamp, offset, $set and $set_once',
    single('"event":"e","distinct_id":"d","timestamp":null,"offset":null,"$set":null,"$set_once":null'),
    stores({ afterReceiptMs: 0, properties: '{}' }),
  ],
  ['a negative offset', single('"event":"e","distinct_id":"d","offset":-5'), stores({ afterReceiptMs: 5 })],
]);

const batches: readonly ProtocolRow[] = section('3.3', [
  [
    'the batch’s key counts, its events’ keys do not',
    {
      body: batchText(
        '{"event":"e","distinct_id":"1","api_key":"nobody"},{"event":"e","distinct_id":"2","properties":{"token":"else"}}',
      ),
    },
    stores({}, {}),
  ],
  [
    'fields of the batch are not its events’',
    { body: batchText(good, ',"distinct_id":"outer","timestamp":"2020-01-01T00:00:00Z","uuid":"x","properties":null') },
    stores({ distinctId: 'good', afterReceiptMs: 0, properties: '{}' }),
  ],
]);

const engage: readonly ProtocolRow[] = section('3.4', [
  ...['/engage', '/engage/'].map(
    (path) =>
      [
        `a nameless object on ${path} is $identify`,
        { path, body: `{"$token":"${KEY}","$distinct_id":"d","$set":{"a":1.0}}` },
        stores({ event: '$identify', distinctId: 'd', properties: '{"$set":{"a":1.0}}' }),
      ] as const,
  ),
  [
    'a null name too',
    { path: '/engage', body: `{"token":"${KEY}","distinct_id":"d","event":null}` },
    stores({ event: '$identify' }),
  ],
  ['an object with a name is an ordinary event', { path: '/engage', body: eventText() }, stores({ event: 'e' })],
  ['an empty name is still none', { path: '/engage', body: eventText('', '') }, refuses(400, 'empty_event_name')],
  [
    'a nameless object without a distinct_id',
    { path: '/engage', body: `{"token":"${KEY}"}` },
    refuses(400, 'missing_distinct_id'),
  ],
  [
    'a nameless object without a key',
    { path: '/engage', body: '{"$distinct_id":"d"}' },
    refuses(401, 'missing_api_key'),
  ],
  [
    'an array of nameless objects is refused',
    { path: '/engage', body: `[{"token":"${KEY}","$distinct_id":"d"}]` },
    refuses(400, 'missing_event_name'),
  ],
  ['elsewhere it is no event', { path: '/track', body: `{"token":"${KEY}","$distinct_id":"d"}` }, NO_NAME],
]);

const invalidKey = (reason: string): ReturnType<typeof refuses> =>
  refuses(401, 'invalid_api_key', { detail: `API key is not valid: ${reason}` });
const keyed = (key: string): { body: string } => ({
  body: JSON.stringify({ api_key: key, event: 'e', distinct_id: 'd' }),
});
const UNKNOWN = refuses(401, 'unknown_api_key', { detail: 'API key does not belong to any project' });

const tokens: readonly ProtocolRow[] = section('4', [
  ['an empty key', keyed(''), invalidKey('empty')],
  ['a key of 64 bytes is short enough', keyed('k'.repeat(64)), UNKNOWN],
  ['a key of 65 bytes', keyed('k'.repeat(65)), invalidKey('too_long')],
  ['a long key that is not ASCII', keyed('é'.repeat(33)), invalidKey('too_long')],
  ['a key that is not ASCII', keyed('é'), invalidKey('not_ascii')],
  ['a personal key', keyed('phx_x'), invalidKey('personal_api_key')],
  ['a personal key with NUL', keyed('phx_\0'), invalidKey('personal_api_key')],
  ['a key with NUL', keyed('a\0b'), invalidKey('null_byte')],
  [
    'an empty key does not fall back to properties',
    { body: `{"api_key":"","event":"e","distinct_id":"d","properties":{"token":"${KEY}"}}` },
    invalidKey('empty'),
  ],
  ['white space around a key is not trimmed', keyed(` ${KEY} `), UNKNOWN],
  [
    'a key written with escapes',
    { body: `{"api_key":"\\u0070${KEY.slice(1)}","event":"e","distinct_id":"d"}` },
    stores({ event: 'e' }),
  ],
  [
    'an array of which one event names the key',
    { body: `[{"event":"e","distinct_id":"1"},${eventText('', 'e', '2')}]` },
    stores({ distinctId: '1' }, { distinctId: '2' }),
  ],
  [
    'an array whose events name it in different places',
    { body: `[${eventText('', 'e', '1')},{"event":"e","distinct_id":"2","properties":{"token":"${KEY}"}}]` },
    stores({}, {}),
  ],
  [
    'an array without a key',
    { body: '[{"event":"e","distinct_id":"1"},{"event":"e","distinct_id":"2"}]' },
    refuses(401, 'missing_api_key', { detail: 'event submitted without an api_key' }),
  ],
  [
    'an array of several keys',
    { body: `[${eventText()},{"event":"e","distinct_id":"d","api_key":"other"}]` },
    refuses(401, 'inconsistent_api_keys', { detail: 'batch submitted with inconsistent api_key values' }),
  ],
  ['no key', { body: '{"event":"e","distinct_id":"d"}' }, refuses(401, 'missing_api_key')],
  [
    'Authorization that is no personal key is ignored for a public key',
    { body: eventText(), headers: { Authorization: 'Basic abc' } },
    stores({ isAuthenticated: false }),
  ],
]);

const kinds: readonly ProtocolRow[] = section('design', [
  ['an unknown key is 401', keyed('phc_nobody'), UNKNOWN],
  ['a server key needs a personal key on POST', keyed(SERVER_KEY), refuses(401, 'missing_personal_api_key')],
  [
    'a server key with a personal key',
    { ...keyed(SERVER_KEY), headers: { Authorization: 'Bearer phx_test_personal' } },
    stores({ isAuthenticated: true }),
  ],
  [
    'a server key alone on GET with data',
    { method: 'GET', query: `data=${encodeURIComponent(keyed(SERVER_KEY).body)}` },
    stores({ isAuthenticated: false }),
  ],
  [
    'a server key on GET with a body counts as POST',
    { method: 'GET', ...keyed(SERVER_KEY) },
    refuses(401, 'missing_personal_api_key'),
  ],
]);

const performance: readonly ProtocolRow[] = section('3.8', [
  [
    '$performance_event alone is answered, not stored',
    { body: eventText('', '$performance_event') },
    { status: 200, body: OK, stored: [] },
  ],
  [
    '$performance_event without a key or distinct_id',
    { body: '{"event":"$performance_event"}' },
    { status: 200, body: OK, stored: [] },
  ],
  [
    '$performance_event with an unknown key',
    { body: '{"event":"$performance_event","api_key":"nobody"}' },
    { status: 200, body: OK, stored: [] },
  ],
  [
    '$performance_event written with an escape',
    { body: '{"event":"\\u0024performance_event"}' },
    { status: 200, body: OK, stored: [] },
  ],
  [
    '$performance_event among others is left out without a word',
    { body: batchText(`{"event":"$performance_event"},${good}`) },
    stores({ distinctId: 'good' }),
  ],
  [
    'places are counted in the request, not in what is left',
    { body: batchText(`{"event":"$performance_event"},${good},7`) },
    keeps('2: invalid_event'),
  ],
  [
    'its key does not count',
    { body: `[{"event":"$performance_event","api_key":"other"},${eventText('', 'e', 'good')}]` },
    stores({ distinctId: 'good' }),
  ],
]);

export const shapeRows: readonly ProtocolRow[] = [
  ...shapes,
  ...eventFields,
  ...batches,
  ...engage,
  ...tokens,
  ...kinds,
  ...performance,
];
