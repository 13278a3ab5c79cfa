import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { KeyPatterns } from './key-patterns.ts';
import { isPattern } from './privacy-policy.ts';

describe('a pattern', () => {
  it.each<[pattern: string, key: string, path: string, isMatch: boolean]>([
    ['password', 'password', 'password', true],
    ['password', 'PassWord', 'PassWord', true],
    ['PASSWORD', 'password', 'password', true],
    ['password', 'passwords', 'passwords', false],
    ['*password*', 'my_password_2', 'my_password_2', true],
    ['*_token', 'api_token', 'api_token', true],
    ['*_token', 'api_tokens', 'api_tokens', false],
    ['card*', 'cardNumber', 'cardNumber', true],
    ['*', '', '', true],
    ['c?rd*n*r', 'Card_Number', 'Card_Number', true],
    ['c?rd*n*r', 'crd_number', 'crd_number', false],
    ['a*b*c', 'a-bb-bc-bc', 'x', true],
    ['a*b*c', 'a-bb-bc-bd', 'x', false],
    ['$set.email', 'email', '$set.email', true],
    ['$set.email', 'email', 'email', false],
    ['$set.email', '$set.email', '$set.email', true],
    ['*.email', 'email', 'user.email', true],
    ['*.email', 'email', 'email', false],
    ['user.*', 'x', 'user.x', true],
    ['a.b', 'a.b', 'z.a.b', true],
    ['[x]', '[x]', '[x]', true],
    ['x+', 'xx', 'xx', false],
    ['straße', 'STRAßE', 'x', true],
    ['é*', 'ÉTÉ', 'x', true],
  ])('%s and the key %s at %s', (pattern, key, path, isMatch) => {
    expect(new KeyPatterns([pattern]).matches(key, path)).toBe(isMatch);
  });

  it('matches what the same glob as a regular expression matches', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?'), minLength: 1, maxLength: 8 });
    const keys = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 10 });
    fc.assert(
      fc.property(letters, keys, (pattern, key) => {
        const expected = new RegExp(`^${pattern.replaceAll('*', '.*').replaceAll('?', '.')}$`).test(key);
        expect(new KeyPatterns([pattern]).matches(key, key)).toBe(expected);
      }),
      { numRuns: 3_000 },
    );
  });

  it('counts a key or path that is too long to compare as a match', () => {
    expect(new KeyPatterns(['x']).matches('a'.repeat(1_000), 'a')).toBe(false);
    expect(new KeyPatterns(['x']).matches('a'.repeat(1_001), 'a')).toBe(true);
    expect(new KeyPatterns(['x.y']).matches('a', 'a'.repeat(1_001))).toBe(true);
    expect(new KeyPatterns(['x']).matches('a', 'a'.repeat(1_001))).toBe(false);
  });

  it('costs no more than the product of both lengths', () => {
    const startedMs = performance.now();
    const patterns = new KeyPatterns([`${'a*'.repeat(45)}b`]);
    for (let i = 0; i < 100; i++) patterns.matches(`${'a'.repeat(990)}${i}`, '');
    expect(performance.now() - startedMs).toBeLessThan(2_000);
  });

  it.each(['', ' a', 'a ', 'a\nb', '\u0000', 'a'.repeat(101)])('%j is none', (text) => {
    expect(isPattern(text)).toBe(false);
  });

  it.each(['a', '*', 'first name', '$set.email', 'a'.repeat(100), 'clé'])('%j is one', (text) => {
    expect(isPattern(text)).toBe(true);
  });
});
