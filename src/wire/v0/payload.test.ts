import fc from 'fast-check';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { unwrapBase64 } from './base64-text.ts';
import { choosePayload, type PayloadSource, toText } from './payload.ts';

const JSON_TEXT = '{"event":"é","api_key":"k>>>???","distinct_id":"d"}';
const FORM = 'application/x-www-form-urlencoded';
const standard = Buffer.from(JSON_TEXT).toString('base64');
const urlSafe = Buffer.from(JSON_TEXT).toString('base64url');

function textOf(source: Partial<PayloadSource>): string {
  const payload = choosePayload({
    data: undefined,
    body: Buffer.alloc(0),
    contentType: undefined,
    contentEncoding: undefined,
    queryCompression: undefined,
    ...source,
  });
  if (payload.kind === 'fault') return payload.code;
  if (payload.kind === 'gzip') return 'gzip';
  const text = toText(payload.bytes, false);
  return Buffer.isBuffer(text) ? text.toString() : text.code;
}

describe('payload', () => {
  it.each<[string, Partial<PayloadSource>, string]>([
    ['plain JSON (2.2)', { body: Buffer.from(JSON_TEXT) }, JSON_TEXT],
    ['query data wins over the body (2.2)', { data: JSON_TEXT, body: Buffer.from('x') }, JSON_TEXT],
    ['nothing at all (2.2)', {}, 'missing_payload'],
    ['standard base64 (2.3)', { body: Buffer.from(standard) }, JSON_TEXT],
    ['URL-safe, unpadded base64 (design 4)', { data: urlSafe }, JSON_TEXT],
    ['base64 that ends in a newline (design 4)', { body: Buffer.from(`${standard}\n`) }, JSON_TEXT],
    ['a plus turned into a space (design 4)', { data: standard.replaceAll('+', ' ') }, JSON_TEXT],
    ['base64 twice (2.4)', { body: Buffer.from(Buffer.from(standard).toString('base64')) }, JSON_TEXT],
    ['gzip by its first bytes (2.5)', { body: gzipSync(JSON_TEXT) }, 'gzip'],
    ['gzip by hint (2.5)', { body: gzipSync(JSON_TEXT), queryCompression: 'GZIP-JS' }, 'gzip'],
    ['base64 of gzip (2.3)', { data: gzipSync(JSON_TEXT).toString('base64') }, 'gzip'],
    ['a gzip hint on a plain body (design 4)', { body: Buffer.from(JSON_TEXT), contentEncoding: 'gzip' }, JSON_TEXT],
    [
      'a form with JSON (2.6)',
      { body: Buffer.from(`data=${encodeURIComponent(JSON_TEXT)}`), contentType: FORM },
      JSON_TEXT,
    ],
    [
      'a form with base64, spaces for pluses (2.6)',
      { body: Buffer.from(`ip=1&data=${standard}`), contentType: FORM },
      JSON_TEXT,
    ],
    [
      'a form whose type has a charset (design 4)',
      { body: Buffer.from(`data=${encodeURIComponent(standard)}`), contentType: `${FORM}; charset=UTF-8` },
      JSON_TEXT,
    ],
    [
      'a form wrapped in base64 (2.6)',
      { body: Buffer.from(Buffer.from(`data=${encodeURIComponent(JSON_TEXT)}`).toString('base64')), contentType: FORM },
      JSON_TEXT,
    ],
    ['a form type without a form (2.6)', { body: Buffer.from(JSON_TEXT), contentType: FORM }, 'invalid_form'],
    ['data given twice (2.6)', { body: Buffer.from('data=a&data=b'), contentType: FORM }, 'invalid_form'],
    ['bytes that are no UTF-8 (2.7)', { body: Buffer.from([0x7b, 0xff, 0x7d]) }, 'invalid_encoding'],
  ])('%s', (_name, source, expected) => {
    expect(textOf(source)).toBe(expected);
  });

  it('unwraps every base64 spelling of any bytes', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 100 }),
        fc.constantFrom('base64', 'base64url' as const),
        (bytes, spelling) => {
          const wrapped = Buffer.from(Buffer.from(bytes).toString(spelling));
          expect(unwrapBase64(wrapped)).toEqual(Buffer.from(bytes));
        },
      ),
    );
  });

  it('does not take megabytes of spaces for base64', () => {
    expect(unwrapBase64(Buffer.alloc(8 << 20, 0x20))).toBeUndefined();
    const spaced = Buffer.alloc(8 << 20, 0x20);
    spaced[0] = 0x41;
    expect(unwrapBase64(spaced)?.length).toBe(6 << 20);
  });

  it('never takes JSON for base64', () => {
    fc.assert(
      fc.property(fc.oneof(fc.dictionary(fc.string(), fc.jsonValue()), fc.array(fc.jsonValue())), (value) => {
        expect(unwrapBase64(Buffer.from(JSON.stringify(value)))).toBeUndefined();
      }),
    );
  });
});
