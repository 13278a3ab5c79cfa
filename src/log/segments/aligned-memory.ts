/**
 * Memory whose address is a multiple of a page, as O_DIRECT asks for. A Buffer's is not; that of a WebAssembly memory is,
 * and it grows in place, without a copy. It holds no code.
 *
 * Bounds   Meant to be made a few times and kept: the collector gives such memory back late, and each takes 10 GiB of
 *          address space (of which only what is used takes memory).
 */
const WASM_PAGE_BYTES = 1 << 16;

export class AlignedMemory {
  readonly #memory: WebAssembly.Memory;
  bytes: Buffer;

  /** @throws RangeError where the system grants no address space (`ulimit -v`) */
  constructor(bytes: number) {
    this.#memory = new WebAssembly.Memory({ initial: Math.ceil(bytes / WASM_PAGE_BYTES) });
    this.bytes = Buffer.from(this.#memory.buffer);
  }

  /** Keeps what is there. */
  grow(bytes: number): void {
    const missing = Math.ceil((bytes - this.bytes.length) / WASM_PAGE_BYTES);
    if (missing <= 0) return;
    this.#memory.grow(missing);
    this.bytes = Buffer.from(this.#memory.buffer);
  }
}

/** The same without the address. */
export class PlainMemory {
  bytes: Buffer;

  constructor(bytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(bytes);
  }

  grow(bytes: number): void {
    if (bytes <= this.bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(bytes);
    this.bytes.copy(larger);
    this.bytes = larger;
  }
}

/** @returns undefined where there is none to be had */
export function tryAlignedMemory(bytes: number): AlignedMemory | undefined {
  try {
    return new AlignedMemory(bytes);
  } catch {
    return undefined;
  }
}
