/** Routes (1) and request decoding (2.1-2.7) of the v0 protocol. */
import { gzipSync } from 'node:zlib';
import lzString from 'lz-string';
import { base64, batchText, eventText, FORM, refuses, section, stores, type ProtocolRow } from './protocol-row.ts';

/** Its base64 holds `+` and `/`, and spells its end with `=`. */
export const TEXT = eventText(',"properties":{"q":"a>>b??c~~d é 😀 ÿÿÿ"}');
export const STORED = stores({ event: 'e', distinctId: 'd', properties: '{"q":"a>>b??c~~d é 😀 ÿÿÿ"}' });
const BASE64 = base64(TEXT);
const URL_SAFE = Buffer.from(TEXT).toString('base64url');
export const LZ = lzString.compressToBase64(TEXT);
const form = { 'Content-Type': FORM };
const encoded = encodeURIComponent;

/** Events whose LZ-string text ends in every way there is: without padding, `=`, `==`, `===`. */
const lzEndings = ['', '=', '==', '==='].map((ending) => {
  for (let n = 0; ; n++) {
    const text = eventText(`,"properties":{"n":"${'x'.repeat(n)}"}`);
    const packed = lzString.compressToBase64(text);
    if (packed.slice(packed.replace(/=+$/, '').length) === ending) return { ending, packed };
  }
});

const paths = ['/capture', '/track', '/engage', '/e', '/i/v0/e', '/batch', '/i/v0/ai/batch'];
const bothSpellings = paths.flatMap((path) => [path, `${path}/`]);

const routes: readonly ProtocolRow[] = [
  ...bothSpellings.flatMap((path) =>
    section('1', [
      [`${path} takes a single event`, { path, body: eventText() }, stores({ event: 'e' })],
      [`${path} takes an array`, { path, body: `[${eventText()}]` }, stores({ event: 'e' })],
      [`${path} takes a batch`, { path, body: batchText('{"event":"e","distinct_id":"d"}') }, stores({ event: 'e' })],
      [`${path} takes GET with data`, { method: 'GET', path, query: `data=${encoded(BASE64)}` }, STORED],
      [`${path} takes GET with a body`, { method: 'GET', path, body: TEXT }, STORED],
      [
        `${path} treats HEAD as GET, without a body`,
        { method: 'HEAD', path, query: `data=${encoded(BASE64)}` },
        { ...STORED, body: '' },
      ],
      [
        `${path} refuses PUT`,
        { method: 'PUT', path, body: TEXT },
        refuses(405, 'method_not_allowed', { headers: { allow: 'GET, HEAD, POST, OPTIONS' } }),
      ],
    ]),
  ),
  ...section('1', [
    ['DELETE is refused', { method: 'DELETE', path: '/capture/' }, refuses(405, 'method_not_allowed')],
    ['an unknown path', { path: '/nowhere', body: TEXT }, refuses(404, 'not_found')],
    ['a path below a known one', { path: '/e/x', body: TEXT }, refuses(404, 'not_found')],
    ['a path in capitals', { path: '/E/', body: TEXT }, refuses(404, 'not_found')],
    [
      'the root answers its name',
      { method: 'GET', path: '/' },
      { status: 200, body: 'capture', headers: { 'content-type': 'text/plain; charset=utf-8' } },
    ],
    ['the root takes no POST', { path: '/', body: TEXT }, refuses(405, 'method_not_allowed')],
  ]),
];

const INVALID_QUERY = refuses(400, 'invalid_query', { detail: 'Failed to deserialize query string' });

