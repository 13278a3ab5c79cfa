import type { LogLines } from '../telemetry/log-lines.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { LoaderStats } from './loader-stats.ts';

/** The loader's counts as metrics, and its trouble as log lines. */
export function metricStats(metrics: Metrics, log: LogLines): LoaderStats {
  return {
    loaded: (block) => {
      metrics.eventsStored.inc(block.stored);
      metrics.eventsDuplicate.inc(block.duplicates);
      metrics.propertiesUnreadable.inc(block.rawOnly);
      metrics.storeInsertSeconds.observe(block.durationMs / 1000);
    },
    lag: (records) => {
      metrics.loaderLagEvents.set(records);
    },
    retrying: (reason, attempt) => {
      log.warn({ reason, attempt }, 'a block is not in the store yet; it is tried again, and capture goes on');
    },
  };
}
