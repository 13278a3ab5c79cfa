/**
 * Every metric, once: its names, labels and meaning, and where its numbers come from. The page under `/metrics` and
 * docs/metrics.md are made from this table.
 *
 * Names    hedgerow_<noun>_<unit>, `_total` for what only grows. `postHog` shows the same numbers under PostHog's name
 *          and labels (protocol.md 9), so that boards and alarms made for its capture service go on working.
 * Labels   come from closed sets: routes, methods, status codes, error codes. Never a key, an event's name or a project.
 */
import type { Histogram, LabelledCounter } from './instruments.ts';
import type { MetricReadings, Metrics } from './metrics.ts';
import { postHogErrorTag } from './posthog-error-tag.ts';

export interface Sample {
  /** Values, in the order of the row's labels. */
  readonly labels: readonly string[];
  readonly value: number | Histogram;
}

export interface MetricRow {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly labels: readonly string[];
  readonly help: string;
  /** The same numbers under another name; `labels` in the same order, where their names differ. */
  readonly postHog?: { readonly name: string; readonly labels?: readonly string[] };
  readonly samples: (metrics: Metrics, readings: MetricReadings) => readonly Sample[];
}

interface NumberSample extends Sample {
  readonly value: number;
}

function one(value: number | Histogram | undefined): readonly Sample[] {
  return value === undefined ? [] : [{ labels: [], value }];
}

function all(counter: LabelledCounter): readonly NumberSample[] {
  return [...counter.entries()];
}

const REQUEST_LABELS = ['route', 'method', 'status'] as const;
const POSTHOG_REQUEST_LABELS = ['path', 'method', 'status'] as const;

