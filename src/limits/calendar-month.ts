/** A calendar month in UTC: the period of a quota. */
export interface CalendarMonth {
  /** `YYYY-MM`. */
  readonly name: string;
  readonly startMs: number;
  /** Where the next one begins. */
  readonly endMs: number;
}

export function calendarMonth(nowMs: number): CalendarMonth {
  const now = new Date(nowMs);
  const year = now.getUTCFullYear();
  const month = now.getUTCMonth();
  return { name: now.toISOString().slice(0, 7), startMs: Date.UTC(year, month), endMs: Date.UTC(year, month + 1) };
}