const query: readonly ProtocolRow[] = section('2.1', [
  ...[
    '_=abc',
    '_=',
    '_=1.5',
    'beacon=true',
    'beacon=',
    '_=1&_=2',
    '_=1&sent_at=2',
    'sent_at=1&sent_at=1',
    'data=a&data=b',
    'data=&data=',
    'compression=gzip&compression=gzip',
    'beacon=1&beacon=1',
    '_=9223372036854775808',
    'beacon=2147483648',
  ].map((bad) => [`${bad} is refused`, { query: bad, body: TEXT }, INVALID_QUERY] as const),
  ['beacon=0 means no beacon', { query: 'beacon=0', body: TEXT }, STORED],
  ['beacon=2 means no beacon', { query: 'beacon=2', body: TEXT }, STORED],
  ['an unknown compression is no hint', { query: 'compression=zip', body: TEXT }, STORED],
  [
    'other parameters are ignored, however often they come',
    { query: 'ver=1.2.3&ip=0&ip=1&retry_count=x', body: TEXT },
    STORED,
  ],
  ['an empty query string', { path: '/batch?', body: TEXT }, STORED],
  ['percent-escapes are decoded', { method: 'GET', query: `data=${encoded(TEXT)}` }, STORED],
  [
    'a plus becomes a space',
    { method: 'GET', query: `data=${encoded(eventText('', 'a b')).replaceAll('%20', '+')}` },
    stores({ event: 'a b' }),
  ],
  [
    'bad UTF-8 becomes U+FFFD',
    { method: 'GET', query: `data=${encoded(eventText('', 'bad X')).replace('X', '%ff')}` },
    stores({ event: 'bad \ufffd' }),
  ],
  ['a bad query goes before an empty body', { query: '_=x' }, INVALID_QUERY],
  [
    'ip=1 does not change the address',
    { query: 'ip=1', body: TEXT, headers: { 'X-Forwarded-For': '9.9.9.9' } },
    stores({ ip: '9.9.9.9' }),
  ],
]);

const payload: readonly ProtocolRow[] = section('2.2', [
  [
    'data in the query goes before the body',
    { query: `data=${encoded(TEXT)}`, body: eventText('', 'in the body') },
    STORED,
  ],
  ['empty data leaves the body', { query: 'data=', body: TEXT }, STORED],
  ['nothing at all', {}, refuses(400, 'missing_payload', { detail: 'request missing data payload' })],
  ['nothing at all on GET', { method: 'GET' }, refuses(400, 'missing_payload')],
  ['empty data and no body', { method: 'GET', query: 'data=' }, refuses(400, 'missing_payload')],
]);

const onGet = (data: string): { method: string; query: string } => ({ method: 'GET', query: `data=${data}` });

const firstBase64: readonly ProtocolRow[] = [
  ...section('2.3', [
    ['base64 as the body', { body: BASE64 }, STORED],
    ['base64 with a JSON type', { body: BASE64, headers: { 'Content-Type': 'application/json' } }, STORED],
    ['base64 with a gzip hint', { body: BASE64, query: 'compression=gzip' }, STORED],
    ['base64 with its own hint', { body: BASE64, query: 'compression=base64' }, STORED],
    ['the hint base64 alone does nothing', { body: TEXT, query: 'compression=base64' }, STORED],
    ['base64 of gzip', { body: base64(gzipSync(TEXT)) }, STORED],
    ['base64 of gzip on GET', onGet(encoded(base64(gzipSync(TEXT)))), STORED],
    ['text that is base64 at first only', { body: `${'A'.repeat(128)}{` }, refuses(400, 'invalid_json')],
    ['base64 of nonsense', { body: base64('nonsense') }, refuses(400, 'invalid_json')],
    [
      'base64 of a gzip that is cut short',
      { body: base64(gzipSync(TEXT).subarray(0, 20)) },
      refuses(400, 'invalid_encoding', { detail: 'failed to decode request: invalid GZIP data' }),
    ],
  ]),
  ...section('design', [
    ['URL-safe base64, unpadded, as the body', { body: URL_SAFE }, STORED],
    ['URL-safe base64 on GET', onGet(URL_SAFE), STORED],
    ['base64 without its padding', { body: BASE64.replace(/=+$/, '') }, STORED],
    ['base64 that ends in a newline', { body: `${BASE64}\n` }, STORED],
    ['base64 that ends in CR LF', { body: `${BASE64}\r\n` }, STORED],
    ['a bare plus of base64 on GET', onGet(BASE64.replaceAll('/', '%2F')), STORED],
    ['a byte-order mark', { body: `\ufeff${TEXT}` }, STORED],
  ]),
];

