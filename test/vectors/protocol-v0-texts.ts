/** Text and JSON (2.7) of the v0 protocol, and `properties` that stay as sent. */
import { gzipSync } from 'node:zlib';
import lzString from 'lz-string';
import { batchText, eventText, FORM, KEY, refuses, section, stores, type ProtocolRow } from './protocol-row.ts';
import { BAD_LZ, LZ, NO_TEXT, STORED, TEXT } from './protocol-v0-decoding.ts';

const form = { 'Content-Type': FORM };
const encoded = encodeURIComponent;
const BAD_GZIP = refuses(400, 'invalid_encoding', { detail: 'failed to decode request: invalid GZIP data' });

function damaged(bytes: Buffer, fromEnd: number): Buffer {
  const copy = Buffer.from(bytes);
  const at = copy.length - fromEnd;
  copy[at] = (copy[at] ?? 0) ^ 0xff;
  return copy;
}

const deep = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
const withProperties = (properties: string): { body: string } => ({ body: eventText(`,"properties":${properties}`) });
const BAD_JSON = refuses(400, 'invalid_json', { detail: 'failed to parse request: ', attr: null });

const texts: readonly ProtocolRow[] = section('2.7', [
  [
    'invalid UTF-8',
    { body: Buffer.concat([Buffer.from(eventText().slice(0, -2)), Buffer.from([0xff]), Buffer.from('"}')]) },
    NO_TEXT,
  ],
  [
    'UTF-8 of a half pair',
    { body: Buffer.concat([Buffer.from('{"event":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}')]) },
    NO_TEXT,
  ],
  [
    'invalid UTF-8 inside gzip',
    { body: gzipSync(Buffer.from([0x7b, 0xff, 0x7d])) },
    refuses(400, 'invalid_encoding', { detail: 'failed to decode request: invalid gzip data' }),
  ],
  ['gzip that is cut short', { body: gzipSync(TEXT).subarray(0, -4) }, BAD_GZIP],
  ['gzip of its header alone', { body: gzipSync(TEXT).subarray(0, 10) }, BAD_GZIP],
  ['gzip of three bytes', { body: gzipSync(TEXT).subarray(0, 3) }, BAD_GZIP],
  ['gzip with a wrong checksum', { body: damaged(gzipSync(TEXT), 8) }, BAD_GZIP],
  ['gzip with a wrong length', { body: damaged(gzipSync(TEXT), 1) }, BAD_GZIP],
  [
    'gzip with a wrong checksum and bytes behind',
    { body: Buffer.concat([damaged(gzipSync(TEXT), 8), Buffer.from('xxxx')]) },
    BAD_GZIP,
  ],
  [
    'gzip with reserved flags',
    { body: Buffer.concat([Buffer.from([0x1f, 0x8b, 8, 0xe0]), gzipSync(TEXT).subarray(4)]) },
    BAD_GZIP,
  ],
  [
    'a gzip hint on bytes that are neither gzip nor text',
    { query: 'compression=gzip', body: Buffer.from([0x1f, 0x8b, 0x07, 0xff]) },
    BAD_GZIP,
  ],
  ['LZ-string that cannot be decoded', { query: 'compression=lz64', body: 'AAAA!' }, BAD_LZ],
  ['LZ-string that is cut short', { body: `data=${encoded(LZ.slice(0, -8))}&compression=lz64`, headers: form }, BAD_LZ],
  [
    'LZ-string with half a pair',
    { query: 'compression=lz64', body: lzString.compressToBase64(eventText('', '\ud83d')) },
    refuses(400, 'invalid_encoding', {
      detail: 'failed to decode request: decompress_lz64: failed UTF16 to UTF8 conversion',
    }),
  ],
  [
    'text behind the value',
    { body: `${TEXT} x` },
    refuses(400, 'invalid_json', { detail: 'failed to parse request: trailing characters at line 1 column ' }),
  ],
  ['a second value', { body: `${TEXT}${TEXT}` }, BAD_JSON],
  ['white space around the value', { body: `\r\n\t ${TEXT} \n` }, STORED],
  ['a lone leading surrogate', { body: eventText('', String.raw`\ud83d`) }, BAD_JSON],
  ['a lone trailing surrogate', { body: eventText('', String.raw`\ude00`) }, BAD_JSON],
  ['a lone surrogate deep in properties', withProperties(String.raw`{"a":[{"b":"\ud83d x"}]}`), BAD_JSON],
  ['an escaped pair', { body: eventText('', String.raw`\ud83d\ude00`) }, stores({ event: '😀' })],
  [
    'NUL in properties',
    withProperties(String.raw`{"a\u0000":"b\u0000"}`),
    stores({ properties: String.raw`{"a\u0000":"b\u0000"}` }),
  ],
  ['NUL in distinct_id', { body: eventText('', 'e', String.raw`a\u0000b`) }, stores({ distinctId: 'a\ufffdb' })],
  [
    'a number out of range',
    withProperties('{"n":1E400}'),
    refuses(400, 'invalid_json', { detail: 'failed to parse request: number out of range' }),
  ],
  ['127 levels', withProperties(deep(126)), stores({ properties: deep(126) })],
  [
    '128 levels',
    withProperties(deep(127)),
    refuses(400, 'invalid_json', { detail: 'failed to parse request: recursion limit exceeded' }),
  ],
  ['127 levels of arrays', { body: `${'['.repeat(127)}${']'.repeat(127)}` }, refuses(401, 'missing_api_key')],
  ['128 levels of arrays', { body: `${'['.repeat(128)}${']'.repeat(128)}` }, BAD_JSON],
  ...[
    '{"event":"e",}',
    "{'event':'e'}",
    '{"event":NaN}',
    '{"event":Infinity}',
    '{"event":"e"',
    '{"event" "e"}',
    '{event:"e"}',
    '[1,]',
    '{"a":01}',
    '{"a":1.}',
    '{"a":.5}',
    '{"a":+1}',
    '{"a":"\t"}',
    '{"a":"\\x"}',
    '{"a":tru}',
    '// no',
    '{"a":1}}',
  ].map((body) => [`${JSON.stringify(body)} is no JSON`, { body }, BAD_JSON] as const),
]);

