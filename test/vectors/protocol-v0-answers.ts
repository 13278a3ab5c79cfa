/** Answers, order of checks, CORS (5) and limits (6) of the v0 protocol. What needs a raw socket (5.3, 408) is in raw-http.test.ts. */
import { gzipSync } from 'node:zlib';
import { lzBomb } from './lz-bomb.ts';
import { batchText, eventText, FORM, KEY, OK, refuses, section, stores, type ProtocolRow } from './protocol-row.ts';

const MIB = 1 << 20;
const good = '{"event":"e","distinct_id":"good"}';
const bad = '{"event":"e"}';

const answers: readonly ProtocolRow[] = section('5.1', [
  [
    'stored',
    { body: eventText() },
    { ...stores({}), headers: { 'content-type': 'application/json', 'content-length': String(OK.length) } },
  ],
  ['beacon=1', { query: 'beacon=1', body: eventText() }, { status: 204, body: '', stored: [{}] }],
  [
    'beacon=1 on GET',
    { method: 'GET', query: `beacon=1&data=${encodeURIComponent(eventText())}` },
    { status: 204, body: '', stored: [{}] },
  ],
  [
    'beacon=1 of nothing but $performance_event',
    { query: 'beacon=1', body: eventText('', '$performance_event') },
    { status: 200, body: OK, stored: [] },
  ],
  [
    'beacon=1 with one bad event stores the others',
    { query: 'beacon=1', body: batchText(`${good},${bad}`) },
    { status: 204, body: '', stored: [{}] },
  ],
  ['beacon=1 with bad events alone', { query: 'beacon=1', body: batchText(bad) }, refuses(400, 'missing_distinct_id')],
  [
    'beacon=1 with an unknown key',
    { query: 'beacon=1', body: '{"event":"e","distinct_id":"d","api_key":"nobody"}' },
    refuses(401, 'unknown_api_key'),
  ],
]);

const ENVELOPE = { headers: { 'content-type': 'application/json', 'retry-after': null } };

const order: readonly ProtocolRow[] = section('5.2', [
  ['errors are JSON and say no Retry-After', { body: '{}' }, refuses(400, 'missing_event_name', ENVELOPE)],
  ['an empty array', { body: '[]' }, refuses(400, 'empty_batch', { detail: 'request holds no event' })],
  ['an empty batch', { body: batchText('') }, refuses(400, 'empty_batch', { detail: 'request holds no event' })],
  ['an empty batch goes before its key', { body: '{"api_key":"nobody","batch":[]}' }, refuses(400, 'empty_batch')],
  ['an empty batch without a key has no name', { body: '{"batch":[]}' }, refuses(400, 'missing_event_name')],
  ['the query goes before the payload', { query: 'beacon=x', body: '' }, refuses(400, 'invalid_query')],
  ['the payload goes before decoding', { headers: { 'Content-Type': FORM } }, refuses(400, 'missing_payload')],
  ['decoding goes before parsing', { body: gzipSync('{').subarray(0, 12) }, refuses(400, 'invalid_encoding')],
  ['parsing goes before the key', { body: '{"api_key":"phx_no","event":"e"' }, refuses(400, 'invalid_json')],
  ['the key goes before the name', { body: '{"event":"","distinct_id":"d"}' }, refuses(401, 'missing_api_key')],
  ['the key goes before distinct_id', { body: '{"event":"e","api_key":"nobody"}' }, refuses(401, 'unknown_api_key')],
  ['the name goes before distinct_id', { body: `{"event":"","api_key":"${KEY}"}` }, refuses(400, 'empty_event_name')],
  [
    'distinct_id goes before the cookieless mode',
    { body: `{"event":"e","api_key":"${KEY}","properties":{"$cookieless_mode":1}}` },
    refuses(400, 'missing_distinct_id'),
  ],
  [
    '$performance_event goes before the key',
    { body: '[{"event":"$performance_event"}]' },
    { status: 200, body: OK, stored: [] },
  ],
  [
    'place of a parse error: line and column from 1',
    { body: '{"event":\n  nope}' },
    refuses(400, 'invalid_json', { detail: 'failed to parse request: expected ident at line 2 column 3' }),
  ],
]);

const origin = { Origin: 'https://shop.example' };
const VARY = 'origin, access-control-request-method, access-control-request-headers';
const OTHER = {
  'access-control-allow-origin': 'https://shop.example',
  'access-control-allow-credentials': 'true',
  'access-control-allow-methods': null,
  'access-control-allow-headers': null,
  'access-control-expose-headers': 'Retry-After, X-Request-Id',
  vary: VARY,
};
const PREFLIGHT = {
  'access-control-allow-origin': 'https://shop.example',
  'access-control-allow-credentials': 'true',
  'access-control-allow-methods': 'GET,POST,OPTIONS',
  'access-control-allow-headers': 'content-type,x-own',
  'access-control-max-age': '86400',
  vary: VARY,
};

