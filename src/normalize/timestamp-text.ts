/**
 * Reads a time as clients write it (protocol.md 3.7): RFC 3339, also with a two-digit zone; a date alone; with a space or
 * slashes; RFC 2822; Unix seconds or milliseconds as digits; without a zone it is UTC.
 */
const DAY_MS = 86_400_000;
const MAX_MS = Date.parse('9999-12-31T23:59:59.999Z');

const ISO =
  /^([+-]?\d{4,6})[-/](\d{1,2})[-/](\d{1,2})(?:[T\s]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,12}))?)?\s*(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?$/;
const RFC_2822 =
  /^(?:[A-Za-z]{3},\s*)?\d{1,2}\s+[A-Za-z]{3}\s+\d{2,4}\s+\d{1,2}:\d{2}(?::\d{2})?(?:\s+(?:[+-]\d{4}|[A-Z]{1,4}))?$/;
const NUMERIC = /^-?\d{1,16}(?:\.\d+)?$/;
/** From here on digits mean milliseconds: as seconds it would be the year 5138. */
const MIN_NUMERIC_MS = 100_000_000_000;

/** @returns epoch ms, exact to the microsecond; undefined when it cannot be read */
export function parseTimestamp(text: string): number | undefined {
  const trimmed = text.trim();
  const iso = ISO.exec(trimmed);
  if (iso !== null) return isoTime(iso);
  if (NUMERIC.test(trimmed)) {
    const number = Number(trimmed);
    return Math.abs(number) >= MIN_NUMERIC_MS ? number : number * 1000;
  }
  if (RFC_2822.test(trimmed)) {
    const hasZone = /[+-]\d{4}$|[A-Z]{1,4}$/.test(trimmed);
    const parsed = Date.parse(hasZone ? trimmed : `${trimmed} GMT`);
    return Number.isNaN(parsed) ? undefined : parsed;
  }
  return undefined;
}

function isoTime(match: RegExpExecArray): number | undefined {
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
  const [hour, minute, second] = [Number(match[4] ?? 0), Number(match[5] ?? 0), Number(match[6] ?? 0)];
  if (month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return undefined;
  if (hour > 23 || minute > 59 || second > 60) return undefined;
  const date = new Date(0);
  date.setUTCFullYear(year, month - 1, day);
  const fraction = match[7];
  const microseconds = fraction === undefined ? 0 : Number(fraction.slice(0, 6).padEnd(6, '0'));
  const wholeMs = date.getTime() + ((hour * 60 + minute) * 60 + second) * 1000 - zoneMs(match[8]);
  const timeMs = wholeMs + microseconds / 1000;
  return timeMs > MAX_MS + DAY_MS ? undefined : timeMs;
}

function zoneMs(zone: string | undefined): number {
  if (zone === undefined || !/^[+-]/.test(zone)) return 0;
  const digits = zone.slice(1).replace(':', '');
  const minutes = Number(digits.slice(0, 2)) * 60 + Number(digits.slice(2) === '' ? 0 : digits.slice(2));
  return (zone.startsWith('-') ? -minutes : minutes) * 60_000;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

const DIGIT = /* '0' */ 0x30;

function digitsAt(body: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let i = at; i < at + count; i++) {
    const digit = (body[i] as number) - DIGIT;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

/**
 * The same for the one form that nearly all clients send, `YYYY-MM-DDTHH:MM:SS[.fff…]Z`, read from the bytes.
 *
 * @returns undefined when it is another form, or unreadable: ask `parseTimestamp`. Cost: allocates nothing.
 */
export class FastTimestamps {
  #day = -1;
  #dayMs = 0;

  read(body: Uint8Array, start: number, end: number): number | undefined {
    const length = end - start;
    if (length < 20 || length > 30 || body[end - 1] !== 0x5a) return undefined;
    if (body[start + 4] !== 0x2d || body[start + 7] !== 0x2d || body[start + 10] !== 0x54) return undefined;
    if (body[start + 13] !== 0x3a || body[start + 16] !== 0x3a) return undefined;
    const year = digitsAt(body, start, 4);
    const month = digitsAt(body, start + 5, 2);
    const day = digitsAt(body, start + 8, 2);
    const hour = digitsAt(body, start + 11, 2);
    const minute = digitsAt(body, start + 14, 2);
    const second = digitsAt(body, start + 17, 2);
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return undefined;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return undefined;
    let microseconds = 0;
    if (length > 20) {
      if (body[start + 19] !== 0x2e) return undefined;
      const digits = Math.min(length - 21, 6);
      if (digits < 1) return undefined;
      microseconds = digitsAt(body, start + 20, digits);
      if (microseconds < 0 || digitsAt(body, start + 20, length - 21) < 0) return undefined;
      for (let i = digits; i < 6; i++) microseconds *= 10;
    }
    const dayNumber = (year * 16 + month) * 32 + day;
    if (dayNumber !== this.#day) {
      const date = new Date(0);
      date.setUTCFullYear(year, month - 1, day);
      this.#day = dayNumber;
      this.#dayMs = date.getTime();
    }
    return this.#dayMs + ((hour * 60 + minute) * 60 + second) * 1000 + microseconds / 1000;
  }
}
