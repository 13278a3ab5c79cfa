import type { AppendReceipt, AppendRefusal, RecordBatch, StreamId } from '../log.ts';
import { FRAME_HEADER_BYTES, frameBytesFor, sealFrame, type FrameKey } from './layout.ts';

const IDLE_BYTES = 1 << 20;

/**
 * The appends that share one write: their frames, one behind the other, and who waits for them.
 *
 * Headers are written when the group is sealed and not as it fills: the group before it may still be refused, and then
 * this one takes its sequence numbers, in another segment with another key.
 */
export class FrameGroup {
  #bytes: Buffer = Buffer.allocUnsafeSlow(IDLE_BYTES);
  #usedBytes = 0;
  #recordCount = 0;
  // Parallel arrays, kept between groups: an object for each append would be a third of what it allocates.
  readonly #payloadBytes: number[] = [];
  readonly #counts: number[] = [];
  readonly #resolvers: ((outcome: AppendReceipt | AppendRefusal) => void)[] = [];
  readonly #takeResolver = (resolve: (outcome: AppendReceipt | AppendRefusal) => void): void => {
    this.#resolvers.push(resolve);
  };

  get usedBytes(): number {
    return this.#usedBytes;
  }

  get recordCount(): number {
    return this.#recordCount;
  }

  /** What goes to the disk, once sealed. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#usedBytes);
  }

  /** Copies the batch. @returns settled by `acknowledge` or `refuse` */
  add(batch: RecordBatch): Promise<AppendReceipt | AppendRefusal> {
    const at = this.#usedBytes;
    const end = at + frameBytesFor(batch.bytes.length);
    if (end > this.#bytes.length) this.#grow(end);
    this.#bytes.set(batch.bytes, at + FRAME_HEADER_BYTES);
    for (let padding = at + FRAME_HEADER_BYTES + batch.bytes.length; padding < end; padding++) this.#bytes[padding] = 0;
    this.#usedBytes = end;
    this.#recordCount += batch.count;
    this.#payloadBytes.push(batch.bytes.length);
    this.#counts.push(batch.count);
    return new Promise(this.#takeResolver);
  }

  /** Numbers the frames from `firstSequence` and writes their headers. */
  seal(firstSequence: number, key: FrameKey): void {
    let at = 0;
    let sequence = firstSequence;
    for (let i = 0; i < this.#counts.length; i++) {
      const payloadBytes = this.#payloadBytes[i] ?? 0;
      const count = this.#counts[i] ?? 0;
      const frame = { payloadBytes, count, firstSequence: sequence, groupFirstSequence: firstSequence };
      sealFrame(this.#bytes, at, frame, key);
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

  /** Gives back memory that a large group took; called when there is nothing to do. */
  shrink(): void {
    if (this.#usedBytes === 0 && this.#bytes.length > IDLE_BYTES) this.#bytes = Buffer.allocUnsafeSlow(IDLE_BYTES);
  }

  #grow(neededBytes: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(neededBytes, this.#bytes.length * 2));
    this.#bytes.copy(larger, 0, 0, this.#usedBytes);
    this.#bytes = larger;
  }

  #clear(): void {
    this.#usedBytes = 0;
    this.#recordCount = 0;
    this.#payloadBytes.length = 0;
    this.#counts.length = 0;
    this.#resolvers.length = 0;
  }
}