export const metricTable: readonly MetricRow[] = [
  {
    name: 'hedgerow_http_requests_total',
    type: 'counter',
    labels: REQUEST_LABELS,
    help: 'Requests answered.',
    postHog: { name: 'http_requests_total', labels: POSTHOG_REQUEST_LABELS },
    samples: (m) =>
      [...m.http.all()].map((cell) => ({
        labels: [cell.route, cell.method, String(cell.status)],
        value: cell.seconds.count,
      })),
  },
  {
    name: 'hedgerow_http_request_duration_seconds',
    type: 'histogram',
    labels: REQUEST_LABELS,
    help: 'From the headers of a request to its answer; the time its body takes to arrive is in it.',
    postHog: { name: 'http_requests_duration_seconds', labels: POSTHOG_REQUEST_LABELS },
    samples: (m) =>
      [...m.http.all()].map((cell) => ({
        labels: [cell.route, cell.method, String(cell.status)],
        value: cell.seconds,
      })),
  },
  {
    name: 'hedgerow_http_requests_in_flight',
    type: 'gauge',
    labels: [],
    help: 'Requests that have begun and are not answered yet; the one that asks for this page counts too.',
    postHog: { name: 'capture_active_connections' },
    samples: (m) => one(m.http.inFlight),
  },
  {
    name: 'hedgerow_http_open_connections',
    type: 'gauge',
    labels: [],
    help: 'Connections that are open, idle ones too (`max-connections`).',
    samples: (m) => one(m.http.connections),
  },
  {
    name: 'hedgerow_http_unreadable_requests_total',
    type: 'counter',
    labels: ['code'],
    help: 'Connections closed because what came was no HTTP request, or its headers too slowly. They have no route.',
    samples: (m) => all(m.unreadableRequests),
  },
  {
    name: 'hedgerow_requests_refused_total',
    type: 'counter',
    labels: ['code'],
    help: 'Capture requests refused as a whole, by error code (errors.md).',
    samples: (m) => all(m.requestsRefused),
  },
  {
    name: 'hedgerow_body_bytes_total',
    type: 'counter',
    labels: [],
    help: 'Bytes of capture bodies that were read whole, as they came over the wire.',
    samples: (m) => one(m.bodyBytes.sum),
  },
  {
    name: 'hedgerow_body_size_bytes',
    type: 'histogram',
    labels: [],
    help: 'Size of a capture body as it came over the wire.',
    postHog: { name: 'capture_raw_payload_size' },
    samples: (m) => one(m.bodyBytes),
  },
  {
    name: 'hedgerow_payload_size_bytes',
    type: 'histogram',
    labels: [],
    help: 'Size of a payload once decompressed; those over the limit are not in it.',
    samples: (m) => one(m.payloadBytes),
  },
  {
    name: 'hedgerow_gzip_ratio',
    type: 'histogram',
    labels: [],
    help: 'How many bytes one byte of a gzip payload became.',
    postHog: { name: 'capture_gzip_decompression_ratio' },
    samples: (m) => one(m.gzipRatio),
  },
  {
    name: 'hedgerow_lz64_ratio',
    type: 'histogram',
    labels: [],
    help: 'The same for an LZ-string payload.',
    postHog: { name: 'capture_lz64_decompression_ratio' },
    samples: (m) => one(m.lz64Ratio),
  },
  {
    name: 'hedgerow_payloads_too_large_total',
    type: 'counter',
    labels: ['kind'],
    help: 'Payloads over the limit: `none` as sent, else by compression, once decompressed.',
    postHog: { name: 'capture_payload_size_exceeded' },
    samples: (m) => all(m.payloadTooLarge),
  },
  {
    name: 'hedgerow_rejected_body_drains_total',
    type: 'counter',
    labels: ['outcome', 'reason'],
    help: 'Bodies over the limit whose rest was read off so that the answer arrives: `drained`, or `abandoned` and why.',
    postHog: { name: 'capture_rejected_body_drain_total' },
    samples: (m) => all(m.bodyDrains),
  },
  {
    name: 'hedgerow_events_received_total',
    type: 'counter',
    labels: [],
    help: 'Events of capture requests whose key named a project.',
    postHog: { name: 'capture_events_received_total' },
    samples: (m) => one(m.eventsReceived.value),
  },
  {
    name: 'hedgerow_events_accepted_total',
    type: 'counter',
    labels: [],
    help: 'Events acknowledged: they are durable in the log.',
    postHog: { name: 'capture_events_ingested_total' },
    samples: (m) => one(m.eventsAccepted.value),
  },
  {
    name: 'hedgerow_events_rejected_total',
    type: 'counter',
    labels: ['code'],
    help: 'Events received and not accepted, by code; those refused with their request, by a limit or by the log, too.',
    postHog: { name: 'capture_events_dropped_total', labels: ['cause'] },
    samples: (m) => all(m.eventsRejected),
  },
  {
    name: 'hedgerow_limit_quota_used_ratio',
    type: 'gauge',
    labels: [],
    help: 'Of the monthly quotas of all projects the one used most: 1 is used up. `hedgerow limits show` tells which.',
    samples: (_, r) => one(r.limitUse?.quotaRatio),
  },
  {
    name: 'hedgerow_limit_burst_used_ratio',
    type: 'gauge',
    labels: [],
    help: 'Of the rates of all projects the one nearest to its limit: at 1 the bucket of its burst is empty.',
    samples: (_, r) => one(r.limitUse?.burstRatio),
  },
  {
    name: 'hedgerow_client_clock_skew_seconds',
    type: 'histogram',
    labels: [],
    help: 'How far apart the send time a request names and its arrival are, without sign.',
    postHog: { name: 'capture_client_clock_skew_seconds' },
    samples: (m) => one(m.clockSkewSeconds),
  },
  {
    name: 'hedgerow_event_times_total',
    type: 'counter',
    labels: ['source'],
    help: 'Events fit to be kept, by what decided their time; `now_fallback`: none given, unreadable, or over 23 hours ahead.',
    postHog: { name: 'capture_timestamp_path_total', labels: ['ts_path'] },
    samples: (m) =>
      Object.entries(m.eventTimes).map(([source, counter]) => ({ labels: [source], value: counter.value })),
  },
  {
    name: 'hedgerow_distinct_ids_with_whitespace_total',
    type: 'counter',
    labels: [],
    help: 'Events fit to be kept whose distinct_id begins or ends with a space, mostly by mistake; it is kept as it came.',
    postHog: { name: 'capture_distinct_id_has_whitespace_total' },
    samples: (m) => one(m.distinctIdsWithWhitespace.value),
  },
  {
    name: 'hedgerow_log_append_duration_seconds',
    type: 'histogram',
    labels: [],
    help: 'From handing the records of a request to the log until they are durable: its wait and its write.',
    samples: (m) => one(m.logAppendSeconds),
  },
  {
    name: 'hedgerow_log_write_duration_seconds',
    type: 'histogram',
    labels: [],
    help: 'One synced write to the disk, which all requests of a group share.',
    samples: (m) => one(m.logWriteSeconds),
  },
  {
    name: 'hedgerow_log_group_frames',
    type: 'histogram',
    labels: [],
    help: 'Requests that shared one synced write.',
    samples: (m) => one(m.logGroupFrames),
  },
  {
    name: 'hedgerow_log_group_bytes',
    type: 'histogram',
    labels: [],
    help: 'Bytes of one synced write.',
    samples: (m) => one(m.logGroupBytes),
  },
  {
    name: 'hedgerow_log_queue_bytes',
    type: 'gauge',
    labels: [],
    help: 'Bytes that wait for the disk, those being written too.',
    samples: (_, r) => one(r.queue?.bytes),
  },
  {
    name: 'hedgerow_log_queue_limit_bytes',
    type: 'gauge',
    labels: [],
    help: 'The most that may wait (`max-queue-bytes`). From half of it on, new requests are refused.',
    samples: (_, r) => one(r.queue?.limitBytes),
  },
  {
    name: 'hedgerow_log_queue_oldest_seconds',
    type: 'gauge',
    labels: [],
    help: 'How long the oldest of them waits; 0 when nothing does.',
    samples: (_, r) => one(r.queue === undefined ? undefined : r.queue.oldestMs / 1000),
  },
  {
    name: 'hedgerow_log_faults_total',
    type: 'counter',
    labels: ['during', 'code'],
    help: 'What failed underneath the log, by what was being done. Nothing acknowledged is lost by it.',
    samples: (m) => all(m.logFaults),
  },
  {
    name: 'hedgerow_disk_free_bytes',
    type: 'gauge',
    labels: [],
    help: 'Room left for this user on the disk of the data folder.',
    samples: (_, r) => one(r.diskFreeBytes),
  },
  {
    name: 'hedgerow_loader_lag_events',
    type: 'gauge',
    labels: [],
    help: 'Durable records that are not in the store yet, rejected events among them.',
    samples: (_, r) => one(r.loaderLag?.records),
  },
  {
    name: 'hedgerow_loader_lag_seconds',
    type: 'gauge',
    labels: [],
    help: 'How long ago the oldest of them was received; 0 when there is none.',
    samples: (_, r) => one(r.loaderLag === undefined ? undefined : r.loaderLag.oldestMs / 1000),
  },
  {
    name: 'hedgerow_rejections_kept_events',
    type: 'gauge',
    labels: [],
    help: 'Rejected events that the store keeps, as of at most 10 s ago; those that were sent again since are among them.',
    samples: (_, r) => one(r.rejectionsKept?.events),
  },
  {
    name: 'hedgerow_rejections_kept_bytes',
    type: 'gauge',
    labels: [],
    help: 'What they take of `rejections-max-bytes`.',
    samples: (_, r) => one(r.rejectionsKept?.bytes),
  },
  {
    name: 'hedgerow_rejections_deleted_total',
    type: 'counter',
    labels: ['bound'],
    help: 'Rejected events deleted because they were too old (`age`) or too many (`size`).',
    samples: (m) => all(m.rejectionsDeleted),
  },
  {
    name: 'hedgerow_loader_retries_total',
    type: 'counter',
    labels: [],
    help: 'Attempts to load a block that the store did not take; it is tried again.',
    samples: (m) => one(m.loaderRetries.value),
  },
  {
    name: 'hedgerow_store_insert_duration_seconds',
    type: 'histogram',
    labels: [],
    help: 'One block of the loader, look-ups and further attempts included, until the store has synced it.',
    samples: (m) => one(m.storeInsertSeconds),
  },
  {
    name: 'hedgerow_events_stored_total',
    type: 'counter',
    labels: [],
    help: 'Events that the loader put into the store.',
    samples: (m) => one(m.eventsStored.value),
  },
  {
    name: 'hedgerow_events_duplicate_total',
    type: 'counter',
    labels: [],
    help: 'Events that came again under a uuid that is stored already.',
    samples: (m) => one(m.eventsDuplicate.value),
  },
  {
    name: 'hedgerow_events_replayed_total',
    type: 'counter',
    labels: [],
    help: 'Events that the loader met again after a stop or crash and did not store a second time.',
    samples: (m) => one(m.eventsReplayed.value),
  },
  {
    name: 'hedgerow_rejections_stored_total',
    type: 'counter',
    labels: [],
    help: 'Rejected events that the loader put into the store, where they can be looked up.',
    samples: (m) => one(m.rejectionsStored.value),
  },
  {
    name: 'hedgerow_events_properties_raw_only_total',
    type: 'counter',
    labels: [],
    help: 'Events whose properties the store could not take as sent; they are kept as text.',
    samples: (m) => one(m.propertiesUnreadable.value),
  },
  {
    name: 'hedgerow_ledger_imbalance_events',
    type: 'gauge',
    labels: [],
    help: 'Events by which the ledger’s numbers differ from each other or from the store; 0 unless events are lost or counted wrongly.',
    samples: (_, r) => one(r.ledgerImbalanceEvents),
  },
  {
    name: 'hedgerow_process_start_time_seconds',
    type: 'gauge',
    labels: [],
    help: 'When this process began, in seconds since 1970.',
    samples: () => one(performance.timeOrigin / 1000),
  },
];

