import { asEpochMs, type EpochMs } from './ids.ts';

/** The only place that reads the machine's time. */
export interface Clock {
  /** Wall clock, whole milliseconds. */
  nowMs(): EpochMs;
  /** Never runs backwards; for durations only. */
  monotonicMs(): number;
}

export const systemClock: Clock = {
  nowMs: () => asEpochMs(Date.now()),
  monotonicMs: () => performance.now(),
};
