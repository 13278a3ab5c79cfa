import type { LogLines } from '../telemetry/log-lines.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { LoaderStats } from './loader-stats.ts';

/** The loader's counts as metrics, and its trouble as log lines. */
export function metricStats(metrics: Metrics, log: LogLines): LoaderStats {
  return {
    loaded: (block) => {
      metrics.eventsStored.add(block.stored);
      metrics.eventsDuplicate.add(block.duplicates);
      metrics.eventsReplayed.add(block.replayed);
      metrics.rejectionsStored.add(block.rejections);
      metrics.propertiesUnreadable.add(block.rawOnly);
      metrics.storeInsertSeconds.observe(block.durationMs / 1000);
    },
    retrying: (reason, attempt) => {
      metrics.loaderRetries.add();
      log.warn({ reason, attempt }, 'a block is not in the store yet; it is tried again, and capture goes on');
    },
  };
}
