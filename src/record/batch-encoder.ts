/**
 * Writes the records of one request into one reused buffer, in the layout of `EncodedRecords.bytes`. The first of them
 * says how many events the request had, whatever becomes of them on the way here: a bug in between then shows.
 *
 * `batch()` lends that buffer out until the next `reset`: the log copies it at once. The buffer grows to the largest
 * request and shrinks back, so that one of 100 MiB does not hold its memory for good.
 */
import type { Rejection } from '../event/outcome.ts';
import type { EncodedRecords } from './encoded-records.ts';
import type { CapturedEvent, RequestFacts } from '../normalize/captured-event.ts';
import { eventFlags, type RawEvent } from '../wire/raw-event.ts';
import { countsBytes, fixedBytes, recordFlags, recordKinds, recordVersion } from './layout.ts';

const KEPT_BYTES = 1 << 20;
const SET_KEY = Buffer.from('"$set":');
const SET_ONCE_KEY = Buffer.from('"$set_once":');
const UNSET_KEY = Buffer.from('"$unset":');
const COMMA = 0x2c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const MAX_SHORT_TEXT_BYTES = 0xffff;
const LOOPBACK = Buffer.from('127.0.0.1');
/** From here on the runtime's own copy costs less than ours; below it, it costs more than the whole record. */
const LARGE_COPY_BYTES = 128;

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Counted when a request is decoded. */
export interface DecodedCounts {
  /** All its events. */
  readonly received: number;
  /** Of them, those that are counted and not kept: `$performance_event`s. */
  readonly dropped: number;
}

const NO_EVENTS: DecodedCounts = { received: 0, dropped: 0 };

export class BatchEncoder {
  #buffer = Buffer.allocUnsafeSlow(KEPT_BYTES);
  #view = viewOf(this.#buffer);
  #used = 0;
  #count = 0;
  #counts = NO_EVENTS;
  /** The body that the last event lay in, seen as a `DataView`; events of one request share it. */
  #body: Buffer | undefined;
  #bodyView = this.#view;
  #ipText = '';
  #ip = Buffer.alloc(0);

  /** Begins the next request. */
  reset(counts: DecodedCounts): void {
    if (this.#buffer.length > KEPT_BYTES && this.#used < KEPT_BYTES) this.#replaceBuffer(KEPT_BYTES);
    this.#used = 0;
    this.#count = 0;
    this.#counts = counts;
    this.#body = undefined;
    this.#bodyView = this.#view;
  }

  /** Valid until the next `reset`. */
  batch(): EncodedRecords {
    return { count: this.#count, bytes: this.#buffer.subarray(0, this.#used) };
  }

  addEvent(request: RequestFacts, event: CapturedEvent): void {
    const { raw } = event;
    if (raw.body !== this.#body) {
      this.#body = raw.body;
      this.#bodyView = viewOf(raw.body);
    }
    const nameBytes = event.name === undefined ? raw.nameEnd - raw.nameStart : event.name.length;
    const distinctIdBytes =
      event.distinctId === undefined ? raw.distinctIdEnd - raw.distinctIdStart : event.distinctId.length;
    const ip = (raw.flags & eventFlags.isCaptureInternal) === 0 ? this.#ipOf(request) : LOOPBACK;
    // Put in beside the properties, as PostHog's pipeline shows them (interface.md 3): at most three members.
    const addedBytes =
      raw.setEnd - raw.setStart + raw.setOnceEnd - raw.setOnceStart + raw.unsetEnd - raw.unsetStart + 40;
    const headBytes = this.#headBytes();
    const start = this.#reserve(
      headBytes +
        nameBytes +
        distinctIdBytes +
        ip.length +
        2 * MAX_SHORT_TEXT_BYTES +
        Math.max(raw.propertiesEnd - raw.propertiesStart, 2) +
        addedBytes,
    );
    const view = this.#view;
    let at = start + headBytes;
    at = event.name === undefined ? this.#copyBody(raw.nameStart, raw.nameEnd, at) : this.#copyOwn(event.name, at);
    at =
      event.distinctId === undefined
        ? this.#copyBody(raw.distinctIdStart, raw.distinctIdEnd, at)
        : this.#copyOwn(event.distinctId, at);
    at = this.#copyOwn(ip, at);
    const libStart = at;
    at =
      event.lib === undefined
        ? this.#copyBody(raw.libStart, Math.min(raw.libEnd, raw.libStart + MAX_SHORT_TEXT_BYTES), at)
        : this.#copyOwn(event.lib, at);
    const libVersionStart = at;
    at =
      event.libVersion === undefined
        ? this.#copyBody(
            raw.libVersionStart,
            Math.min(raw.libVersionEnd, raw.libVersionStart + MAX_SHORT_TEXT_BYTES),
            at,
          )
        : this.#copyOwn(event.libVersion, at);
    const lastStart = at;
    at = this.#copyProperties(raw, at);

    let flags = request.isAuthenticated ? recordFlags.isAuthenticated : 0;
    if ((raw.flags & eventFlags.isCookieless) !== 0) flags |= recordFlags.isCookieless;
    if ((raw.flags & eventFlags.hasLongInteger) !== 0) flags |= recordFlags.hasLongInteger;
    this.#writeHead(start, recordKinds.event, flags, request);
    view.setInt32(start + 8, event.uuid0);
    view.setInt32(start + 12, event.uuid1);
    view.setInt32(start + 16, event.uuid2);
    view.setInt32(start + 20, event.uuid3);
    view.setUint32(start + 40, raw.index, true);
    view.setFloat64(start + 44, event.timestampMs, true);
    view.setUint32(start + 68, nameBytes, true);
    view.setUint32(start + 72, distinctIdBytes, true);
    view.setUint16(start + 76, ip.length, true);
    view.setUint16(start + 78, libVersionStart - libStart, true);
    view.setUint16(start + 80, lastStart - libVersionStart, true);
    view.setUint32(start + 82, at - lastStart, true);
    this.#finish(start, at);
  }

