/**
 * Writes the records of one request into one reused buffer, in the layout of `EncodedRecords.bytes`.
 *
 * `batch()` lends that buffer out until the next `reset`: the log copies it at once. The buffer grows to the largest
 * request and shrinks back, so that one of 100 MiB does not hold its memory for good.
 */
import type { Rejection } from '../event/outcome.ts';
import type { EncodedRecords } from './encoded-records.ts';
import type { CapturedEvent, RequestFacts } from '../normalize/captured-event.ts';
import { eventFlags, type RawEvent } from '../wire/raw-event.ts';
import { fixedBytes, recordFlags, recordKinds, recordVersion } from './layout.ts';

const KEPT_BYTES = 1 << 20;
const SET_KEY = Buffer.from('"$set":');
const SET_ONCE_KEY = Buffer.from('"$set_once":');
const UNSET_KEY = Buffer.from('"$unset":');
const COMMA = 0x2c;
const CLOSE_BRACE = 0x7d;
const MAX_SHORT_TEXT_BYTES = 0xffff;
const LOOPBACK = '127.0.0.1';

export class BatchEncoder {
  #buffer = Buffer.allocUnsafeSlow(KEPT_BYTES);
  #used = 0;
  #count = 0;

  reset(): void {
    if (this.#buffer.length > KEPT_BYTES && this.#used < KEPT_BYTES) this.#buffer = Buffer.allocUnsafeSlow(KEPT_BYTES);
    this.#used = 0;
    this.#count = 0;
  }

  /** Valid until the next `reset`. */
  batch(): EncodedRecords {
    return { count: this.#count, bytes: this.#buffer.subarray(0, this.#used) };
  }

  addEvent(request: RequestFacts, event: CapturedEvent): void {
    const { raw } = event;
    const nameBytes = event.name === undefined ? raw.nameEnd - raw.nameStart : event.name.length;
    const distinctIdBytes =
      event.distinctId === undefined ? raw.distinctIdEnd - raw.distinctIdStart : event.distinctId.length;
    const ip = (raw.flags & eventFlags.isCaptureInternal) === 0 ? request.ip : LOOPBACK;
    // Added beside the properties, as PostHog's pipeline shows them (interface.md 3): at most three members.
    const addedBytes =
      raw.setEnd - raw.setStart + raw.setOnceEnd - raw.setOnceStart + raw.unsetEnd - raw.unsetStart + 40;
    const start = this.#reserve(
      fixedBytes +
        nameBytes +
        distinctIdBytes +
        ip.length +
        2 * MAX_SHORT_TEXT_BYTES +
        Math.max(raw.propertiesEnd - raw.propertiesStart, 2) +
        addedBytes,
    );
    const out = this.#buffer;
    let at = start + fixedBytes;
    at = this.#copyText(event.name, raw, raw.nameStart, raw.nameEnd, at);
    at = this.#copyText(event.distinctId, raw, raw.distinctIdStart, raw.distinctIdEnd, at);
    at += out.write(ip, at, 'latin1');
    const libStart = at;
    at = this.#copyText(event.lib, raw, raw.libStart, Math.min(raw.libEnd, raw.libStart + MAX_SHORT_TEXT_BYTES), at);
    const libVersionStart = at;
    at = this.#copyText(
      event.libVersion,
      raw,
      raw.libVersionStart,
      Math.min(raw.libVersionEnd, raw.libVersionStart + MAX_SHORT_TEXT_BYTES),
      at,
    );
    const lastStart = at;
    at = this.#copyProperties(raw, at);

    let flags = request.isAuthenticated ? recordFlags.isAuthenticated : 0;
    if ((raw.flags & eventFlags.isCookieless) !== 0) flags |= recordFlags.isCookieless;
    if ((raw.flags & eventFlags.hasLongInteger) !== 0) flags |= recordFlags.hasLongInteger;
    this.#writeHead(start, recordKinds.event, flags, request);
    out.writeInt32BE(event.uuid0, start + 8);
    out.writeInt32BE(event.uuid1, start + 12);
    out.writeInt32BE(event.uuid2, start + 16);
    out.writeInt32BE(event.uuid3, start + 20);
    out.writeUInt32LE(raw.index, start + 40);
    out.writeDoubleLE(event.timestampMs, start + 44);
    out.writeUInt32LE(nameBytes, start + 68);
    out.writeUInt32LE(distinctIdBytes, start + 72);
    out.writeUInt16LE(ip.length, start + 76);
    out.writeUInt16LE(libVersionStart - libStart, start + 78);
    out.writeUInt16LE(lastStart - libVersionStart, start + 80);
    out.writeUInt32LE(at - lastStart, start + 82);
    this.#finish(start, at);
  }

