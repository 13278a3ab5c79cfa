/**
 * Divides a room of `maxBytes` among those who fill it, so that one who floods does not starve the others.
 *
 * Rule     While all together hold at most half of the room, everybody is let in. Beyond it, one who holds something is let
 *          in up to his share: the room divided by the holders and one more. Who holds nothing is always let in.
 *          So one alone gets half, two get a third each, and there is always room for one who comes anew.
 * Bounds   none of its own: whoever owns the room refuses what is too much altogether.
 * Cost     one look-up in a map, and no allocation for a holder that was seen lately.
 * Source   docs/limits.md. Proof: fair-shares.test.ts, test/crash/overload.test.ts.
 */

/** Those who hold nothing are remembered up to here: a sender that comes and goes must not cost an entry each time. */
const MAX_REMEMBERED_HOLDERS = 1_000;

interface Holding {
  bytes: number;
}

export class FairShares<Key> {
  readonly #maxBytes: number;
  readonly #holdings = new Map<Key, Holding>();
  #totalBytes = 0;
  /** Those that hold something. */
  #holders = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get totalBytes(): number {
    return this.#totalBytes;
  }

  /** Would `take` let `bytes` in? */
  hasRoom(key: Key, bytes: number): boolean {
    if (this.#totalBytes + bytes <= this.#maxBytes / 2) return true;
    const heldBytes = this.#holdings.get(key)?.bytes ?? 0;
    return heldBytes === 0 || heldBytes + bytes <= this.#maxBytes / (this.#holders + 1);
  }

  /** @returns whether they are held now; then `giveBack` them once */
  take(key: Key, bytes: number): boolean {
    if (bytes === 0) return true;
    if (!this.hasRoom(key, bytes)) return false;
    let holding = this.#holdings.get(key);
    if (holding === undefined) {
      holding = { bytes: 0 };
      this.#holdings.set(key, holding);
    }
    if (holding.bytes === 0) this.#holders += 1;
    holding.bytes += bytes;
    this.#totalBytes += bytes;
    return true;
  }

  giveBack(key: Key, bytes: number): void {
    const holding = this.#holdings.get(key);
    if (bytes === 0 || holding === undefined) return;
    holding.bytes -= bytes;
    this.#totalBytes -= bytes;
    if (holding.bytes > 0) return;
    this.#holders -= 1;
    if (this.#holdings.size > MAX_REMEMBERED_HOLDERS) this.#holdings.delete(key);
  }
}