  /** @param uuid the event's uuid, 16 bytes, when it had a readable one */
  addRejection(request: RequestFacts, raw: RawEvent, rejection: Rejection, uuid: Uint8Array | undefined): void {
    const code = Buffer.from(rejection.code, 'latin1');
    const detail = Buffer.from(rejection.detail, 'utf8');
    const ip = this.#ipOf(request);
    const rawBytes = raw.end - raw.start;
    const headBytes = this.#headBytes();
    const start = this.#reserve(headBytes + code.length + detail.length + ip.length + rawBytes);
    const out = this.#buffer;
    const view = this.#view;
    let at = start + headBytes;
    at = this.#copyOwn(code, at);
    at = this.#copyOwn(detail, at);
    at = this.#copyOwn(ip, at);
    at += raw.body.copy(out, at, raw.start, raw.end);
    let flags = request.isAuthenticated ? recordFlags.isAuthenticated : 0;
    if (uuid !== undefined) flags |= recordFlags.hasUuid;
    this.#writeHead(start, recordKinds.rejection, flags, request);
    if (uuid === undefined) out.fill(0, start + 8, start + 24);
    else out.set(uuid, start + 8);
    view.setUint32(start + 40, raw.index, true);
    view.setFloat64(start + 44, request.receivedAtMs, true);
    view.setUint32(start + 68, code.length, true);
    view.setUint32(start + 72, detail.length, true);
    view.setUint16(start + 76, ip.length, true);
    view.setUint16(start + 78, 0, true);
    view.setUint16(start + 80, 0, true);
    view.setUint32(start + 82, rawBytes, true);
    this.#finish(start, at);
  }

  /** For a request none of whose events is kept: what was counted, and nothing else. */
  addTally(request: RequestFacts): void {
    const headBytes = this.#headBytes();
    const start = this.#reserve(headBytes);
    this.#buffer.fill(0, start, start + headBytes);
    this.#writeHead(start, recordKinds.tally, request.isAuthenticated ? recordFlags.isAuthenticated : 0, request);
    this.#finish(start, start + headBytes);
  }

