import type { AppendReceipt, AppendRefusal, RecordBatch, StreamId } from '../log.ts';
import type { AlignedMemory, PlainMemory } from './aligned-memory.ts';
import { BLOCK_BYTES, FRAME_HEADER_BYTES, frameBytesFor, sealFrame, type FrameKey } from './layout.ts';

/**
 * The appends that share one write: their frames, one behind the other, and who waits for them.
 *
 * Headers are written when the group is sealed and not as it fills: the group before it may still be refused, and then
 * this one takes its sequence numbers, in another segment with another key.
 *
 * What goes to the disk are whole blocks: those of the frames, with the end of the group before it in front (`lead`) and
 * zeros behind. Rewriting that end risks nothing: a sector has the same bytes before and after.
 */
export class FrameGroup {
  readonly #memory: AlignedMemory | PlainMemory;
  /** `kept`: its memory may be written past the page cache. `once`: it may not. */
  readonly use: 'kept' | 'once';
  #usedBytes = 0;
  /** Where the first frame lies in the memory: as far behind a block's start as in the file. */
  #lead = 0;
  #recordCount = 0;
  /** When its first frame came, monotonic ms; the writer's to set. */
  firstAtMs = 0;
  // Parallel arrays, kept between groups: an object for each append would be a third of what it allocates.
  readonly #payloadBytes: number[] = [];
  readonly #counts: number[] = [];
  readonly #resolvers: ((outcome: AppendReceipt | AppendRefusal) => void)[] = [];
  readonly #takeResolver = (resolve: (outcome: AppendReceipt | AppendRefusal) => void): void => {
    this.#resolvers.push(resolve);
  };

  constructor(memory: AlignedMemory | PlainMemory, use: 'kept' | 'once') {
    this.#memory = memory;
    this.use = use;
  }

  /** Of its frames. */
  get usedBytes(): number {
    return this.#usedBytes;
  }

  get frameCount(): number {
    return this.#counts.length;
  }

  get recordCount(): number {
    return this.#recordCount;
  }

  /** What goes to the disk, once sealed: whole blocks, from the block in which the first frame lies. */
  get blocks(): Buffer {
    return this.#memory.bytes.subarray(0, blockEnd(this.#lead + this.#usedBytes));
  }

  /** The end of what is in the file now, from the start of its last block. Valid until the group is emptied. */
  get tail(): Buffer {
    const end = this.#lead + this.#usedBytes;
    return this.#memory.bytes.subarray(end - (end % BLOCK_BYTES), end);
  }

  /** @param position where the group will probably lie in the file: that saves moving it when it is sealed */
  expect(position: number): void {
    if (this.#usedBytes === 0) this.#lead = position % BLOCK_BYTES;
  }

  /** Copies the batch. @returns settled by `acknowledge` or `refuse` */
  add(batch: RecordBatch): Promise<AppendReceipt | AppendRefusal> {
    const usedBytes = this.#usedBytes + frameBytesFor(batch.bytes.length);
    const at = this.#lead + this.#usedBytes;
    const end = this.#lead + usedBytes;
    const neededBytes = blockEnd(end) + BLOCK_BYTES;
    if (neededBytes > this.#memory.bytes.length)
      this.#memory.grow(Math.max(neededBytes, 2 * this.#memory.bytes.length));
    const { bytes } = this.#memory;
    bytes.set(batch.bytes, at + FRAME_HEADER_BYTES);
    for (let padding = at + FRAME_HEADER_BYTES + batch.bytes.length; padding < end; padding++) bytes[padding] = 0;
    this.#usedBytes = usedBytes;
    this.#recordCount += batch.count;
    this.#payloadBytes.push(batch.bytes.length);
    this.#counts.push(batch.count);
    return new Promise(this.#takeResolver);
  }

  /**
   * Numbers the frames from `firstSequence` and writes their headers.
   *
   * @param before what lies in the file between the start of the block and the first frame
   */
  seal(firstSequence: number, key: FrameKey, before: Buffer): void {
    const { bytes } = this.#memory;
    if (before.length !== this.#lead) bytes.copyWithin(before.length, this.#lead, this.#lead + this.#usedBytes);
    this.#lead = before.length;
    before.copy(bytes);
    const end = this.#lead + this.#usedBytes;
    bytes.fill(0, end, blockEnd(end));
    let at = this.#lead;
    let sequence = firstSequence;
    for (let i = 0; i < this.#counts.length; i++) {
      const payloadBytes = this.#payloadBytes[i] ?? 0;
      const count = this.#counts[i] ?? 0;
      const frame = { payloadBytes, count, firstSequence: sequence, groupFirstSequence: firstSequence };
      sealFrame(bytes, at, frame, key);
      at += frameBytesFor(payloadBytes);
      sequence += count;
    }
  }

  /** Hands out receipts, in the order of the appends, and empties the group. */
  acknowledge(stream: StreamId, firstSequence: number): void {
    let sequence = firstSequence;
    for (let i = 0; i < this.#counts.length; i++) {
      const count = this.#counts[i] ?? 0;
      this.#resolvers[i]?.({ kind: 'receipt', stream, firstSequence: sequence, count });
      sequence += count;
    }
    this.#clear();
  }

  refuse(refusal: AppendRefusal): void {
    for (const resolve of this.#resolvers) resolve(refusal);
    this.#clear();
  }

  #clear(): void {
    this.#usedBytes = 0;
    this.#recordCount = 0;
    this.#payloadBytes.length = 0;
    this.#counts.length = 0;
    this.#resolvers.length = 0;
  }
}

function blockEnd(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
}