const secondBase64: readonly ProtocolRow[] = [
  ...section(
    '2.4',
    ['/e', '/e/', '/capture/', '/engage', '/track'].flatMap((path) => [
      [`base64 inside gzip on ${path}`, { path, body: gzipSync(BASE64) }, STORED] as const,
      [`a base64 form on ${path}`, { path, body: `data=${encoded(BASE64)}`, headers: form }, STORED] as const,
    ]),
  ),
  ...section('2.4', [
    ['base64 twice', { body: base64(BASE64) }, STORED],
    [
      'base64 inside LZ-string',
      { body: `data=${encoded(lzString.compressToBase64(BASE64))}&compression=lz64`, headers: form },
      STORED,
    ],
    [
      'text that decodes to no UTF-8 goes on as it was',
      { body: gzipSync('nonsense') },
      refuses(400, 'invalid_json', { detail: 'failed to parse request: ' }),
    ],
  ]),
  ...section(
    'design',
    ['/batch', '/batch/', '/i/v0/e', '/i/v0/e/', '/i/v0/ai/batch'].flatMap((path) => [
      [`base64 inside gzip on ${path}`, { path, body: gzipSync(BASE64) }, STORED] as const,
      [`a base64 form on ${path}`, { path, body: `data=${encoded(BASE64)}`, headers: form }, STORED] as const,
      [`a form of JSON on ${path}`, { path, body: `data=${encoded(TEXT)}`, headers: form }, STORED] as const,
    ]),
  ),
];

const bare = paths.flatMap((path) =>
  lzEndings.flatMap(({ ending, packed }) => [
    [
      `LZ-string that ends in "${ending}" as the body of ${path}`,
      { path, query: 'compression=lz64', body: packed },
      stores({ event: 'e' }),
    ] as const,
    [
      `LZ-string that ends in "${ending}" as data of ${path}`,
      { method: 'GET', path, query: `compression=lz64&data=${encoded(packed)}` },
      stores({ event: 'e' }),
    ] as const,
    [
      `LZ-string that ends in "${ending}" in a form on ${path}`,
      { path, body: `data=${encoded(packed)}&compression=lz64`, headers: form },
      stores({ event: 'e' }),
    ] as const,
  ]),
);

export const BAD_LZ = refuses(400, 'invalid_encoding', {
  detail: 'failed to decode request: decompress_lz64: failed decompress to UTF16',
});
export const NO_TEXT = refuses(400, 'invalid_encoding', {
  detail: 'failed to decode request: invalid UTF8 in request payload',
});

/** A member of gzip with every optional part of its header (RFC 1952). */
function gzipWithNames(text: string): Buffer {
  const plain = gzipSync(text);
  const head = Buffer.from(plain.subarray(0, 10));
  head[3] = 0x04 | 0x08 | 0x10;
  const extra = Buffer.from([3, 0, 1, 2, 3]);
  return Buffer.concat([head, extra, Buffer.from('name\0comment\0'), plain.subarray(10)]);
}

