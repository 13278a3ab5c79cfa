/**
 * Instants in the reading API: ISO 8601 out, ISO 8601 or PostHog's relative form (`-24h`) in. Microseconds are bigints,
 * since those of the year 2260 exceed what a number holds exactly.
 */
import type { EpochMs } from '../event/ids.ts';

const ISO = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?(?:(Z)|([+\- ])(\d\d):?(\d\d))?)?$/i;
const RELATIVE = /^-(\d{1,6})([hdw])$/;
const HOUR_MS = 3_600_000;
const unitMs: Readonly<Record<string, number>> = { h: HOUR_MS, d: 24 * HOUR_MS, w: 168 * HOUR_MS };

/** UTC with milliseconds, rounded down. */
export function formatInstant(epochMs: EpochMs | number): string {
  return new Date(Math.floor(epochMs)).toISOString();
}

/** As `formatInstant`, from the store's text of whole microseconds. */
export function formatMicros(micros: string): string {
  return formatInstant(Number(BigInt(micros)) / 1000);
}

/** Microseconds since 1970 of an instant in a query, or undefined when it is none. Without a zone it is UTC. */
export function parseInstantMicros(text: string, nowMs: EpochMs): bigint | undefined {
  const relative = RELATIVE.exec(text);
  if (relative !== null) return toMicros(Math.floor(nowMs) - Number(relative[1]) * (unitMs[relative[2] ?? ''] ?? 0));
  const iso = ISO.exec(text);
  if (iso === null) return undefined;
  const [, date = '', time = '00:00', seconds = '00', fraction = '', , sign, zoneHours = '00', zoneMinutes = '00'] =
    iso;
  // In a query string an unescaped `+` arrives as a space.
  const zone = sign === undefined ? 'Z' : `${sign === ' ' ? '+' : sign}${zoneHours}:${zoneMinutes}`;
  const secondsMs = Date.parse(`${date}T${time}:${seconds}${zone}`);
  if (Number.isNaN(secondsMs) || !isRealDay(date)) return undefined;
  return toMicros(secondsMs) + BigInt(fraction.slice(0, 6).padEnd(6, '0'));
}

/** `Date.parse` turns 30 February into 1 March. */
function isRealDay(date: string): boolean {
  const dayMs = Date.parse(`${date}T00:00:00Z`);
  return !Number.isNaN(dayMs) && new Date(dayMs).toISOString().startsWith(date);
}

function toMicros(wholeMs: number): bigint {
  return BigInt(wholeMs) * 1000n;
}
