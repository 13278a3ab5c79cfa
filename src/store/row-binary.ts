/**
 * Rows of a block in ClickHouse's RowBinary, written from records where they lie: no object a row.
 *
 * RowBinary: numbers little endian; text is its length (LEB128) and its bytes; Nullable is a byte (1 = null) before the
 * value; a UUID is two 64-bit halves, each little endian, so that the bytes of each half stand reversed. The columns and
 * their order are `eventInput` and its kin (schema.ts); a test loads a row of each and compares.
 */
import type { EpochMs } from '../event/ids.ts';
import { recordFlags } from '../record/layout.ts';
import type { RecordView } from '../record/record-view.ts';
import { maxStoredMs, minStoredMs } from './schema.ts';
import type { RowOrigin } from './store.ts';

const KEPT_BYTES = 1 << 20;
/** Everything of a row but its texts, generously. */
const FIXED_ROW_BYTES = 256;
const TWO_32 = 0x1_0000_0000;

/** One reused, growing buffer; it shrinks back, so that one large block does not hold its memory for good. */
class RowWriter {
  #buffer = Buffer.allocUnsafeSlow(KEPT_BYTES);
  #used = 0;

  reset(): void {
    if (this.#buffer.length > KEPT_BYTES * 16) this.#buffer = Buffer.allocUnsafeSlow(KEPT_BYTES);
    this.#used = 0;
  }

  get byteLength(): number {
    return this.#used;
  }

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#used);
  }

  reserve(bytes: number): void {
    const needed = this.#used + bytes;
    if (needed <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
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

  /** DateTime64(6): microseconds since 1970. */
  instant(ms: EpochMs): void {
    // What is no number cannot come from normalize; should it, the row must load all the same.
    const clamped = Number.isNaN(ms) ? 0 : Math.min(Math.max(ms, minStoredMs), maxStoredMs);
    const micros = Math.round(clamped * 1000);
    const high = Math.floor(micros / TWO_32);
    this.#used = this.#buffer.writeUInt32LE(micros - high * TWO_32, this.#used);
    this.#used = this.#buffer.writeInt32LE(high, this.#used);
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
    this.#used += from.copy(this.#buffer, this.#used, start, end);
  }

  /** @param value at most 64 latin-1 characters */
  shortText(value: string): void {
    this.length(value.length);
    this.#used += this.#buffer.write(value, this.#used, 'latin1');
  }
}

/** What becomes of an event's properties: parsed, parsed from a repaired text, or kept as raw text alone. */
export type PropertiesMode =
  { readonly kind: 'parse' } | { readonly kind: 'repaired'; readonly text: Uint8Array } | { readonly kind: 'raw_only' };

abstract class Rows {
  protected readonly out = new RowWriter();
  #count = 0;

  get count(): number {
    return this.#count;
  }

  get byteLength(): number {
    return this.out.byteLength;
  }

  reset(): void {
    this.out.reset();
    this.#count = 0;
  }

  /** Valid until the next `reset` or `add`. */
  rows(): Uint8Array {
    return this.out.bytes();
  }

  protected startRow(textBytes: number): RowWriter {
    this.#count += 1;
    this.out.reserve(FIXED_ROW_BYTES + textBytes);
    return this.out;
  }
}

/** Rows for `events`. */
export class EventRows extends Rows {
  /** @param view stands on an event */
  add(view: RecordView, origin: RowOrigin, mode: PropertiesMode): void {
    const { bytes, flags } = view;
    const repairedBytes = mode.kind === 'repaired' ? mode.text.length : 0;
    const out = this.startRow(view.end - view.start + repairedBytes);
    out.uuid(bytes, view.uuidAt);
    out.slice(bytes, view.firstStart, view.firstEnd);
    out.slice(bytes, view.secondStart, view.secondEnd);
    out.instant(view.timestampMs);
    out.instant(view.receivedAtMs);
    const { sentAtMs } = view;
    if (sentAtMs === undefined) {
      out.u8(1);
    } else {
      out.u8(0);
      out.instant(sentAtMs);
    }
    out.slice(bytes, view.ipStart, view.ipEnd);
    out.u8((flags & recordFlags.isAuthenticated) === 0 ? 0 : 1);
    out.uuid(bytes, view.requestIdAt);
    out.slice(bytes, view.libStart, view.libEnd);
    out.slice(bytes, view.libVersionStart, view.libVersionEnd);
    out.u32(view.projectId);
    out.slice(bytes, view.lastStart, view.lastEnd);
    if (mode.kind === 'repaired') out.slice(Buffer.from(mode.text), 0, mode.text.length);
    else out.length(0);
    out.u8(mode.kind === 'raw_only' ? 1 : 0);
    out.shortText(origin.stream);
    out.u64(origin.sequence);
    out.u32(view.index);
    out.u8((flags & recordFlags.isCookieless) === 0 ? 0 : 1);
    out.u8((flags & recordFlags.isHistorical) === 0 ? 0 : 1);
  }
}

/** Rows for `rejections`. */
export class RejectionRows extends Rows {
  /** @param view stands on a rejection */
  add(view: RecordView, origin: RowOrigin): void {
    const { bytes, flags } = view;
    const out = this.startRow(view.end - view.start);
    out.uuid(bytes, view.requestIdAt);
    out.u32(view.index);
    out.instant(view.receivedAtMs);
    out.slice(bytes, view.firstStart, view.firstEnd);
    out.slice(bytes, view.secondStart, view.secondEnd);
    if ((flags & recordFlags.hasUuid) === 0) {
      out.u8(1);
    } else {
      out.u8(0);
      out.uuid(bytes, view.uuidAt);
    }
    out.slice(bytes, view.lastStart, view.lastEnd);
    out.u32(view.projectId);
    out.slice(bytes, view.ipStart, view.ipEnd);
    out.u8((flags & recordFlags.isAuthenticated) === 0 ? 0 : 1);
    out.shortText(origin.stream);
    out.u64(origin.sequence);
  }
}

/** Rows for `duplicates`. */
export class DuplicateRows extends Rows {
  /** @param view stands on an event */
  add(view: RecordView, origin: RowOrigin): void {
    const { bytes } = view;
    const out = this.startRow(0);
    out.u32(view.projectId);
    out.uuid(bytes, view.uuidAt);
    out.uuid(bytes, view.requestIdAt);
    out.u32(view.index);
    out.instant(view.receivedAtMs);
    out.shortText(origin.stream);
    out.u64(origin.sequence);
  }
}

/** Uuids to look up: `project_id UInt32, uuid UUID`. */
export class UuidKeys extends Rows {
  /** @param view stands on an event */
  add(view: RecordView): void {
    const out = this.startRow(0);
    out.u32(view.projectId);
    out.uuid(view.bytes, view.uuidAt);
  }
}
