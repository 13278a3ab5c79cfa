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

/** What waits for time to pass. Beside the clock, so that a simulation can make time its own. */
export interface Timers {
  /** At the end of this turn of the event loop. */
  setImmediate(run: () => void): void;
  setTimeout(run: () => void, ms: number): Timer;
  setInterval(run: () => void, ms: number): Timer;
  /** Of either kind. */
  clear(timer: Timer | undefined): void;
}

export interface Timer {
  /** It alone does not keep the process alive. */
  unref(): unknown;
}

export const systemTimers: Timers = {
  setImmediate: (run) => void setImmediate(run),
  setTimeout: (run, ms) => setTimeout(run, ms),
  setInterval: (run, ms) => setInterval(run, ms),
  clear: (timer) => clearTimeout(timer as NodeJS.Timeout | undefined), // clears intervals as well
};

/** At the end of this turn: who shares the thread goes first. */
export function nextTurn(timers: Timers): Promise<void> {
  return new Promise((resolve) => {
    timers.setImmediate(resolve);
  });
}

/** Resolves after `ms`, or once `signal` says so. */
export function pause(timers: Timers, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const finish = (): void => {
      timers.clear(timer);
      signal.removeEventListener('abort', finish);
      resolve();
    };
    const timer = timers.setTimeout(finish, ms);
    signal.addEventListener('abort', finish, { once: true });
  });
}
