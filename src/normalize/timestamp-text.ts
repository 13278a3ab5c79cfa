/**
 * Reads a time as clients write it (protocol.md 3.7): RFC 3339, also with a two-digit zone; a date alone; with a space or
 * slashes, the year first or last; RFC 2822; Unix time as digits. Without a zone it is UTC.
 */
const DAY_MS = 86_400_000;
const MAX_MS = Date.parse('9999-12-31T23:59:59.999Z');

const CLOCK = String.raw`(?:[Tt\s]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,](\d{1,12}))?)?\s*(Z|z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?)?$`;
const YEAR_FIRST = new RegExp(String.raw`^([+-]?\d{4,6})([-/])(\d{1,2})\2(\d{1,2})${CLOCK}`);
/** As the United States write it: the month first. */
const YEAR_LAST = new RegExp(String.raw`^(\d{1,2})/(\d{1,2})/(\d{4})${CLOCK}`);
const RFC_2822 =
  /^(?:[A-Za-z]{3},\s*)?\d{1,2}\s+[A-Za-z]{3}\s+\d{2,4}\s+\d{1,2}:\d{2}(?::\d{2})?(?:\s+(?:[+-]\d{4}|[A-Z]{1,4}))?$/;
/** Fewer digits are no time since 1973: a year, a date without its hyphens. */
const NUMERIC = /^(\d{9,19})(?:\.\d{1,9})?$/;
/** The longest text that can be a time; a longer one is not tried. */
const MAX_CHARACTERS = 64;

/** @returns epoch ms, exact to the microsecond; undefined when it cannot be read */
export function parseTimestamp(text: string): number | undefined {
  const trimmed = text.trim();
  if (trimmed.length > MAX_CHARACTERS) return undefined;
  const yearFirst = YEAR_FIRST.exec(trimmed);
  if (yearFirst !== null) {
    return timeOf({ year: yearFirst[1], month: yearFirst[3], day: yearFirst[4] }, yearFirst.slice(5));
  }
  const yearLast = YEAR_LAST.exec(trimmed);
  if (yearLast !== null) {
    return timeOf({ year: yearLast[3], month: yearLast[1], day: yearLast[2] }, yearLast.slice(4));
  }
  const numeric = NUMERIC.exec(trimmed);
  if (numeric !== null) return Number(trimmed) * msPerUnit(numeric[1] ?? '');
  if (RFC_2822.test(trimmed)) {
    const hasZone = /[+-]\d{4}$|[A-Z]{1,4}$/.test(trimmed);
    const parsed = Date.parse(hasZone ? trimmed : `${trimmed} GMT`);
    return Number.isNaN(parsed) ? undefined : parsed;
  }
  return undefined;
}

/** By the number of digits: seconds, milliseconds, microseconds, nanoseconds, as the present has 10, 13, 16 and 19. */
function msPerUnit(digits: string): number {
  if (digits.length <= 11) return 1_000;
  if (digits.length <= 14) return 1;
  return digits.length <= 17 ? 1 / 1_000 : 1 / 1_000_000;
}

/** @param clock hour, minute, second, fraction, zone; each may be missing */
function timeOf(
  date: { readonly year: string | undefined; readonly month: string | undefined; readonly day: string | undefined },
  clock: readonly (string | undefined)[],
): number | undefined {
  const [year, month, day] = [Number(date.year), Number(date.month), Number(date.day)];
  const [hour, minute, second] = [Number(clock[0] ?? 0), Number(clock[1] ?? 0), Number(clock[2] ?? 0)];
  if (month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return undefined;
  if (hour > 23 || minute > 59 || second > 60) return undefined;
  const aheadMs = zoneMs(clock[4]);
  if (aheadMs === undefined) return undefined;
  const midnight = new Date(0);
  midnight.setUTCFullYear(year, month - 1, day);
  const fraction = clock[3];
  const microseconds = fraction === undefined ? 0 : Number(fraction.slice(0, 6).padEnd(6, '0'));
  const wholeMs = midnight.getTime() + ((hour * 60 + minute) * 60 + second) * 1000 - aheadMs;
  const timeMs = wholeMs + microseconds / 1000;
  return timeMs > MAX_MS + DAY_MS ? undefined : timeMs;
}

/** How far the zone's clocks are ahead of UTC; undefined when there is no such zone. */
function zoneMs(zone: string | undefined): number | undefined {
  if (zone === undefined || !/^[+-]/.test(zone)) return 0;
  const digits = zone.slice(1).replace(':', '');
  const hours = Number(digits.slice(0, 2));
  const minutes = digits.length === 2 ? 0 : Number(digits.slice(2));
  if (hours > 23 || minutes > 59) return undefined;
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60_000;
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
