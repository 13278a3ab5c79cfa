import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BadJson, JsonScanner } from './json-scanner.ts';

function isAccepted(text: string): boolean {
  const scanner = new JsonScanner();
  scanner.reset(Buffer.from(text));
  try {
    scanner.value();
    scanner.skipSpace();
  } catch (error) {
    if (error instanceof BadJson) return false;
    throw error;
  }
  return scanner.at === scanner.text.length;
}

/** What JSON.parse takes but the protocol refuses (protocol.md 2.7). */
function isBeyondProtocol(value: unknown, depth = 1): boolean {
  if (typeof value === 'number') return !Number.isFinite(value);
  if (typeof value === 'string') return /\p{Surrogate}/u.test(value);
  if (value === null || typeof value !== 'object') return false;
  if (depth > 127) return true;
  return Object.entries(value).some(
    ([key, inner]) => isBeyondProtocol(key, depth) || isBeyondProtocol(inner, depth + 1),
  );
}

function parses(text: string): boolean {
  try {
    return !isBeyondProtocol(JSON.parse(text));
  } catch {
    return false;
  }
}

describe('JsonScanner', () => {
  it('accepts every JSON value that JSON.stringify writes, with any spacing', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(undefined, 1, '\t'), (value, space) => {
        const text = JSON.stringify(value, null, space);
        expect(isAccepted(text)).toBe(parses(text));
      }),
      { numRuns: 500 },
    );
  });

  it('agrees with JSON.parse on mutated JSON', () => {
    const bytes = fc.constantFrom(...'{}[]",:\\u0e+-. \n\ttfn19aé\u0001d8');
    fc.assert(
      fc.property(fc.jsonValue(), fc.nat(), bytes, fc.nat(2), (value, place, byte, cut) => {
        const text = JSON.stringify(value);
        const at = place % (text.length + 1);
        const mutated = text.slice(0, at) + byte + text.slice(at + cut);
        expect({ mutated, accepted: isAccepted(mutated) }).toEqual({ mutated, accepted: parses(mutated) });
      }),
      { numRuns: 3000 },
    );
  });

  it.each([
    ['{"a":1,}', false],
    ["{'a':1}", false],
    ['[NaN]', false],
    ['[01]', false],
    ['[1.]', false],
    ['[.5]', false],
    ['[-]', false],
    ['[1e]', false],
    ['[1E400]', false],
    ['[-1e400]', false],
    [`[${'9'.repeat(309)}]`, false],
    [`[1${'0'.repeat(308)}]`, true],
    ['[1e-400]', true],
    [String.raw`["\ud83d"]`, false],
    [String.raw`["\ude00\ud83d"]`, false],
    [String.raw`["\ud83d\u0041"]`, false],
    [String.raw`["\ud83d\ude00"]`, true],
    [String.raw`["\u0000"]`, true],
    [String.raw`["\x"]`, false],
    ['["\u0001"]', false],
    ['"', false],
    ['', false],
    ['[1] 2', false],
    ['[18446744073709551616]', true],
    ['['.repeat(127) + ']'.repeat(127), true],
    ['['.repeat(128) + ']'.repeat(128), false],
    ['{"a":'.repeat(127) + '1' + '}'.repeat(127), true],
    ['{"a":'.repeat(128) + '1' + '}'.repeat(128), false],
  ])('%s is accepted: %s (protocol.md 2.7)', (text, accepted) => {
    expect(isAccepted(text)).toBe(accepted);
  });

  it('never throws anything but BadJson, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const scanner = new JsonScanner();
        scanner.reset(Buffer.from(bytes));
        try {
          scanner.value();
        } catch (error) {
          expect(error).toBeInstanceOf(BadJson);
        }
      }),
      { numRuns: 2000 },
    );
  });
});
