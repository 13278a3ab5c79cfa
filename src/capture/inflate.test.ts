import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import lzString from 'lz-string';
import { describe, expect, it } from 'vitest';
import { lzBomb } from '../../test/vectors/lz-bomb.ts';
import type { Fault } from '../errors.ts';
import { inflateGzip, LzStringInflater } from './inflate.ts';

const MAX_BYTES = 4 << 20;

/** The number of bytes that came out, when they are those of `expected`; or the code. */
async function inflated(bytes: Buffer, expected: Buffer, maxBytes = MAX_BYTES): Promise<number | string> {
  const result: Buffer | Fault = await inflateGzip(bytes, maxBytes);
  if (!Buffer.isBuffer(result)) return result.code;
  expect(result.equals(expected)).toBe(true);
  return result.length;
}

function shown(result: Buffer | Fault): string {
  return Buffer.isBuffer(result) ? result.toString() : result.code;
}

/** Inflated at once; in a thread since the output is large; in a thread since the input is. */
const texts: readonly [string, Buffer][] = [
  ['little', Buffer.from('{"event":"e"}')],
  ['nothing', Buffer.alloc(0)],
  ['much out of little', Buffer.alloc(3 << 20, 'abc')],
  ['much out of much', randomBytes(1 << 20)],
];

describe.each(texts)('gzip of %s', (_name, text) => {
  const packed = gzipSync(text);

  it('is inflated', async () => {
    expect(await inflated(packed, text)).toBe(text.length);
  });

  it.each<[string, Buffer]>([
    ['text', Buffer.from('behind')],
    ['zeros', Buffer.alloc(1000)],
    ['another member', gzipSync('behind')],
    ['another member of nothing', gzipSync('')],
    ['a member that is cut short', gzipSync('behind').subarray(0, 12)],
    ['its own length', packed.subarray(-4)],
  ])('with %s behind it is its first member (protocol.md 2.5)', async (what, behind) => {
    if (text.length === 0 && what === 'another member') return; // an empty member is passed over
    expect(await inflated(Buffer.concat([packed, behind]), text)).toBe(text.length);
  });

  it('is refused with a wrong checksum or length, or cut short', async () => {
    for (const at of [1, 4, 5, 8]) {
      const damaged = Buffer.from(packed);
      damaged[packed.length - at] = (damaged[packed.length - at] ?? 0) ^ 0xff;
      expect(await inflated(damaged, text)).toBe('invalid_encoding');
      expect(await inflated(Buffer.concat([damaged, Buffer.from('x')]), text)).toBe('invalid_encoding');
    }
    for (const end of [3, 10, 12, packed.length - 8, packed.length - 1]) {
      expect(await inflated(packed.subarray(0, end), text)).toBe('invalid_encoding');
    }
  });

  it('may have exactly the cap, and not a byte more', async () => {
    if (text.length === 0) return;
    expect(await inflated(packed, text, text.length)).toBe(text.length);
    expect(await inflated(packed, text, text.length + 1)).toBe(text.length);
    expect(await inflated(packed, text, text.length - 1)).toBe('payload_too_large');
    const behind = Buffer.concat([packed, Buffer.from('x')]);
    expect(await inflated(behind, text, text.length)).toBe(text.length);
    expect(await inflated(behind, text, text.length - 1)).toBe('payload_too_large');
  });
});

describe('LZ-string', () => {
  const large = JSON.stringify(Array.from({ length: 40_000 }, (_, i) => ({ event: `e${i}`, n: i * 7919 })));

  it('that is small is undone at once, that is large later', async () => {
    const inflater = new LzStringInflater(MAX_BYTES);
    expect(inflater.inflate(Buffer.from(lzString.compressToBase64('{}')))).toEqual(Buffer.from('{}'));
    const later = inflater.inflate(Buffer.from(lzString.compressToBase64(large)));
    expect(later).toBeInstanceOf(Promise);
    expect(shown(await later) === large).toBe(true);
  });

  it('lets timers run between its steps', async () => {
    const inflater = new LzStringInflater(100 << 20);
    let ticks = 0;
    const timer = setInterval(() => (ticks += 1), 1);
    await inflater.inflate(Buffer.from(lzString.compressToBase64(large.repeat(8))));
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(3);
  });

  it('waits in turn, a few at most, and goes on after refusals', async () => {
    const inflater = new LzStringInflater(MAX_BYTES);
    const body = Buffer.from(lzString.compressToBase64(large));
    const bomb = Buffer.from(lzBomb(10_000));
    const all = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => inflater.inflate(i % 2 === 0 ? body : bomb)),
    );
    const codes = all.map((result) => (Buffer.isBuffer(result) ? result.length : result.code));
    expect(codes.slice(0, 2)).toEqual([large.length, 'payload_too_large']);
    expect(codes.filter((code) => code === 'overloaded').length).toBeGreaterThan(0);
    expect(shown(await inflater.inflate(body)) === large).toBe(true);
  });
});