  /** Of the record that comes next. */
  #headBytes(): number {
    return this.#count === 0 ? fixedBytes + countsBytes : fixedBytes;
  }

  /** @returns where the record starts, behind its length. */
  #reserve(bytes: number): number {
    const needed = this.#used + 4 + bytes;
    if (needed > this.#buffer.length) {
      const smaller = this.#buffer;
      this.#replaceBuffer(Math.max(needed, smaller.length * 2));
      smaller.copy(this.#buffer, 0, 0, this.#used);
    }
    return this.#used + 4;
  }

  #replaceBuffer(bytes: number): void {
    this.#buffer = Buffer.allocUnsafeSlow(bytes);
    this.#view = viewOf(this.#buffer);
  }

  /** Clients come back from one address: its bytes are made anew only when it changes. */
  #ipOf(request: RequestFacts): Buffer {
    if (request.ip !== this.#ipText) {
      this.#ipText = request.ip;
      this.#ip = Buffer.from(request.ip, 'latin1');
    }
    return this.#ip;
  }

  #writeHead(start: number, kind: number, flags: number, request: RequestFacts): void {
    const view = this.#view;
    let all = flags;
    if (request.sentAtMs !== undefined) all |= recordFlags.hasSentAt;
    if (request.isHistorical) all |= recordFlags.isHistorical;
    if (this.#count === 0) {
      all |= recordFlags.hasCounts;
      view.setUint32(start + fixedBytes, this.#counts.received, true);
      view.setUint32(start + fixedBytes + 4, this.#counts.dropped, true);
    }
    view.setUint8(start, kind);
    view.setUint8(start + 1, recordVersion);
    view.setUint16(start + 2, all, true);
    view.setUint32(start + 4, request.projectId, true);
    this.#copyOwn(request.requestId, start + 24);
    view.setFloat64(start + 52, request.receivedAtMs, true);
    view.setFloat64(start + 60, request.sentAtMs ?? 0, true);
  }

  #finish(start: number, end: number): void {
    this.#view.setUint32(start - 4, end - start, true);
    this.#used = end;
    this.#count += 1;
  }

  /** Short text of our own; byte by byte, since a call of the runtime's costs more. */
  #copyOwn(own: Uint8Array, at: number): number {
    const out = this.#buffer;
    const { length } = own;
    if (length > LARGE_COPY_BYTES) {
      out.set(own, at);
      return at + length;
    }
    for (let i = 0; i < length; i++) out[at + i] = own[i] as number;
    return at + length;
  }

  /** `body[start, end)`, nothing when `start` is -1. Four bytes at a time: no object, no call (bench: 50 to 15 us a batch). */
  #copyBody(start: number, end: number, at: number): number {
    if (start < 0) return at;
    if (end - start > LARGE_COPY_BYTES) {
      const body = this.#body;
      return body === undefined ? at : at + body.copy(this.#buffer, at, start, end);
    }
    const from = this.#bodyView;
    const to = this.#view;
    let source = start;
    let target = at;
    for (const last = end - 4; source <= last; source += 4, target += 4)
      to.setInt32(target, from.getInt32(source, true), true);
    for (; source < end; source++, target++) to.setUint8(target, from.getUint8(source));
    return target;
  }

  /** The client's object as sent; `$set` and the like from beside it are put in at its end. */
  #copyProperties(raw: RawEvent, at: number): number {
    const out = this.#buffer;
    let end = at;
    if (raw.propertiesStart < 0) {
      out[end] = OPEN_BRACE;
      out[end + 1] = CLOSE_BRACE;
      end += 2;
    } else {
      end = this.#copyBody(raw.propertiesStart, raw.propertiesEnd, end);
    }
    if (raw.setStart < 0 && raw.setOnceStart < 0 && raw.unsetStart < 0) return end;
    let isEmpty = raw.propertiesStart < 0 || (raw.flags & eventFlags.propertiesAreEmpty) !== 0;
    end -= 1;
    const add = (key: Buffer, start: number, stop: number, presentFlag: number): void => {
      if (start < 0 || (raw.flags & presentFlag) !== 0) return;
      if (!isEmpty) {
        out[end] = COMMA;
        end += 1;
      }
      isEmpty = false;
      end = this.#copyOwn(key, end);
      end = this.#copyBody(start, stop, end);
    };
    add(SET_KEY, raw.setStart, raw.setEnd, eventFlags.setInProperties);
    add(SET_ONCE_KEY, raw.setOnceStart, raw.setOnceEnd, eventFlags.setOnceInProperties);
    add(UNSET_KEY, raw.unsetStart, raw.unsetEnd, eventFlags.unsetInProperties);
    out[end] = CLOSE_BRACE;
    return end + 1;
  }
}
