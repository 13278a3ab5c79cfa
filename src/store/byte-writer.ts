import type { EpochMs } from '../event/ids.ts';
import { maxStoredMs, minStoredMs } from './schema.ts';

const TWO_32 = 0x1_0000_0000;
/** A longer text is copied by the runtime, whose call costs as much as copying this many bytes one by one. */
const LONG_TEXT_BYTES = 64;

/** A buffer that grew past it is let go at the next `reset`: one huge request must not hold its memory for good. */
const KEPT_BYTES = 64 << 20;
/**
 * What grows past LARGE_BYTES is given MAPPED_BYTES at least. The C library takes what is larger than 32 MiB straight
 * from the kernel and gives it back at once; less ends in its heap, which never shrinks again. Pages that are
 * not written to cost nothing.
 */
const LARGE_BYTES = 2 << 20;
const MAPPED_BYTES = 33 << 20;

/**
 * Values in ClickHouse's binary encoding, one after the other, in one reused, growing buffer: numbers little endian;
 * text is its length (LEB128) and its bytes; a UUID is two 64-bit halves, each little endian, so that the bytes of each
 * half stand reversed. Call `reserve` before writing; the rest does not check.
 */
export class ByteWriter {
  readonly #firstBytes: number;
  #buffer: Buffer;
  #used = 0;

  constructor(firstBytes: number) {
    this.#firstBytes = firstBytes;
    this.#buffer = Buffer.allocUnsafeSlow(firstBytes);
  }

  reset(): void {
    if (this.#buffer.length > KEPT_BYTES) this.#buffer = Buffer.allocUnsafeSlow(this.#firstBytes);
    this.#used = 0;
  }

  get byteLength(): number {
    return this.#used;
  }

  /** Valid until the next write. */
  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#used);
  }

  reserve(bytes: number): void {
    const needed = this.#used + bytes;
    if (needed <= this.#buffer.length) return;
    const doubled = Math.max(needed, this.#buffer.length * 2);
    const larger = Buffer.allocUnsafeSlow(doubled > LARGE_BYTES ? Math.max(doubled, MAPPED_BYTES) : doubled);
    this.#buffer.copy(larger, 0, 0, this.#used);
    this.#buffer = larger;
  }

  u8(value: number): void {
    this.#buffer[this.#used++] = value;
  }

  u32(value: number): void {
    this.#used = this.#buffer.writeUInt32LE(value, this.#used);
  }

  /** @param value whole, from 0 to 2^53 - 1 */
  u64(value: number): void {
    this.#used = this.#buffer.writeUInt32LE(value % TWO_32, this.#used);
    this.#used = this.#buffer.writeUInt32LE(Math.floor(value / TWO_32), this.#used);
  }

  /** @param value whole, from -(2^53 - 1) to 2^53 - 1 */
  i64(value: number): void {
    const high = Math.floor(value / TWO_32);
    this.#used = this.#buffer.writeUInt32LE(value - high * TWO_32, this.#used);
    this.#used = this.#buffer.writeInt32LE(high, this.#used);
  }

  /** @param value fits 64 bits with a sign */
  bigI64(value: bigint): void {
    this.#used = this.#buffer.writeBigInt64LE(value, this.#used);
  }

  f64(value: number): void {
    this.#used = this.#buffer.writeDoubleLE(value, this.#used);
  }

  /** DateTime64(6): microseconds since 1970. */
  instant(ms: EpochMs): void {
    // What is no number cannot come from normalize; should it, the row must load all the same.
    const clamped = Number.isNaN(ms) ? 0 : Math.min(Math.max(ms, minStoredMs), maxStoredMs);
    this.i64(Math.round(clamped * 1000));
  }

  uuid(from: Uint8Array, at: number): void {
    const out = this.#buffer;
    const start = this.#used;
    for (let i = 0; i < 8; i++) {
      out[start + i] = from[at + 7 - i] ?? 0;
      out[start + 8 + i] = from[at + 15 - i] ?? 0;
    }
    this.#used = start + 16;
  }

  length(value: number): void {
    let rest = value;
    while (rest >= 0x80) {
      this.u8((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    this.u8(rest);
  }

  slice(from: Buffer, start: number, end: number): void {
    this.length(end - start);
    if (end - start > LONG_TEXT_BYTES) {
      this.#used += from.copy(this.#buffer, this.#used, start, end);
      return;
    }
    const out = this.#buffer;
    let used = this.#used;
    for (let at = start; at < end; at++) out[used++] = from[at] ?? 0;
    this.#used = used;
  }

  /** @param value at most 64 latin-1 characters */
  shortText(value: string): void {
    this.length(value.length);
    this.#used += this.#buffer.write(value, this.#used, 'latin1');
  }

  /** Without a length. */
  raw(bytes: Uint8Array): void {
    this.#buffer.set(bytes, this.#used);
    this.#used += bytes.length;
  }
}