/** Facts that only PostHog counts so; made of the numbers above. */
export const postHogTable: readonly MetricRow[] = [
  {
    name: 'capture_error_by_stage_and_type',
    type: 'counter',
    labels: ['error', 'stage'],
    help: 'hedgerow_requests_refused_total by PostHog’s words for the reason; our code where it has none.',
    samples: (m) => merged(all(m.requestsRefused).map(({ labels, value }) => ({ ...tagged(labels[0] ?? ''), value }))),
  },
  {
    name: 'capture_full_payload_size',
    type: 'histogram',
    labels: ['oversize'],
    help: 'hedgerow_payload_size_bytes. What is over the limit is not decompressed to its end, so `oversize` is always false.',
    samples: (m) => [{ labels: ['false'], value: m.payloadBytes }],
  },
  {
    name: 'capture_quota_limit_exceeded',
    type: 'counter',
    labels: ['resource'],
    help: 'Requests refused because the monthly quota of their project is used up.',
    samples: (m) =>
      all(m.requestsRefused)
        .filter(({ labels }) => labels[0] === 'quota_exceeded')
        .map(({ value }) => ({ labels: ['events'], value })),
  },
  {
    name: 'capture_body_read_timeout_total',
    type: 'counter',
    labels: ['path'],
    help: 'Bodies that stalled: requests answered with 408.',
    samples: (m) =>
      merged(
        [...m.http.all()]
          .filter((cell) => cell.status === 408)
          .map((cell) => ({ labels: [cell.route], value: cell.seconds.count })),
      ),
  },
];

function tagged(code: string): { readonly labels: readonly string[] } {
  const { error, stage } = postHogErrorTag(code);
  return { labels: [error, stage] };
}

/** One sample for each set of labels. */
function merged(samples: readonly NumberSample[]): readonly NumberSample[] {
  const sums = new Map<string, { labels: readonly string[]; value: number }>();
  for (const { labels, value } of samples) {
    const key = labels.join('\n');
    const sum = sums.get(key);
    if (sum === undefined) sums.set(key, { labels, value });
    else sum.value += value;
  }
  return [...sums.values()];
}