  /** @param uuid the event's uuid, 16 bytes, when it had a readable one */
  addRejection(request: RequestFacts, raw: RawEvent, rejection: Rejection, uuid: Uint8Array | undefined): void {
    const code = Buffer.from(rejection.code, 'latin1');
    const detail = Buffer.from(rejection.detail, 'utf8');
    const rawBytes = raw.end - raw.start;
    const start = this.#reserve(fixedBytes + code.length + detail.length + request.ip.length + rawBytes);
    const out = this.#buffer;
    let at = start + fixedBytes;
    at += code.copy(out, at);
    at += detail.copy(out, at);
    at += out.write(request.ip, at, 'latin1');
    at += raw.body.copy(out, at, raw.start, raw.end);
    let flags = request.isAuthenticated ? recordFlags.isAuthenticated : 0;
    if (uuid !== undefined) flags |= recordFlags.hasUuid;
    this.#writeHead(start, recordKinds.rejection, flags, request);
    if (uuid === undefined) out.fill(0, start + 8, start + 24);
    else out.set(uuid, start + 8);
    out.writeUInt32LE(raw.index, start + 40);
    out.writeDoubleLE(request.receivedAtMs, start + 44);
    out.writeUInt32LE(code.length, start + 68);
    out.writeUInt32LE(detail.length, start + 72);
    out.writeUInt16LE(request.ip.length, start + 76);
    out.writeUInt16LE(0, start + 78);
    out.writeUInt16LE(0, start + 80);
    out.writeUInt32LE(rawBytes, start + 82);
    this.#finish(start, at);
  }

  /** @returns where the record starts, behind its length. */
  #reserve(bytes: number): number {
    const needed = this.#used + 4 + bytes;
    if (needed > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.#buffer.length * 2));
      this.#buffer.copy(larger, 0, 0, this.#used);
      this.#buffer = larger;
    }
    return this.#used + 4;
  }

  #writeHead(start: number, kind: number, flags: number, request: RequestFacts): void {
    const out = this.#buffer;
    let all = flags;
    if (request.sentAtMs !== undefined) all |= recordFlags.hasSentAt;
    if (request.isHistorical) all |= recordFlags.isHistorical;
    out[start] = kind;
    out[start + 1] = recordVersion;
    out.writeUInt16LE(all, start + 2);
    out.writeUInt32LE(request.projectId, start + 4);
    out.set(request.requestId, start + 24);
    out.writeDoubleLE(request.receivedAtMs, start + 52);
    out.writeDoubleLE(request.sentAtMs ?? 0, start + 60);
  }

  #finish(start: number, end: number): void {
    this.#buffer.writeUInt32LE(end - start, start - 4);
    this.#used = end;
    this.#count += 1;
  }

  // Five scalars rather than a slice object: this runs four times an event.
  // oxlint-disable-next-line max-params
  #copyText(own: Uint8Array | undefined, raw: RawEvent, start: number, end: number, at: number): number {
    if (own !== undefined) {
      this.#buffer.set(own, at);
      return at + own.length;
    }
    return start < 0 ? at : at + raw.body.copy(this.#buffer, at, start, end);
  }

  /** The client's object as sent; `$set` and the like from beside it are put in at its end. */
  #copyProperties(raw: RawEvent, at: number): number {
    const out = this.#buffer;
    let end = at;
    if (raw.propertiesStart < 0) {
      out[end] = 0x7b;
      out[end + 1] = CLOSE_BRACE;
      end += 2;
    } else {
      end += raw.body.copy(out, end, raw.propertiesStart, raw.propertiesEnd);
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
      end += key.copy(out, end);
      end += raw.body.copy(out, end, start, stop);
    };
    add(SET_KEY, raw.setStart, raw.setEnd, eventFlags.setInProperties);
    add(SET_ONCE_KEY, raw.setOnceStart, raw.setOnceEnd, eventFlags.setOnceInProperties);
    add(UNSET_KEY, raw.unsetStart, raw.unsetEnd, eventFlags.unsetInProperties);
    out[end] = CLOSE_BRACE;
    return end + 1;
  }
}
