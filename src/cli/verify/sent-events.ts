/** What became of each event that was sent, as far as the answers say. */

/**
 * `in_doubt`: sent, and no answer came, or one that asks to send it again. `refused`: bad on purpose, no answer yet;
 * `refusal_answered`: the server said that it keeps it as a rejection.
 */
export const fates = ['unsent', 'in_doubt', 'acknowledged', 'refused', 'refusal_answered'] as const;
export type Fate = (typeof fates)[number];

const FIRST_CAPACITY = 1 << 16;

export class SentEvents {
  #fates = new Uint8Array(FIRST_CAPACITY);
  #count = 0;
  readonly #counts: Record<Fate, number> = {
    unsent: 0,
    in_doubt: 0,
    acknowledged: 0,
    refused: 0,
    refusal_answered: 0,
  };

  /** Numbers given out so far: 0 up to this. */
  get count(): number {
    return this.#count;
  }

  /** The next number. */
  next(fate: 'in_doubt' | 'refused'): number {
    if (this.#count === this.#fates.length) {
      const larger = new Uint8Array(this.#fates.length * 2);
      larger.set(this.#fates);
      this.#fates = larger;
    }
    const n = this.#count++;
    this.#fates[n] = fates.indexOf(fate);
    this.#counts[fate]++;
    return n;
  }

  fateOf(n: number): Fate {
    return n < this.#count ? (fates[this.#fates[n] ?? 0] ?? 'unsent') : 'unsent';
  }

  settle(n: number, fate: 'acknowledged' | 'refusal_answered'): void {
    this.#counts[this.fateOf(n)]--;
    this.#fates[n] = fates.indexOf(fate);
    this.#counts[fate]++;
  }

  countOf(fate: Fate): number {
    return this.#counts[fate];
  }
}
