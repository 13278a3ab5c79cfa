import { createHash, randomBytes, randomFillSync } from 'node:crypto';

/** The only place that draws random numbers. */
export interface IdSource {
  /** Writes a UUID v7 whose time part is `timeMs`, floored at 1970, into `into[at, at + 16)`. */
  writeUuidV7(timeMs: number, into: Uint8Array, at: number): void;
  /** The same as four big-endian signed 32-bit numbers, for the hot path. */
  fillUuidV7(timeMs: number, words: Int32Array): void;
  /** `byteLength` random bytes as URL-safe text, for keys. */
  secret(byteLength: number): string;
}

const POOL_WORDS = 4096;
const WORDS_PER_UUID = 3;
const MAX_V7_TIME_MS = 2 ** 48 - 1;

/** Draws from a pool of random numbers, since one system call an event costs more than the event. */
export class RandomIds implements IdSource {
  readonly #pool = new Int32Array(POOL_WORDS);
  readonly #words = new Int32Array(4);
  #used = POOL_WORDS;

  writeUuidV7(timeMs: number, into: Uint8Array, at: number): void {
    this.fillUuidV7(timeMs, this.#words);
    for (let i = 0; i < 16; i++) into[at + i] = (this.#words[i >> 2] ?? 0) >>> (24 - 8 * (i & 3));
  }

  fillUuidV7(timeMs: number, words: Int32Array): void {
    if (this.#used + WORDS_PER_UUID > POOL_WORDS) {
      randomFillSync(this.#pool);
      this.#used = 0;
    }
    const pool = this.#pool;
    const time = Math.min(Math.max(Math.floor(timeMs), 0), MAX_V7_TIME_MS);
    words[0] = Math.floor(time / 0x1_0000);
    words[1] = ((time % 0x1_0000) << 16) | 0x7000 | ((pool[this.#used] as number) & 0x0fff);
    words[2] = ((pool[this.#used + 1] as number) & 0x3fff_ffff) | 0x8000_0000;
    words[3] = pool[this.#used + 2] as number;
    this.#used += WORDS_PER_UUID;
  }

  secret(byteLength: number): string {
    return randomBytes(byteLength).toString('base64url');
  }
}

/** The UUID v5 of `name` in `namespace` (RFC 9562 5.5): 16 bytes. */
export function uuidV5(namespace: Uint8Array, name: string): Uint8Array {
  const digest = createHash('sha1').update(namespace).update(name).digest();
  const bytes = Uint8Array.from(digest.subarray(0, 16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x50;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  return bytes;
}