/** What a client put into `properties` comes back as it was (2.7, 7.2; ours keeps more than PostHog). */
const asSent: readonly ProtocolRow[] = section(
  '2.7',
  [
    '{}',
    '{ }',
    '{"a":1.0}',
    '{"a":1e3}',
    '{"a":1E+3}',
    '{"a":-0}',
    '{"a":-0.0}',
    '{"a":0.1}',
    '{"a":100}',
    '{"a":1.10}',
    '{"a":1e-400}',
    '{"a":5e-324}',
    '{"a":9007199254740993}',
    '{"a":-9007199254740993}',
    '{"a":18446744073709551615}',
    '{"a":18446744073709551616}',
    '{"a":-9223372036854775809}',
    '{"a":123456789012345678901234567890}',
    '{"a":0.1234567890123456789012345678901234567890}',
    '{"a":1.7976931348623157e308}',
    '{"b":1,"a":2}',
    '{"10":1,"9":2,"a":3}',
    '{"a":1,"a":2}',
    '{"a":{"x":1},"a":"last"}',
    '{"\\u0061":1,"a":2}',
    '{"__proto__":{"a":1}}',
    '{"constructor":1,"toString":2}',
    '{"a":"\\u00e9"}',
    '{"a":"é"}',
    '{"a":"\\/"}',
    '{"a":"\\u002F"}',
    '{"a":"\\ud83d\\ude00"}',
    '{"a":"😀"}',
    '{"a":"\\uD83D\\uDE00"}',
    '{"a":"\\t\\n\\r\\b\\f\\"\\\\"}',
    '{"a":"\u2028\u2029\u007f"}',
    '{"":1}',
    '{"a.b":1,"a":{"b":2}}',
    '{"a":[1,[2,[3]],{}],"b":[]}',
    '{"a" : 1 ,\n"b":\t[ 1 , 2 ] }',
    '{"a":null,"b":true,"c":false}',
    '{"a":"2026-01-01T00:00:00Z"}',
    '{"a":"1"}',
    '{"$set":{"a":1.0}}',
    '{"$ip":"1.2.3.4","$geoip_disable":true,"$process_person_profile":true,"$session_id":"s"}',
    '{"timestamp":"2020-01-01T00:00:00Z","event":"x","api_key":"k"}',
    `{"a":"${'x'.repeat(100_000)}"}`,
  ].map(
    (properties) =>
      [
        `properties stay as sent: ${properties.slice(0, 60)}`,
        withProperties(properties),
        stores({ properties, event: 'e' }),
      ] as const,
  ),
);

const inOneBatch: readonly ProtocolRow[] = section('2.7', [
  [
    'events of one batch keep each its own text',
    {
      body: batchText(
        '{"event":"e","distinct_id":"1","properties":{"a":1.0}},{"event":"e","distinct_id":"2","properties":{"a":1e3}}',
      ),
    },
    stores({ properties: '{"a":1.0}' }, { properties: '{"a":1e3}' }),
  ],
  [
    '$set beside empty properties',
    { body: eventText(',"properties":{},"$set":{"n":1.0}') },
    stores({ properties: '{"$set":{"n":1.0}}' }),
  ],
  [
    '$set, $set_once and $unset beside properties',
    { body: eventText(',"$unset":["x"],"properties":{"a":1.0},"$set":{"n":2.0},"$set_once":{"m":1e3}') },
    stores({ properties: '{"a":1.0,"$set":{"n":2.0},"$set_once":{"m":1e3},"$unset":["x"]}' }),
  ],
  [
    '$set in properties stays',
    { body: eventText(',"properties":{"$set":{"a":1}},"$set":{"a":2}') },
    stores({ properties: '{"$set":{"a":1}}' }),
  ],
  [
    'properties through gzip',
    { body: gzipSync(eventText(',"properties":{"a":1.0,"a":2.0}')) },
    stores({ properties: '{"a":1.0,"a":2.0}' }),
  ],
  [
    'properties through LZ-string',
    { query: 'compression=lz64', body: lzString.compressToBase64(eventText(',"properties":{"a":1.0,"é":"😀"}')) },
    stores({ properties: '{"a":1.0,"é":"😀"}' }),
  ],
  [
    'properties through a form',
    { body: `data=${encoded(eventText(',"properties":{"a":1.0,"b":"1+1 é"}'))}`, headers: form },
    stores({ properties: '{"a":1.0,"b":"1+1 é"}' }),
  ],
  ['no properties', { body: `{"api_key":"${KEY}","event":"e","distinct_id":"d"}` }, stores({ properties: '{}' })],
]);

export const textRows: readonly ProtocolRow[] = [...texts, ...asSent, ...inOneBatch];
