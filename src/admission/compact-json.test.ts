import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compactJson, MAX_UNITS } from './compact-json.ts';

function compact(json: string): string {
  const body = Buffer.from(`x${json}x`);
  return compactJson(body, 1, body.length - 1);
}

/** The same by way of objects. */
function slowly(value: unknown): string {
  if (typeof value === 'number') {
    const size = Math.abs(value);
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) return String(value);
    if (Object.is(value, -0)) return '0'; // as JSON.stringify writes it
    if (size >= 1e16 || size < 1e-5) return value.toExponential().replace('e+', 'e');
    return Number.isInteger(value) ? `${value}.0` : String(value);
  }
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(slowly).join(',')}]`;
  const members = Object.entries(value).sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return `{${members.map(([key, inner]) => `${JSON.stringify(key)}:${slowly(inner)}`).join(',')}}`;
}

const firstUnits = (text: string): string => text.slice(0, MAX_UNITS);
const json = fc
  .jsonValue({ maxDepth: 6, stringUnit: 'binary' })
  .filter((value) => !JSON.stringify(value).includes('e+') && !/[1-9]\d{16}/.test(JSON.stringify(value))); // whole numbers beyond 2^53: JSON.stringify has lost whether they were integers

describe('compact JSON', () => {
  it('begins as the whole would, for any value and any spaces', () => {
    fc.assert(
      fc.property(json, fc.constantFrom(undefined, ' ', '\t', 3), (value, space) => {
        const ours = compact(JSON.stringify(value, undefined, space));
        expect(firstUnits(ours)).toBe(firstUnits(slowly(value)));
      }),
      { numRuns: 2_000 },
    );
  });

  it('sorts and cuts objects of many keys', () => {
    fc.assert(
      fc.property(
        fc.dictionary(fc.string({ unit: 'binary', maxLength: 4 }), fc.integer(), { minKeys: 50, maxKeys: 400 }),
        (value) => {
          expect(firstUnits(compact(JSON.stringify(value)))).toBe(firstUnits(slowly(value)));
        },
      ),
      { numRuns: 200 },
    );
  });

  it.each([
    ['{"a":1,"a":2,"b":3,"a":4}', '{"a":4,"b":3}'],
    ['{"__proto__":1,"constructor":2}', '{"__proto__":1,"constructor":2}'],
    ['[1.50,-0,1e3,1e-7,1E+2,18446744073709551616]', '[1.5,-0.0,1000.0,1e-7,100.0,1.8446744073709552e19]'],
    ['"\\u00e9\\/"', '"é/"'],
    [' [ ] ', '[]'],
    [' { } ', '{}'],
    ['[{"b":[],"a":{}}]', '[{"a":{},"b":[]}]'],
  ])('%s becomes %s', (text, expected) => {
    expect(compact(text)).toBe(expected);
  });

  it.each([
    ['numbers', `[${'1,'.repeat(4_000_000)}1]`],
    ['keys that fall', `{${Array.from({ length: 600_000 }, (_, i) => `"${1_000_000 - i}":1`).join(',')}}`],
    ['one long text', `["${'\\n'.repeat(4_000_000)}"]`],
    ['levels that each hold much', `${'[0,'.repeat(120)}${'1,'.repeat(3_900_000)}1${']'.repeat(120)}`],
    ['brackets', `[${'[],'.repeat(2_700_000)}1]`],
  ])('8 MiB of %s cost no more than their bytes', (_name, text) => {
    const startedMs = performance.now();
    expect(compact(text).length).toBeGreaterThan(MAX_UNITS - 10);
    expect(performance.now() - startedMs).toBeLessThan(3_000); // as objects: 4 s and more
  });
});
