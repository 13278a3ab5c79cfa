import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FairShares } from './fair-shares.ts';

/** Takes pieces of `pieceBytes` until refused. @returns what was taken */
function flood(shares: FairShares<string>, key: string, pieceBytes: number): number {
  let takenBytes = 0;
  while (takenBytes < 10_000 && shares.take(key, pieceBytes)) takenBytes += pieceBytes;
  return takenBytes;
}

describe('fair shares of 1,200 bytes', () => {
  it('give one alone half', () => {
    expect(flood(new FairShares(1_200), 'a', 10)).toBe(600);
  });

  it('give the second a third, whatever the first holds', () => {
    const shares = new FairShares<string>(1_200);
    flood(shares, 'a', 10);
    expect(flood(shares, 'b', 10)).toBe(400);
  });

  it('bring the first down to a third as well, once there are two', () => {
    const shares = new FairShares<string>(1_200);
    flood(shares, 'a', 10);
    flood(shares, 'b', 10);
    shares.giveBack('a', 250); // 350 of 400
    expect(flood(shares, 'a', 10)).toBe(50);
  });

  it('let in one who holds nothing, however large the piece', () => {
    const shares = new FairShares<string>(1_200);
    flood(shares, 'a', 10);
    expect(shares.take('b', 5_000)).toBe(true);
    expect(shares.take('b', 1)).toBe(false);
  });

  it('forget nobody who holds something, and keep no account of those who do not', () => {
    const shares = new FairShares<number>(1_200);
    for (let key = 0; key < 5_000; key++) {
      expect(shares.take(key, 1)).toBe(true);
      shares.giveBack(key, 1);
    }
    expect(shares.totalBytes).toBe(0);
    expect(shares.take(9_999, 600)).toBe(true);
    expect(shares.take(9_999, 1)).toBe(false);
  });

  it('hold what was taken and not given back, in any order', () => {
    const step = fc.record({ key: fc.nat(4), bytes: fc.integer({ min: 0, max: 400 }), isTake: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const shares = new FairShares<number>(1_200);
        const held = new Map<number, number[]>();
        for (const { key, bytes, isTake } of steps) {
          const own = held.get(key) ?? [];
          held.set(key, own);
          if (isTake) {
            const holdsNothing = own.every((piece) => piece === 0);
            const isIn = shares.take(key, bytes);
            if (holdsNothing) expect(isIn).toBe(true);
            if (isIn) own.push(bytes);
          } else {
            const piece = own.shift();
            if (piece !== undefined) shares.giveBack(key, piece);
          }
          const total = [...held.values()].flat().reduce((sum, piece) => sum + piece, 0);
          expect(shares.totalBytes).toBe(total);
        }
      }),
    );
  });
});