const compression: readonly ProtocolRow[] = [
  ...section('2.5', [
    ...['gzip', 'gzip-js', 'GZIP', 'Gzip-JS'].map(
      (hint) =>
        [`compression=${hint} in the query`, { query: `compression=${hint}`, body: gzipSync(TEXT) }, STORED] as const,
    ),
    ['gzip by the header', { body: gzipSync(TEXT), headers: { 'Content-Encoding': 'gzip' } }, STORED],
    ['gzip by its first bytes', { body: gzipSync(TEXT) }, STORED],
    ['gzip by its first bytes, whatever the query says', { query: 'compression=lz64', body: gzipSync(TEXT) }, STORED],
    [
      'gzip by its first bytes, whatever the header says',
      { body: gzipSync(TEXT), headers: { 'Content-Encoding': 'br' } },
      STORED,
    ],
    [
      'gzip in a form, as base64',
      { body: `data=${encoded(base64(gzipSync(TEXT)))}&compression=gzip-js`, headers: form },
      STORED,
    ],
    ...['lz64', 'lz-string', 'LZ64'].map(
      (hint) => [`compression=${hint} in the query`, { query: `compression=${hint}`, body: LZ }, STORED] as const,
    ),
    ['lz64 in the form', { body: `compression=LZ-String&data=${encoded(LZ)}`, headers: form }, STORED],
    ['lz64 in the header', { body: LZ, headers: { 'Content-Encoding': 'lz64' } }, STORED],
    [
      'the query’s hint goes before the form’s',
      { query: 'compression=lz64', body: `data=${encoded(LZ)}&compression=gzip`, headers: form },
      STORED,
    ],
    [
      'the form’s hint goes before the header’s',
      { body: `data=${encoded(LZ)}&compression=lz64`, headers: { ...form, 'Content-Encoding': 'gzip' } },
      STORED,
    ],
    [
      'the query’s base64 is a hint, so the header’s lz64 is not asked',
      { query: 'compression=b64', body: TEXT, headers: { 'Content-Encoding': 'lz64' } },
      STORED,
    ],
    [
      'an unknown hint leaves the next one',
      { query: 'compression=zip', body: LZ, headers: { 'Content-Encoding': 'lz64' } },
      STORED,
    ],
    ['the header’s hint is compared exactly', { body: TEXT, headers: { 'Content-Encoding': 'LZ64' } }, STORED],
    ['LZ-string without a hint is no JSON', { body: LZ }, refuses(400, 'invalid_json')],
    ['LZ-string inside base64', { query: 'compression=lz64', body: base64(LZ) }, STORED],
    [
      'LZ-string with spaces for its pluses',
      { body: `data=${LZ.replaceAll('=', '')}&compression=lz64`, headers: form },
      STORED,
    ],
    ['plain JSON with the hint lz64', { query: 'compression=lz64', body: TEXT }, BAD_LZ],
    [
      'bytes behind the first gzip member are ignored',
      { body: Buffer.concat([gzipSync(TEXT), Buffer.from('behind')]) },
      STORED,
    ],
    [
      'zeros behind the first gzip member are ignored',
      { body: Buffer.concat([gzipSync(TEXT), Buffer.alloc(600)]) },
      STORED,
    ],
    ['a second gzip member is ignored', { body: Buffer.concat([gzipSync(TEXT), gzipSync('{')]) }, STORED],
    [
      'a cut second member is ignored',
      { body: Buffer.concat([gzipSync(TEXT), gzipSync(TEXT).subarray(0, 20)]) },
      STORED,
    ],
    ['gzip that names its file', { body: gzipWithNames(TEXT) }, STORED],
    [
      'gzip that names its file, with bytes behind',
      { body: Buffer.concat([gzipWithNames(TEXT), Buffer.from('x')]) },
      STORED,
    ],
    ...['br', 'deflate', 'zstd'].map(
      (name) =>
        [`${name} in the header is no hint`, { body: TEXT, headers: { 'Content-Encoding': name } }, STORED] as const,
    ),
    [
      'zstd is no text',
      { body: Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x00, 0xff]), headers: { 'Content-Encoding': 'zstd' } },
      NO_TEXT,
    ],
  ]),
  ...section('design', [
    ['a gzip hint on a plain body', { body: TEXT, headers: { 'Content-Encoding': 'gzip' } }, STORED],
    ['a gzip hint in the query on a plain body', { query: 'compression=gzip-js', body: TEXT }, STORED],
    ...bare,
  ]),
];