const cors: readonly ProtocolRow[] = section('5.4', [
  ...['/capture', '/batch/', '/e/', '/i/v0/e/', '/track', '/engage'].map(
    (path) =>
      [
        `a preflight of ${path}`,
        {
          method: 'OPTIONS',
          path,
          headers: {
            ...origin,
            'Access-Control-Request-Method': 'POST',
            'Access-Control-Request-Headers': 'content-type,x-own',
          },
        },
        { status: 200, body: '', headers: PREFLIGHT },
      ] as const,
  ),
  [
    'OPTIONS without an origin',
    { method: 'OPTIONS' },
    {
      status: 200,
      body: '',
      headers: { ...PREFLIGHT, 'access-control-allow-origin': null, 'access-control-allow-headers': null },
    },
  ],
  ['an answer', { body: eventText(), headers: origin }, { ...stores({}), headers: OTHER }],
  ['an answer to a beacon', { query: 'beacon=1', body: eventText(), headers: origin }, { status: 204, headers: OTHER }],
  [
    'the origin null',
    { body: eventText(), headers: { Origin: 'null' } },
    { ...stores({}), headers: { ...OTHER, 'access-control-allow-origin': 'null' } },
  ],
  ['no origin', { body: eventText() }, { ...stores({}), headers: { ...OTHER, 'access-control-allow-origin': null } }],
  ['a 400', { body: '{}', headers: origin }, refuses(400, 'missing_event_name', { headers: OTHER })],
  [
    'a 401',
    { body: '{"event":"e","distinct_id":"d"}', headers: origin },
    refuses(401, 'missing_api_key', { headers: OTHER }),
  ],
  ['a 404', { path: '/nowhere', headers: origin }, refuses(404, 'not_found', { headers: OTHER })],
  ['a 405', { method: 'PUT', headers: origin }, refuses(405, 'method_not_allowed', { headers: OTHER })],
  [
    'a 413',
    { body: Buffer.alloc(20 * MIB + 1, 0x20), headers: origin },
    refuses(413, 'payload_too_large', { headers: OTHER }),
  ],
]);

/** An event of exactly `bytes` of JSON. */
function eventOf(bytes: number, name = 'e'): string {
  const empty = eventText(',"properties":{"a":""}', name);
  return eventText(`,"properties":{"a":"${'x'.repeat(bytes - empty.length)}"}`, name);
}

const TOO_LARGE = 'maximum event size exceeded: ';
const spacesAround = (bytes: number): string => eventText() + ' '.repeat(bytes - eventText().length);

const limits: readonly ProtocolRow[] = section('6', [
  ['a body of 20 MiB', { body: spacesAround(20 * MIB) }, stores({})],
  [
    'a body of a byte more',
    { body: spacesAround(20 * MIB + 1) },
    refuses(413, 'payload_too_large', { detail: `${TOO_LARGE}Request body exceeds limit of 20971520 bytes` }),
  ],
  ['100 MiB out of gzip', { body: gzipSync(spacesAround(100 * MIB), { level: 1 }) }, stores({})],
  [
    'a byte more out of gzip',
    { body: gzipSync(spacesAround(100 * MIB + 1), { level: 1 }) },
    refuses(413, 'payload_too_large', { detail: `${TOO_LARGE}Decompressed payload would exceed 104857600 bytes` }),
  ],
  [
    'more out of LZ-string',
    { query: 'compression=lz64', body: lzBomb(15_000) },
    refuses(413, 'payload_too_large', { detail: `${TOO_LARGE}Decompressed LZ64 payload would exceed 104857600 bytes` }),
  ],
  [
    '20 MiB of LZ-string that grows',
    { query: 'compression=lz64', body: Buffer.alloc(20 * MIB, lzBomb(15_000)) },
    refuses(413, 'payload_too_large'),
  ],
  ['an event of 1,000,000 bytes', { body: eventOf(1_000_000) }, stores({})],
  ['an event of a byte more', { body: eventOf(1_000_001) }, refuses(413, 'event_too_large', { detail: TOO_LARGE })],
  ['an AI event of 8 MiB', { body: eventOf(8 * MIB, '$ai_generation') }, stores({ event: '$ai_generation' })],
  [
    'an AI event of a byte more',
    { body: eventOf(8 * MIB + 1, '$ai_generation') },
    refuses(413, 'event_too_large', { detail: TOO_LARGE }),
  ],
  [
    'a name that only begins like an AI event',
    { body: eventOf(1_000_001, '$ai_other') },
    refuses(413, 'event_too_large'),
  ],
  [
    '2,000 properties',
    { body: eventText(`,"properties":{${Array.from({ length: 2_000 }, (_, i) => `"k${i}":${i}`).join(',')}}`) },
    stores({}),
  ],
  ['a property name of 10,000 bytes', { body: eventText(`,"properties":{"${'k'.repeat(10_000)}":1}`) }, stores({})],
  [
    '1,000 events in a batch',
    { body: batchText(Array.from({ length: 1_000 }, () => good).join(',')) },
    { status: 200, body: OK },
  ],
]);

export const answerRows: readonly ProtocolRow[] = [...answers, ...order, ...cors, ...limits];
