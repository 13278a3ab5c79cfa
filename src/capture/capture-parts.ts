import type { FairShares } from '../admission/fair-shares.ts';
import type { KeyLookup } from '../admission/key-lookup.ts';
import type { RateGate } from '../admission/rate-gate.ts';
import type { Clock } from '../event/clock.ts';
import type { IdSource } from '../event/id-source.ts';
import type { ProjectId } from '../event/ids.ts';
import type { LogWriter } from '../log/log.ts';
import type { Privacy } from '../normalize/privacy.ts';
import type { Metrics } from '../telemetry/metrics.ts';

/** What a request is judged by and kept with, whichever protocol it speaks. */
export interface CaptureParts<Limits> {
  readonly log: LogWriter;
  /** Of the bytes that wait for the log. */
  readonly shares: FairShares<ProjectId>;
  readonly keys: KeyLookup;
  readonly gate: RateGate;
  readonly privacy: Privacy;
  readonly ids: IdSource;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly limits: Limits;
}
