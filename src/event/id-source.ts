import { createHash, randomBytes, randomFillSync } from 'node:crypto';

/** The only place that draws random numbers. */
export interface IdSource {
  /** Writes a UUID v7 whose time part is `timeMs`, floored at 1970, into `into[at, at + 16)`. */
  writeUuidV7(timeMs: number, into: Uint8Array, at: number): void;
  /** `byteLength` random bytes as URL-safe text, for keys. */
  secret(byteLength: number): string;
}

const POOL_BYTES = 8192;
const MAX_V7_TIME_MS = 2 ** 48 - 1;

/** Draws from a pool of random bytes, since one system call an event costs more than the event. */
export class RandomIds implements IdSource {
  readonly #pool = Buffer.allocUnsafeSlow(POOL_BYTES);
  #used = POOL_BYTES;

  writeUuidV7(timeMs: number, into: Uint8Array, at: number): void {
    if (this.#used + 10 > POOL_BYTES) {
      randomFillSync(this.#pool);
      this.#used = 0;
    }
    const time = Math.min(Math.max(Math.floor(timeMs), 0), MAX_V7_TIME_MS);
    const high = Math.floor(time / 0x1_0000_0000);
    const low = time >>> 0;
    into[at] = high >>> 8;
    into[at + 1] = high;
    into[at + 2] = low >>> 24;
    into[at + 3] = low >>> 16;
    into[at + 4] = low >>> 8;
    into[at + 5] = low;
    for (let i = 0; i < 10; i++) into[at + 6 + i] = this.#pool[this.#used + i] ?? 0;
    this.#used += 10;
    into[at + 6] = ((into[at + 6] ?? 0) & 0x0f) | 0x70;
    into[at + 8] = ((into[at + 8] ?? 0) & 0x3f) | 0x80;
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
