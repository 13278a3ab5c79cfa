import { isUtf8 } from 'node:buffer';
import { type Fault, fault } from '../../errors.ts';

/** A form's fields that matter (protocol.md 2.6). */
export interface Form {
  readonly kind: 'form';
  /** Percent-decoded, spaces and all; undefined when there is no such field. */
  readonly data: Buffer | undefined;
  readonly compression: string | undefined;
}

const FORM_TYPE = 'application/x-www-form-urlencoded';
const LOOK_BYTES = 128;
const AMPERSAND = 0x26;
const EQUALS = 0x3d;
const PERCENT = 0x25;
const PLUS = 0x2b;
const SPACE = 0x20;
const DATA = Buffer.from('data');
const COMPRESSION = Buffer.from('compression');
const MARKS = ['data=', '_=', 'ip=', 'compression='].map((mark) => Buffer.from(mark));

/** Parameters and letter case are ignored, since browsers add a charset (design.md 4). Cost: allocates only for long types. */
export function isFormType(contentType: string | undefined): boolean {
  if (contentType === undefined || contentType.length < FORM_TYPE.length) return false;
  if (contentType === FORM_TYPE) return true;
  return contentType.split(';', 1)[0]?.trim().toLowerCase() === FORM_TYPE;
}

/** Within the first 128 bytes one of the known fields begins, at the very start or behind `&` (protocol.md 2.6). */
export function looksLikeForm(payload: Buffer): boolean {
  const head = payload.subarray(0, LOOK_BYTES);
  let at = 0;
  for (;;) {
    for (const mark of MARKS) {
      if (head.length - at >= mark.length && head.compare(mark, 0, mark.length, at, at + mark.length) === 0)
        return true;
    }
    const next = head.indexOf(AMPERSAND, at);
    if (next < 0) return false;
    at = next + 1;
  }
}

/** Walks the bytes: millions of fields that nobody asked for cost neither memory nor more than the walk. */
export function decodeForm(payload: Buffer): Form | Fault {
  const { length } = payload;
  let data: Buffer | undefined;
  let compression: string | undefined;
  for (let start = 0; start < length;) {
    let nameEnd = -1;
    let end = start;
    for (; end < length && payload[end] !== AMPERSAND; end++) if (nameEnd < 0 && payload[end] === EQUALS) nameEnd = end;
    if (nameEnd > start) {
      const span = { start, end: nameEnd };
      if (isName(payload, span, DATA)) {
        if (data !== undefined) {
          return fault('invalid_form', { problem: 'invalid urlencoded form data: "data" is given twice' });
        }
        data = textOrBytes(percentDecoded(payload, nameEnd + 1, end));
      } else if (isName(payload, span, COMPRESSION)) {
        compression ??= percentDecoded(payload, nameEnd + 1, end).toString('utf8');
      }
    }
    start = end + 1;
  }
  return { kind: 'form', data, compression };
}

/** Is `payload[start, end)` the field's name, with any of its letters percent-encoded? */
function isName(payload: Buffer, span: { readonly start: number; readonly end: number }, name: Buffer): boolean {
  const { start, end } = span;
  const extra = end - start - name.length;
  if (extra === 0) return payload.compare(name, 0, name.length, start, end) === 0;
  if (extra < 0 || extra > 2 * name.length || extra % 2 !== 0) return false;
  return percentDecoded(payload, start, end).equals(name);
}

/** What is no UTF-8 becomes U+FFFD, as in a query; percent-encoded gzip stays as it is. */
function textOrBytes(bytes: Buffer): Buffer {
  const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
  return isGzip || isUtf8(bytes) ? bytes : Buffer.from(bytes.toString('utf8'), 'utf8');
}

function percentDecoded(payload: Buffer, start: number, end: number): Buffer {
  const out = Buffer.allocUnsafe(end - start);
  let to = 0;
  for (let at = start; at < end; at++) {
    const byte = payload[at] as number;
    if (byte === PERCENT && at + 2 < end) {
      const value = hexValue(payload[at + 1] as number) * 16 + hexValue(payload[at + 2] as number);
      if (value >= 0) {
        out[to++] = value;
        at += 2;
        continue;
      }
    }
    out[to++] = byte === PLUS ? SPACE : byte;
  }
  return out.subarray(0, to);
}

/** Far below zero when it is no hexadecimal digit, so that a sum with another digit is too. */
function hexValue(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1_000;
}
