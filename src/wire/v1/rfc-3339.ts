/** Times as V1 wants them: RFC 3339 with date, time and zone, and nothing else (protocol.md 8.2). */
const RFC_3339 = /^(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):(\d{2}))$/;
/** The spelling that needs no rewriting before `normalize/` reads it again. */
const PLAIN = /^.{10}T.{8}(?:\.\d{1,9})?(?:Z|[+-]\d{2}:\d{2})$/;

/** @returns epoch ms, exact to the microsecond; undefined when it is none. A leap second (`:60`) is the second behind it. */
export function parseRfc3339(text: string): number | undefined {
  const match = RFC_3339.exec(text);
  if (match === null) return undefined;
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
  const [hour, minute, second] = [Number(match[4]), Number(match[5]), Number(match[6])];
  const [zoneHour, zoneMinute] = [Number(match[9] ?? 0), Number(match[10] ?? 0)];
  if (hour > 23 || minute > 59 || second > 60 || zoneHour > 23 || zoneMinute > 59) return undefined;
  if (month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return undefined;
  const zoneMinutes = (zoneHour * 60 + zoneMinute) * (match[8] === '-' ? -1 : 1);
  const microseconds = Number((match[7] ?? '').slice(0, 6).padEnd(6, '0'));
  const minutes = (dayNumber(year, month, day) * 24 + hour) * 60 + minute - zoneMinutes;
  return (minutes * 60 + second) * 1000 + microseconds / 1000;
}

function daysIn(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28;
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31;
}

/** Days since 1970, in arithmetic alone: a `Date` an event costs more than the rest. Years begin in March, leap day last. */
function dayNumber(year: number, month: number, day: number): number {
  const y = month > 2 ? year : year - 1;
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1;
  return y * 365 + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) + dayOfYear - 719_468;
}

/** @param text one that `parseRfc3339` reads. @returns the same time, with capitals and at most 9 decimals */
export function plainRfc3339(text: string): string {
  return PLAIN.test(text) ? text : text.toUpperCase().replace(/(\.\d{9})\d+/, '$1');
}
