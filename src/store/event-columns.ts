/**
 * Events of a block in ClickHouse's Native format, a column after the other, with the properties taken apart already
 * (property-columns.ts). The columns and their order are `eventColumnsInput` (schema.ts).
 */
import { recordFlags } from '../record/layout.ts';
import type { RecordView } from '../record/record-view.ts';
import { ByteWriter } from './byte-writer.ts';
import { PropertyColumns } from './property-columns.ts';
import { eventColumnsInput } from './schema.ts';
import type { RowOrigin } from './store.ts';

const FIRST_COLUMN_BYTES = 4 << 10;
const FIRST_BLOCK_BYTES = 64 << 10;
/** A length before a text. */
const LENGTH_BYTES = 5;
/** Of a column: its name, its type, and their lengths. */
const HEAD_BYTES = 128;

export class EventColumns {
  readonly #uuid = new ByteWriter(FIRST_COLUMN_BYTES);
  readonly #event = new ByteWriter(FIRST_COLUMN_BYTES);
  readonly #distinctId = new ByteWriter(FIRST_COLUMN_BYTES);
  readonly #timestamp = new ByteWriter(FIRST_COLUMN_BYTES);
  readonly #receivedAt = new ByteWriter(FIRST_COLUMN_BYTES);
  readonly #hasNoSentAt = new ByteWriter(FIRST_COLUMN_BYTES);
  readonly #sentAt = new ByteWriter(FIRST_COLUMN_BYTES);
  readonly #ip = new ByteWriter(FIRST_COLUMN_BYTES);
  readonly #authenticated = new ByteWriter(FIRST_COLUMN_BYTES);
  readonly #requestId = new ByteWriter(FIRST_COLUMN_BYTES);
  readonly #lib = new ByteWriter(FIRST_COLUMN_BYTES);
  readonly #libVersion = new ByteWriter(FIRST_COLUMN_BYTES);
  readonly #projectId = new ByteWriter(FIRST_COLUMN_BYTES);
  readonly #raw = new ByteWriter(FIRST_COLUMN_BYTES);
  readonly #stream = new ByteWriter(FIRST_COLUMN_BYTES);
  readonly #sequence = new ByteWriter(FIRST_COLUMN_BYTES);
  readonly #index = new ByteWriter(FIRST_COLUMN_BYTES);
  readonly #isCookieless = new ByteWriter(FIRST_COLUMN_BYTES);
  readonly #isHistorical = new ByteWriter(FIRST_COLUMN_BYTES);
  readonly #properties = new PropertyColumns();
  readonly #out = new ByteWriter(FIRST_BLOCK_BYTES);
  /** What each column of `eventColumnsInput` is made of; `properties` writes itself. */
  readonly #columns: Readonly<Record<(typeof eventColumnsInput)[number][0], readonly ByteWriter[]>> = {
    uuid: [this.#uuid],
    event: [this.#event],
    distinct_id: [this.#distinctId],
    timestamp: [this.#timestamp],
    received_at: [this.#receivedAt],
    sent_at: [this.#hasNoSentAt, this.#sentAt],
    ip: [this.#ip],
    authenticated: [this.#authenticated],
    request_id: [this.#requestId],
    lib: [this.#lib],
    lib_version: [this.#libVersion],
    project_id: [this.#projectId],
    properties_raw: [this.#raw],
    stream: [this.#stream],
    sequence: [this.#sequence],
    request_index: [this.#index],
    is_cookieless: [this.#isCookieless],
    is_historical: [this.#isHistorical],
    properties: [],
  };
  #count = 0;

  get count(): number {
    return this.#count;
  }

  reset(): void {
    for (const writers of Object.values(this.#columns)) for (const writer of writers) writer.reset();
    this.#properties.reset();
    this.#count = 0;
  }

  /** @param view stands on an event. @returns false when its properties must go in as text: nothing of it is added */
  add(view: RecordView, origin: RowOrigin): boolean {
    const { bytes, flags } = view;
    if (!this.#properties.add(bytes, view.lastStart, view.lastEnd)) return false;
    this.#count += 1;
    addUuid(this.#uuid, bytes, view.uuidAt);
    addText(this.#event, bytes, view.firstStart, view.firstEnd);
    addText(this.#distinctId, bytes, view.secondStart, view.secondEnd);
    this.#timestamp.reserve(8);
    this.#timestamp.instant(view.timestampMs);
    this.#receivedAt.reserve(8);
    this.#receivedAt.instant(view.receivedAtMs);
    const { sentAtMs } = view;
    addByte(this.#hasNoSentAt, sentAtMs === undefined);
    this.#sentAt.reserve(8);
    if (sentAtMs === undefined) this.#sentAt.u64(0);
    else this.#sentAt.instant(sentAtMs);
    addText(this.#ip, bytes, view.ipStart, view.ipEnd);
    addByte(this.#authenticated, (flags & recordFlags.isAuthenticated) !== 0);
    addUuid(this.#requestId, bytes, view.requestIdAt);
    addText(this.#lib, bytes, view.libStart, view.libEnd);
    addText(this.#libVersion, bytes, view.libVersionStart, view.libVersionEnd);
    this.#projectId.reserve(4);
    this.#projectId.u32(view.projectId);
    addText(this.#raw, bytes, view.lastStart, view.lastEnd);
    this.#stream.reserve(origin.stream.length + LENGTH_BYTES);
    this.#stream.shortText(origin.stream);
    this.#sequence.reserve(8);
    this.#sequence.u64(origin.sequence);
    this.#index.reserve(4);
    this.#index.u32(view.index);
    addByte(this.#isCookieless, (flags & recordFlags.isCookieless) !== 0);
    addByte(this.#isHistorical, (flags & recordFlags.isHistorical) !== 0);
    return true;
  }

  /** The block as it is now; valid until the next call of `rows` or `reset`. */
  rows(): Uint8Array {
    const out = this.#out;
    out.reset();
    out.reserve(HEAD_BYTES);
    out.length(eventColumnsInput.length);
    out.length(this.#count);
    for (const [name, type] of eventColumnsInput) {
      out.reserve(HEAD_BYTES);
      out.shortText(name);
      out.shortText(type);
      if (name === 'properties') this.#properties.writeTo(out);
      for (const writer of this.#columns[name]) {
        out.reserve(writer.byteLength);
        out.raw(writer.bytes());
      }
    }
    return out.bytes();
  }
}

function addText(out: ByteWriter, bytes: Buffer, start: number, end: number): void {
  out.reserve(end - start + LENGTH_BYTES);
  out.slice(bytes, start, end);
}

function addUuid(out: ByteWriter, bytes: Buffer, at: number): void {
  out.reserve(16);
  out.uuid(bytes, at);
}

function addByte(out: ByteWriter, isSet: boolean): void {
  out.reserve(1);
  out.u8(isSet ? 1 : 0);
}
