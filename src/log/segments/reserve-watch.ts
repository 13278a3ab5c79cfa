import type { Disk } from './disk.ts';

/** Told apart from a failure: the volume still has some room, which is kept for everything else. */
export class NoRoom extends Error {
  readonly code = 'ENOSPC';

  constructor(folder: string, said: { readonly freeBytes: number; readonly neededBytes: number }) {
    super(`the disk of ${folder} is full: ${said.freeBytes} bytes are free, ${said.neededBytes} are needed`);
  }
}

/**
 * Whether the volume still has the room that is kept in reserve, as of the last look. The reserve is what the store needs
 * to take in what the log holds, and the registry and the rest of the machine to go on.
 */
export class ReserveWatch {
  readonly #disk: Disk;
  readonly #folder: string;
  readonly #reserveBytes: number;
  readonly #onShort: (cause: NoRoom) => void;
  #isShort = false;
  #isLooking = false;

  /** @param onShort called when it has become so, not again while it is */
  constructor(
    parts: { readonly disk: Disk; readonly folder: string; readonly reserveBytes: number },
    onShort: (cause: NoRoom) => void,
  ) {
    this.#disk = parts.disk;
    this.#folder = parts.folder;
    this.#reserveBytes = parts.reserveBytes;
    this.#onShort = onShort;
  }

  get isShort(): boolean {
    return this.#isShort;
  }

  /** Never rejects. A disk that does not answer leaves what was seen last, and is not asked again meanwhile. */
  async look(): Promise<void> {
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      const freeBytes = await this.#disk.freeBytes(this.#folder);
      const wasShort = this.#isShort;
      this.#isShort = freeBytes < this.#reserveBytes;
      if (this.#isShort && !wasShort)
        this.#onShort(new NoRoom(this.#folder, { freeBytes, neededBytes: this.#reserveBytes }));
    } catch {
      // a volume that cannot say how full it is will say so when it is written to
    } finally {
      this.#isLooking = false;
    }
  }
}
