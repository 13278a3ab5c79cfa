import type { Clock } from '../event/clock.ts';

/** A reading that is asked of the system at most once in `maxAgeMs`, however many ask. A failure is not kept. */
export function cachedReading(
  settings: { readonly clock: Clock; readonly maxAgeMs: number },
  read: () => Promise<number>,
): () => Promise<number> {
  let last: { readonly atMs: number; readonly value: Promise<number> } | undefined;
  return () => {
    const nowMs = settings.clock.monotonicMs();
    if (last === undefined || nowMs - last.atMs >= settings.maxAgeMs) {
      const value = read();
      last = { atMs: nowMs, value };
      value.catch(() => {
        if (last?.value === value) last = undefined;
      });
    }
    return last.value;
  };
}
