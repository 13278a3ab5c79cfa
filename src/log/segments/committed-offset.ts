/**
 * The file `committed`: the first sequence number that the consumer still needs.
 *
 * Guarantees
 *   G1  `commit` returns once the number is on the medium; nothing is let go of before.
 *   G2  A torn write leaves the number before it: two slots are written in turn.
 * Failure  Where no slot checks it is 0, that is, the oldest record held: the consumer takes some records again, which
 *          its deduplication token and the uuid of each event make harmless.
 */
import { join } from 'node:path';
import { passKillPoint } from '../../config/kill-point.ts';
import { readAll, writeAll, type Disk } from './disk.ts';
import { COMMITTED_SLOT_BYTES, COMMITTED_SLOT_STRIDE, decodeCommittedSlot, encodeCommittedSlot } from './layout.ts';
import type { CommittedSlot } from './layout.ts';
import { openIfThere } from './segment-file.ts';

const FILE = 'committed';
const nothing: CommittedSlot = { generation: 0, sequence: 0 };

async function readNewestSlot(disk: Disk, fd: number): Promise<CommittedSlot> {
  let newest = nothing;
  for (const at of [0, COMMITTED_SLOT_STRIDE]) {
    const bytes = Buffer.alloc(COMMITTED_SLOT_BYTES);
    const read = await readAll(disk, fd, bytes, at);
    const slot = decodeCommittedSlot(bytes.subarray(0, read));
    if (slot !== undefined && slot.generation > newest.generation) newest = slot;
  }
  return newest;
}

/** For who does not commit: the writer, recovery. @returns 0 when nothing was committed. */
export async function readCommitted(disk: Disk, folder: string): Promise<number> {
  const fd = await openIfThere(disk, join(folder, FILE), 'read');
  if (fd === undefined) return 0;
  try {
    return (await readNewestSlot(disk, fd)).sequence;
  } finally {
    await disk.close(fd);
  }
}

/** The consumer's side; there is one consumer. */
export class CommittedOffset {
  readonly #disk: Disk;
  readonly #fd: number;
  #slot: CommittedSlot;
  /** A write failed: nobody knows whether the slot is on the medium. */
  #isDoubtful = false;

  private constructor(disk: Disk, fd: number, slot: CommittedSlot) {
    this.#disk = disk;
    this.#fd = fd;
    this.#slot = slot;
  }

  static async open(disk: Disk, folder: string): Promise<CommittedOffset> {
    const fd = await disk.open(join(folder, FILE), 'create_synced');
    try {
      await disk.syncFolder(folder);
      return new CommittedOffset(disk, fd, await readNewestSlot(disk, fd));
    } catch (error) {
      await disk.close(fd);
      throw error;
    }
  }

  get sequence(): number {
    return this.#slot.sequence;
  }

  /** Going back is no error and does nothing. */
  async commit(sequence: number): Promise<void> {
    if (sequence <= this.#slot.sequence && !this.#isDoubtful) return;
    const generation = this.#slot.generation + 1;
    const slot = { generation, sequence: Math.max(sequence, this.#slot.sequence) };
    passKillPoint('commit.before');
    try {
      await writeAll(this.#disk, this.#fd, encodeCommittedSlot(slot), (generation % 2) * COMMITTED_SLOT_STRIDE);
      passKillPoint('commit.written');
    } catch (error) {
      // It may be there all the same, in the page cache at least, and then the writer goes by it.
      this.#isDoubtful = true;
      this.#slot = await readNewestSlot(this.#disk, this.#fd).catch(() => this.#slot);
      throw error;
    }
    this.#isDoubtful = false;
    this.#slot = slot;
    passKillPoint('commit.after');
  }

  close(): Promise<void> {
    return this.#disk.close(this.#fd);
  }
}
