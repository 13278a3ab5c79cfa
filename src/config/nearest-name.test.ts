import { describe, expect, it } from 'vitest';
import { editDistance, nearestName } from './nearest-name.ts';

describe('the distance between two names', () => {
  const rows: readonly [a: string, b: string, edits: number][] = [
    ['', '', 0],
    ['', 'port', 4],
    ['port', 'port', 0],
    ['prot', 'port', 2],
    ['pot', 'port', 1],
    ['ports', 'port', 1],
    ['log-uri', 'log-url', 1],
    ['kitten', 'sitting', 3],
  ];
  for (const [a, b, edits] of rows) {
    it(`is ${edits} between "${a}" and "${b}", either way`, () => {
      expect([editDistance(a, b), editDistance(b, a)]).toEqual([edits, edits]);
    });
  }
});

describe('the nearest name', () => {
  it('takes the first of equals', () => expect(nearestName('ab', ['ax', 'ay'])).toBe('ax'));
  it('is none of none', () => expect(nearestName('ab', [])).toBeUndefined());
});
