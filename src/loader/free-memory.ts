import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Gives back what a burst has left behind: an idle process collects no garbage by itself, and would keep tens of MiB for
 * good. Blocks the thread for some 20 ms, so only for when there is little to do.
 */
export function freeMemory(): void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('globalThis.gc');
  if (typeof collect === 'function') collect();
}
