/**
 * Everything that is counted, as plain numbers. The parts add to it; metric-table.ts says under which names it is shown.
 *
 * Cost     One capture request adds to it in less than a microsecond, all labels and PostHog's names included: those are
 *          put together when somebody asks for `/metrics`.
 * Ledger   received = accepted + rejected, once no request is under way. accepted = stored + duplicate + replayed + what
 *          still waits in the log, over a data folder's whole life: counts begin at 0 with the process, which may load
 *          what an earlier one accepted.
 */
import { HttpMetrics } from './http-metrics.ts';
import { Counter, Histogram, LabelledCounter } from './instruments.ts';

/** A source that has not answered by then is left out: the page is wanted most when a disk hangs. */
export const SOURCE_DEADLINE_MS = 2_000;
const SIZES = [1_024, 5_120, 10_240, 51_200, 102_400, 1_048_576, 10_485_760, 20_971_520, 104_857_600];
const RATIOS = [1, 2, 4, 6, 8, 10, 15, 20, 50, 100, 1_000];
const DISK_SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5];

/** What is read when somebody asks; a process without the part has no source. */
export interface MetricSources {
  readonly queue?: () => QueueReading;
  readonly loaderLag?: () => Promise<LagReading>;
  readonly diskFreeBytes?: () => Promise<number>;
  readonly limitUse?: () => LimitUseReading;
  readonly rejectionsKept?: () => RejectionsReading | undefined;
  /** Events by which the ledger's numbers differ (loader/ledger-check.ts). */
  readonly ledgerImbalanceEvents?: () => number;
}

export interface QueueReading {
  readonly bytes: number;
  readonly limitBytes: number;
  /** How long the oldest append waits, ms; 0 when none does. */
  readonly oldestMs: number;
}

export interface LagReading {
  readonly records: number;
  /** How long ago the oldest of them was received, ms; 0 when there is none. */
  readonly oldestMs: number;
}

/** From 0, nothing, to 1, all, of the limit that is used most; undefined when no project has such a limit. */
export interface LimitUseReading {
  readonly quotaRatio: number | undefined;
  readonly burstRatio: number | undefined;
}

/** Rejected events that the store keeps, as the bounds count them. */
export interface RejectionsReading {
  readonly events: number;
  readonly bytes: number;
}

export interface MetricReadings {
  readonly queue: QueueReading | undefined;
  readonly loaderLag: LagReading | undefined;
  readonly diskFreeBytes: number | undefined;
  readonly limitUse: LimitUseReading | undefined;
  readonly rejectionsKept: RejectionsReading | undefined;
  readonly ledgerImbalanceEvents: number | undefined;
}

/** Which of the times that a client may send decided an event's time (protocol.md 3.7). */
export type TimeSource = 'offset' | 'sent_at_skew' | 'timestamp_raw' | 'now_fallback';

export class Metrics {
  readonly http = new HttpMetrics();
  /** By code: bytes on a socket in which no request could be read. */
  readonly unreadableRequests = new LabelledCounter();
  /** By code: capture requests refused as a whole. */
  readonly requestsRefused = new LabelledCounter();

  readonly bodyBytes = new Histogram(SIZES);
  /** Once inflated. */
  readonly payloadBytes = new Histogram(SIZES);
  readonly gzipRatio = new Histogram(RATIOS);
  readonly lz64Ratio = new Histogram(RATIOS);
  /** By compression: `none`, `gzip` and so on. */
  readonly payloadTooLarge = new LabelledCounter();
  /** By outcome and reason. */
  readonly bodyDrains = new LabelledCounter();

  readonly eventsReceived = new Counter();
  readonly eventsAccepted = new Counter();
  /** By code. */
  readonly eventsRejected = new LabelledCounter();
  readonly clockSkewSeconds = new Histogram([0.1, 0.5, 1, 2, 5, 10, 30, 60, 300, 3_600, 86_400]);
  readonly eventTimes: Readonly<Record<TimeSource, Counter>> = {
    offset: new Counter(),
    sent_at_skew: new Counter(),
    timestamp_raw: new Counter(),
    now_fallback: new Counter(),
  };
  readonly distinctIdsWithWhitespace = new Counter();

  readonly logAppendSeconds = new Histogram(DISK_SECONDS);
  readonly logWriteSeconds = new Histogram(DISK_SECONDS);
  readonly logGroupFrames = new Histogram([1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000]);
  readonly logGroupBytes = new Histogram([1_024, 4_096, 16_384, 65_536, 262_144, 1_048_576, 4_194_304, 16_777_216]);
  /** By what was done and code. */
  readonly logFaults = new LabelledCounter();

  readonly eventsStored = new Counter();
  readonly eventsDuplicate = new Counter();
  readonly eventsReplayed = new Counter();
  readonly rejectionsStored = new Counter();
  /** By bound: `age` or `size`. */
  readonly rejectionsDeleted = new LabelledCounter();
  readonly propertiesUnreadable = new Counter();
  readonly storeInsertSeconds = new Histogram([0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]);
  readonly loaderRetries = new Counter();

  #sources: MetricSources = {};

  /** Adds to what `readings` asks. */
  watch(sources: MetricSources): void {
    this.#sources = { ...this.#sources, ...sources };
  }

  /** Never rejects: what fails or hangs is undefined. */
  async readings(): Promise<MetricReadings> {
    const { queue, loaderLag, diskFreeBytes, limitUse, rejectionsKept, ledgerImbalanceEvents } = this.#sources;
    const [lag, freeBytes] = await Promise.all([answerOf(loaderLag), answerOf(diskFreeBytes)]);
    return {
      queue: queue?.(),
      loaderLag: lag,
      diskFreeBytes: freeBytes,
      limitUse: limitUse?.(),
      rejectionsKept: rejectionsKept?.(),
      ledgerImbalanceEvents: ledgerImbalanceEvents?.(),
    };
  }
}

function answerOf<T>(source: (() => Promise<T>) | undefined): Promise<T | undefined> {
  if (source === undefined) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      resolve(undefined);
    }, SOURCE_DEADLINE_MS);
    source()
      .then(resolve, () => {
        resolve(undefined);
      })
      .finally(() => {
        clearTimeout(timer);
      });
  });
}
