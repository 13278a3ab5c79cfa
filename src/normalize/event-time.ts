import { asEpochMs, type EpochMs } from '../event/ids.ts';

/** What a client said about an event's time; by its own clock, where a clock is meant. */
export interface SentTimes {
  readonly timestampMs: number | undefined;
  readonly sentAtMs: number | undefined;
  readonly offsetMs: number | undefined;
}

export const MAX_AHEAD_MS = 23 * 3_600_000; // protocol.md 3.7, step 4
const YEAR_0_MS = Date.parse('0000-01-01T00:00:00Z'); // protocol.md 3.7, step 5

/**
 * When an event happened, corrected for the sender's clock.
 *
 * @param said each `undefined` when not said, not readable, or to be ignored; `offsetMs`: before `receivedAtMs`, may be negative
 * @param receivedAtMs by our clock, when the request arrived
 * @returns by our clock, at most 23 h after `receivedAtMs`; 1970 when the year is below 0
 *
 * Errors: none. Without a readable time it is `receivedAtMs`, as PostHog has it.
 * Source: protocol.md 3.7.
 */
export function eventTime(said: SentTimes, receivedAtMs: EpochMs): EpochMs {
  let timeMs: number = receivedAtMs;
  if (said.timestampMs !== undefined) {
    const skewMs = said.sentAtMs === undefined ? 0 : said.sentAtMs - receivedAtMs;
    timeMs = said.timestampMs - skewMs;
  }
  if (said.offsetMs !== undefined) timeMs = receivedAtMs - said.offsetMs;
  if (timeMs > receivedAtMs + MAX_AHEAD_MS) return receivedAtMs;
  return asEpochMs(timeMs < YEAR_0_MS ? 0 : timeMs);
}