const NO_FORM = refuses(400, 'invalid_form', {
  detail: 'failed to decode request: expected form data in POST request payload',
});

const forms: readonly ProtocolRow[] = [
  ...section('2.6', [
    ['data of percent-encoded JSON', { body: `data=${encoded(TEXT)}`, headers: form }, STORED],
    [
      'data with pluses for spaces',
      { body: `data=${encoded(eventText('', 'a b')).replaceAll('%20', '+')}`, headers: form },
      stores({ event: 'a b' }),
    ],
    ['data of raw JSON', { body: `data=${eventText()}`, headers: form }, stores({ event: 'e' })],
    [
      'an unescaped & cuts the data short',
      { body: `data=${eventText('', 'a&b')}`, headers: form },
      refuses(400, 'invalid_json'),
    ],
    ['data of base64', { body: `data=${encoded(BASE64)}`, headers: form }, STORED],
    [
      'data of base64 with bare pluses',
      { body: `data=${BASE64.replaceAll('/', '%2F').replaceAll('=', '%3D')}`, headers: form },
      STORED,
    ],
    ['data of LZ-string', { body: `compression=lz64&data=${encoded(LZ)}`, headers: form }, STORED],
    [
      'a repeated data field',
      { body: `data=${encoded(TEXT)}&data=${encoded(TEXT)}`, headers: form },
      refuses(400, 'invalid_form', { detail: 'failed to decode request: invalid urlencoded form data' }),
    ],
    [
      'a repeated data field, one of them encoded',
      { body: `data=${encoded(TEXT)}&d%61ta=x`, headers: form },
      refuses(400, 'invalid_form'),
    ],
    ...['_=1', 'ip=1', 'compression=base64'].map(
      (first) =>
        [
          `a form that begins with ${first}`,
          { body: `${first}&data=${encoded(TEXT)}`, headers: form },
          STORED,
        ] as const,
    ),
    ['a known field behind an unknown one', { body: `ver=1&x=y&data=${encoded(TEXT)}`, headers: form }, STORED],
    ['ver alone is no sign of a form', { body: 'ver=1&x=y', headers: form }, NO_FORM],
    [
      'a known field that begins behind 128 bytes',
      { body: `x=${'y'.repeat(126)}&data=${encoded(TEXT)}`, headers: form },
      NO_FORM,
    ],
    ['a form type without a form', { body: TEXT, headers: form }, NO_FORM],
    ['no data field: the form’s text is no JSON', { body: '_=1&x=2', headers: form }, refuses(400, 'invalid_json')],
    ['an empty data field', { body: 'data=', headers: form }, refuses(400, 'invalid_json')],
    ['data in the query and a form type', { query: `data=${encoded(BASE64)}`, headers: form }, NO_FORM],
    [
      'data in the query that is a form, and a form type',
      { query: `data=${encoded(`data=${encoded(TEXT)}`)}`, headers: form },
      STORED,
    ],
    ['a whole form in base64', { body: base64(`data=${encoded(TEXT)}`), headers: form }, STORED],
    ['a form without its type', { body: `data=${encoded(TEXT)}` }, refuses(400, 'invalid_json')],
    ['unknown fields with odd escapes', { body: `%=%zz&&=&x&data=${encoded(TEXT)}`, headers: form }, STORED],
  ]),
  ...section('design', [
    [
      'a form type with a charset',
      { body: `data=${encoded(TEXT)}`, headers: { 'Content-Type': `${FORM}; charset=UTF-8` } },
      STORED,
    ],
    [
      'a form type in other letters',
      { body: `data=${encoded(TEXT)}`, headers: { 'Content-Type': 'Application/X-WWW-Form-Urlencoded' } },
      STORED,
    ],
  ]),
];

export const decodingRows: readonly ProtocolRow[] = [
  ...routes,
  ...query,
  ...payload,
  ...firstBase64,
  ...secondBase64,
  ...compression,
  ...forms,
];
