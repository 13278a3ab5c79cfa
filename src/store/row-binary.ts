/**
 * Rows of a block in ClickHouse's RowBinary, written from records where they lie: no object a row. Events come here only
 * when their properties are for the engine to parse (event-columns.ts has the others).
 *
 * Values as `ByteWriter` writes them; Nullable is a byte (1 = null) before the value. The columns and their order are
 * `eventInput` and its kin (schema.ts); a test loads a row of each and compares.
 */
import type { ProjectId } from '../event/ids.ts';
import { recordFlags } from '../record/layout.ts';
import type { RecordView } from '../record/record-view.ts';
import { ByteWriter } from './byte-writer.ts';
import type { OriginRange, RowOrigin } from './store.ts';

const FIRST_BYTES = 64 << 10;
/** Everything of a row but its texts, generously. */
const FIXED_ROW_BYTES = 256;
/** The last minute that a DateTime holds, in 2106: what a clock says beyond it counts there. */
const MAX_MINUTE_SECONDS = 4_294_967_280;

/** What becomes of an event's properties: parsed, parsed from a repaired text, or kept as raw text alone. */
export type PropertiesMode =
  { readonly kind: 'parse' } | { readonly kind: 'repaired'; readonly text: Uint8Array } | { readonly kind: 'raw_only' };

abstract class Rows {
  protected readonly out = new ByteWriter(FIRST_BYTES);
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

  protected startRow(textBytes: number): ByteWriter {
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
    const { sentAtMs } = view;
    if (sentAtMs === undefined) {
      out.u8(1);
    } else {
      out.u8(0);
      out.instant(sentAtMs);
    }
    out.u8((flags & recordFlags.isHistorical) === 0 ? 0 : 1);
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

/** What was counted in one minute of a project. */
export interface LedgerCounts {
  readonly received: number;
  readonly accepted: number;
  readonly stored: number;
  readonly duplicate: number;
  readonly rejected: ReadonlyMap<string, number>;
}

const LONGEST_CODE = 64;
const NOBODY = new Uint8Array(16);
const nothing: LedgerCounts = { received: 0, accepted: 0, stored: 0, duplicate: 0, rejected: new Map() };

/** Rows for `ledger`. */
export class LedgerRows extends Rows {
  /** @param minuteSeconds when the minute begins, seconds since 1970 */
  addCounts(projectId: ProjectId, minuteSeconds: number, counts: LedgerCounts): void {
    this.#add({ projectId, minuteSeconds, stream: '', epoch: 0, first: 0, next: 0, lastRequestId: NOBODY }, counts);
  }

  /** @param reach the rows of this block count `[first, next)` of `stream`; `lastRequestId`: 16 bytes */
  addReach(reach: OriginRange & { readonly epoch: number; readonly lastRequestId: Uint8Array }): void {
    this.#add({ ...reach, projectId: 0, minuteSeconds: 0 }, nothing);
  }

  #add(key: LedgerKey, counts: LedgerCounts): void {
    const out = this.startRow(counts.rejected.size * (LONGEST_CODE + 16));
    out.u32(key.projectId);
    out.u32(Math.min(Math.max(key.minuteSeconds, 0), MAX_MINUTE_SECONDS));
    out.shortText(key.stream);
    out.u32(key.epoch);
    out.u64(counts.received);
    out.u64(counts.accepted);
    out.u64(counts.stored);
    out.u64(counts.duplicate);
    out.length(counts.rejected.size);
    for (const [code, events] of counts.rejected) {
      out.shortText(code);
      out.u64(events);
    }
    out.u64(key.first);
    out.u64(key.next);
    out.uuid(key.lastRequestId, 0);
  }
}

interface LedgerKey extends OriginRange {
  /** 0: a row of `addReach`. */
  readonly projectId: number;
  readonly minuteSeconds: number;
  readonly epoch: number;
  readonly lastRequestId: Uint8Array;
}
