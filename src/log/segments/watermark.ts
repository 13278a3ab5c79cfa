/**
 * The file `durable`: how far readers, in other processes too, may go.
 *
 * Guarantees
 *   G1  Never ahead of what is durable: it is written after the synced write that it tells of.
 *   G2  After the death of the process it is exact, since the page cache keeps it. After a power cut it may lag, be torn
 *       or be missing; recovery writes it anew.
 * Order    synced write of the group -> this -> receipts.
 * Failure  A reader that meets a half-written one (the CRC does not hold) looks again.
 */
import { join } from 'node:path';
import type { Disk } from './disk.ts';
import { decodeWatermark, encodeWatermark, WATERMARK_BYTES, type Watermark } from './layout.ts';
import { openIfThere } from './segment-file.ts';

const FILE = 'durable';

export class WatermarkFile {
  readonly #disk: Disk;
  readonly #fd: number;
  readonly #bytes = Buffer.alloc(WATERMARK_BYTES);

  private constructor(disk: Disk, fd: number) {
    this.#disk = disk;
    this.#fd = fd;
  }

  /** For the holder of the stream's lock. */
  static async create(disk: Disk, folder: string): Promise<WatermarkFile> {
    return new WatermarkFile(disk, await disk.open(join(folder, FILE), 'create'));
  }

  /** @returns undefined when the stream has none yet. */
  static async openToRead(disk: Disk, folder: string): Promise<WatermarkFile | undefined> {
    const fd = await openIfThere(disk, join(folder, FILE), 'read');
    return fd === undefined ? undefined : new WatermarkFile(disk, fd);
  }

  /** Into the page cache only: 2 µs. @throws when the disk refuses. */
  note(watermark: Watermark): void {
    encodeWatermark(watermark, this.#bytes);
    this.#disk.writeNow(this.#fd, this.#bytes, 0);
  }

  sync(): Promise<void> {
    return this.#disk.sync(this.#fd);
  }

  /** @returns undefined when it does not check: absent, half-written or torn. */
  read(): Watermark | undefined {
    if (this.#disk.readNow(this.#fd, this.#bytes, 0) < WATERMARK_BYTES) return undefined;
    return decodeWatermark(this.#bytes);
  }

  close(): Promise<void> {
    return this.#disk.close(this.#fd);
  }
}
