import fc from 'fast-check';
import { gzipSync } from 'node:zlib';
import lzString from 'lz-string';
import { describe, expect, it } from 'vitest';
import { unwrapBase64 } from './base64-text.ts';
import { decodeForm, looksLikeForm } from './form.ts';
import { choosePayload, type PayloadSource, toText } from './payload.ts';

const JSON_TEXT = '{"event":"é","api_key":"k>>>???","distinct_id":"d"}';
const FORM = 'application/x-www-form-urlencoded';
const standard = Buffer.from(JSON_TEXT).toString('base64');
const urlSafe = Buffer.from(JSON_TEXT).toString('base64url');

const GZIP = `gzip: ${gzipSync(JSON_TEXT).length}`;
const LZ = lzString.compressToBase64(JSON_TEXT);

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
  if (payload.kind !== 'plain') return `${payload.kind}: ${payload.bytes.length}`;
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
    ['gzip by its first bytes (2.5)', { body: gzipSync(JSON_TEXT) }, GZIP],
    ['gzip by hint (2.5)', { body: gzipSync(JSON_TEXT), queryCompression: 'GZIP-JS' }, GZIP],
    ['base64 of gzip (2.3)', { data: gzipSync(JSON_TEXT).toString('base64') }, GZIP],
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
    ['LZ-string as the body (2.5)', { body: Buffer.from(LZ), queryCompression: 'lz64' }, `lz64: ${LZ.length}`],
    [
      'LZ-string in base64 (2.5)',
      { body: Buffer.from(Buffer.from(LZ).toString('base64')), queryCompression: 'lz64' },
      `lz64: ${LZ.length}`,
    ],
    [
      'LZ-string in a form (2.6)',
      { body: Buffer.from(`data=${encodeURIComponent(LZ)}&compression=LZ64`), contentType: FORM },
      `lz64: ${LZ.length}`,
    ],
    ['gzip goes before the hint lz64 (2.5)', { body: gzipSync(JSON_TEXT), queryCompression: 'lz64' }, GZIP],
    [
      'percent-encoded gzip in a form',
      {
        body: Buffer.from(
          `data=${[...gzipSync(JSON_TEXT)].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('')}`,
        ),
        contentType: FORM,
      },
      GZIP,
    ],
    ['data in the query with a form type (2.6)', { data: JSON_TEXT, contentType: FORM }, 'invalid_form'],
    ['a word that is base64 by chance', { body: Buffer.from('null') }, 'null'],
    [
      'bytes behind a gzip hint that are neither (2.7)',
      { body: Buffer.from([0x1f, 0x8b, 0xff]), contentEncoding: 'gzip' },
      'invalid_encoding',
    ],
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

  it('reads the fields of a form as URLSearchParams does', () => {
    const piece = fc.constantFrom(
      'data',
      'compression',
      'd%61ta',
      '=',
      '&',
      '%',
      '%2',
      '%zz',
      '%41',
      '+',
      'x',
      '%c3%a9',
      '%ff',
      ' ',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        const text = pieces.join('');
        const form = decodeForm(Buffer.from(text));
        const theirs = new URLSearchParams(text);
        const data = [...theirs].filter(([name]) => name === 'data');
        if (form.kind === 'fault') {
          expect(data.length).toBeGreaterThan(1);
        } else if (form.data !== undefined) {
          expect(form.data.toString()).toBe(data.find(([, value]) => value === form.data?.toString())?.[1]);
        } else {
          expect(data.every(([, value]) => value === '')).toBe(true);
        }
      }),
      { numRuns: 3_000 },
    );
  });

  it('walks 20 MiB of empty fields without a field of its own', () => {
    const startedMs = performance.now();
    expect(decodeForm(Buffer.alloc(20 << 20, '&'))).toMatchObject({ data: undefined });
    expect(decodeForm(Buffer.alloc(20 << 20, 'a=&'))).toMatchObject({ data: undefined });
    expect(decodeForm(Buffer.alloc(20 << 20, 'dada=&'))).toMatchObject({ data: undefined });
    expect(performance.now() - startedMs).toBeLessThan(5_000);
  });

  it.each([
    ['data=', true],
    ['a=1&data=x', true],
    [`${'a'.repeat(122)}&data=`, true],
    [`${'a'.repeat(123)}&data=`, false],
    ['xdata=', false],
    ['a=1;data=x', false],
    ['ver=1', false],
    ['', false],
  ])('%s looks like a form: %s (2.6)', (text, expected) => {
    expect(looksLikeForm(Buffer.from(text))).toBe(expected);
  });
});
