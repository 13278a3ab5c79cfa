import { describe, expect, it } from 'vitest';
import { repairJson } from './json-repair.ts';

function repaired(text: string): string | undefined {
  const bytes = Buffer.from(`xx${text}yy`);
  const found = repairJson(bytes, 2, bytes.length - 2);
  return found === undefined ? undefined : Buffer.from(found).toString('utf8');
}

describe('repairJson', () => {
  it.each([
    ['{"a":18446744073709551615}'],
    ['{"a":-9223372036854775808}'],
    ['{"a":1.5e300,"b":[1,-2,0.5]}'],
    ['{"a":"18446744073709551616"}'],
    ['{"a":"\\"18446744073709551616"}'],
    ['{"18446744073709551616":"\\\\"}'],
    ['{"a":"\\ud83d\\ude00 \\u00e9 \\\\ud800"}'],
    ['{}'],
  ])('leaves %s as it is', (text) => {
    expect(repaired(text)).toBeUndefined();
  });

  it.each([
    ['{"a":18446744073709551616}', '{"a":1.8446744073709552e+19}'],
    ['{"a":-9223372036854775809,"b":1}', '{"a":-9.223372036854776e+18,"b":1}'],
    ['[1e400,-1e400]', '[1.7976931348623157e308,-1.7976931348623157e308]'],
    [`[${'9'.repeat(400)}]`, '[1.7976931348623157e308]'],
    ['{"a":"\\ud800"}', '{"a":"\\ufffd"}'],
    ['{"a":"\\ude00\\ud83d\\ude00\\ud83d\\ud83d"}', '{"a":"\\ufffd\\ud83d\\ude00\\ufffd\\ufffd"}'],
  ])('makes of %s what the engine takes', (text, expected) => {
    expect(repaired(text)).toBe(expected);
    expect(() => JSON.parse(expected) as unknown).not.toThrow();
  });
});
