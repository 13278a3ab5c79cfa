import fc from 'fast-check';
import lzString from 'lz-string';
import { describe, expect, it } from 'vitest';
import { lzBomb } from '../../../test/vectors/lz-bomb.ts';
import { isLzStringText, LzStringDecoder } from './lz-string.ts';

const MIB = 1 << 20;

/** The text, or the code and detail of the refusal. */
function decode(text: string, options: { readonly maxBytes?: number; readonly budget?: number } = {}): string {
  const decoder = new LzStringDecoder(Buffer.from(text, 'latin1'), options.maxBytes ?? 100 * MIB);
  for (;;) {
    const result = decoder.advance(options.budget ?? 1_000);
    if (result === 'more') continue;
    return Buffer.isBuffer(result) ? result.toString('utf8') : `${result.code}: ${result.detail}`;
  }
}

const REFUSED = /^invalid_encoding: failed to decode request: decompress_lz64: failed decompress to UTF16/;
const LONE = /^invalid_encoding: failed to decode request: decompress_lz64: failed UTF16 to UTF8 conversion/;

const units = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc.json(),
  // Few letters, often repeated: long entries, and the entry that is used in the step that makes it.
  fc.string({ unit: fc.constantFrom('a', 'é', '😀', '漢', '힟', '\0'), maxLength: 400 }),
);

describe('LZ-string (protocol.md 2.5)', () => {
  it('reads fixed texts of the library', () => {
    expect(decode('N4IghiBcCMC+Q===')).toBe('{"a":1}');
    expect(decode('Q===')).toBe('');
  });

  it('reads whatever compressToBase64 writes, astral characters too, in shares of any size', () => {
    fc.assert(
      fc.property(units, fc.integer({ min: 1, max: 50 }), (text, budget) => {
        const packed = lzString.compressToBase64(text);
        expect(isLzStringText(Buffer.from(packed))).toBe(true);
        expect(decode(packed, { budget })).toBe(text);
      }),
      { numRuns: 2_000 },
    );
  });

  it('reads texts long enough for codes of many bits', () => {
    let seed = 7;
    const next = (): number => (seed = (seed * 48_271) % 2_147_483_647);
    const text = Array.from({ length: 300_000 }, () => String.fromCodePoint(32 + (next() % 700))).join('');
    expect(decode(lzString.compressToBase64(text)) === text).toBe(true);
  });

  it('takes spaces for pluses, and passes over line breaks at the end', () => {
    const text = JSON.stringify(Array.from({ length: 200 }, (_, i) => `item ${i * i}`));
    const packed = lzString.compressToBase64(text);
    expect(packed).toContain('+');
    expect(decode(`${packed.replaceAll('+', ' ')}\r\n`)).toBe(text);
  });

  it('says for garbage of the alphabet what the library says, and never more', () => {
    const alphabet = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'];
    const garbage = fc.oneof(
      fc.string({ unit: fc.constantFrom(...alphabet), minLength: 1, maxLength: 80 }),
      fc.tuple(units, fc.nat(), fc.constantFrom(...alphabet)).map(([text, at, char]) => {
        const packed = lzString.compressToBase64(text).replaceAll('=', '');
        const place = at % (packed.length + 1);
        return packed.slice(0, place) + char + packed.slice(place + 1);
      }),
    );
    fc.assert(
      fc.property(garbage, (text) => {
        const ours = decode(text);
        if (first2Bits(text) === 3) {
          expect(ours).toMatch(REFUSED); // the library throws
          return;
        }
        const theirs: string | null = lzString.decompressFromBase64(text);
        // Null: a code that names nothing. Empty: the end is missing.
        if (theirs === null || theirs === '') {
          expect(ours === '' || REFUSED.test(ours)).toBe(true);
          return;
        }
        // Where the text is cut short the library lends the last code zero bits; we do not guess.
        const whole = REFUSED.test(ours) ? decode(`${text}A`) : ours;
        if (isWellFormed(theirs)) expect(whole).toBe(theirs);
        else expect(whole).toMatch(LONE);
      }),
      { numRuns: 5_000 },
    );
  });

  it('answers a text or a refusal for any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const result = new LzStringDecoder(Buffer.from(bytes), 1_000).advance(1_000_000);
        expect(result === 'more' || Buffer.isBuffer(result) || result.kind === 'fault').toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  it.each(['', '=', 'A', 'N4Ig', 'N4IghiBcCMC+', 'N4IghiBc!CMC+Q===', '{"event":"e"}', 'Ng'])('refuses %j', (text) => {
    expect(decode(text)).toMatch(REFUSED);
  });

  it.each(['\ud83d', 'a\udc00b', '\ude00\ud83d', '\ud83d\ud83d\ude00', '😀\ud83d'])(
    'refuses a half of a pair: %j',
    (text) => {
      expect(decode(lzString.compressToBase64(text))).toMatch(LONE);
    },
  );

  it.each([
    ['ASCII', 'ab'.repeat(5_000)],
    ['two bytes', 'éü'.repeat(2_500)],
    ['three bytes', '漢a字'.repeat(1_000)],
    ['four bytes', '😀🦔'.repeat(1_250)],
  ])('takes %s of exactly the cap, and refuses one byte more', (_name, text) => {
    const packed = lzString.compressToBase64(text);
    const bytes = Buffer.byteLength(text);
    expect(decode(packed, { maxBytes: bytes }) === text).toBe(true);
    expect(decode(packed, { maxBytes: bytes + 1 }) === text).toBe(true);
    expect(decode(packed, { maxBytes: bytes - 1 })).toBe(
      `payload_too_large: maximum event size exceeded: Decompressed LZ64 payload would exceed ${bytes - 1} bytes. Send fewer events a request.`,
    );
  });
});

function isWellFormed(text: string): boolean {
  return Buffer.from(text, 'utf8').toString('utf8') === text;
}

function first2Bits(text: string): number {
  const value = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'.indexOf(text.charAt(0));
  return (value >> 5) | (((value >> 4) & 1) << 1);
}

describe('a bomb', () => {
  it('is a text that the library reads too', () => {
    expect(lzString.decompressFromBase64(lzBomb(50))).toBe('a'.repeat(51 + (50 * 51) / 2));
    expect(decode(lzBomb(50))).toBe('a'.repeat(51 + (50 * 51) / 2));
  });

  it('of 20 MiB is refused for what its cap costs', () => {
    const text = Buffer.alloc(20 * MIB, lzBomb(20_000));
    const startedMs = performance.now();
    const before = process.memoryUsage().arrayBuffers;
    const decoder = new LzStringDecoder(text, 100 * MIB);
    let peak = 0;
    let result: ReturnType<LzStringDecoder['advance']>;
    do {
      result = decoder.advance(1 << 20);
      peak = Math.max(peak, process.memoryUsage().arrayBuffers - before);
    } while (result === 'more');
    expect(result).toMatchObject({ code: 'payload_too_large' });
    expect(performance.now() - startedMs).toBeLessThan(4_000);
    expect(peak).toBeLessThan(300 * MIB);
  });

  it('of literals alone costs a bounded time and memory', () => {
    // Each literal makes two entries: the most that a byte of input can ask for.
    const text = lzString.compressToBase64(Array.from({ length: 65_536 }, (_, i) => String.fromCharCode(i)).join(''));
    const startedMs = performance.now();
    expect(decode(text)).toMatch(LONE);
    expect(performance.now() - startedMs).toBeLessThan(4_000);
  });
});
