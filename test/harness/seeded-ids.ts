import type { IdSource } from '../../src/event/id-source.ts';
import type { SeededRandom } from './random.ts';

/** Ids that a seed gives again. */
export class SeededIds implements IdSource {
  readonly #random: SeededRandom;
  readonly #words = new Int32Array(4);

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  writeUuidV7(timeMs: number, into: Uint8Array, at: number): void {
    this.fillUuidV7(timeMs, this.#words);
    for (let i = 0; i < 16; i++) into[at + i] = (this.#words[i >> 2] ?? 0) >>> (24 - 8 * (i & 3));
  }

  fillUuidV7(timeMs: number, words: Int32Array): void {
    const time = Math.min(Math.max(Math.floor(timeMs), 0), 2 ** 48 - 1);
    words[0] = Math.floor(time / 0x1_0000);
    words[1] = ((time % 0x1_0000) << 16) | 0x7000 | this.#random.below(0x1000);
    words[2] = this.#random.below(0x4000_0000) | 0x8000_0000;
    words[3] = this.#random.below(0x1_0000_0000);
  }

  secret(byteLength: number): string {
    return Buffer.from(Array.from({ length: byteLength }, () => this.#random.below(256))).toString('base64url');
  }
}
