/** Every number that Hedgerow shows under `/metrics`, declared once. Names: hedgerow_<noun>_<unit>. */
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

export type RouteLabel = 'capture' | 'read' | 'health' | 'metrics' | 'other';

export class Metrics {
  readonly registry = new Registry();
  readonly requests = new Counter({
    name: 'hedgerow_http_requests_total',
    help: 'Requests answered, by route, method and status.',
    labelNames: ['route', 'method', 'status'] as const,
    registers: [this.registry],
  });
  readonly requestSeconds = new Histogram({
    name: 'hedgerow_http_request_duration_seconds',
    help: 'From the first byte of a request to its answer.',
    labelNames: ['route'] as const,
    buckets: [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [this.registry],
  });
  readonly bodyBytes = new Counter({
    name: 'hedgerow_body_bytes_total',
    help: 'Bytes of request bodies as they came over the wire.',
    registers: [this.registry],
  });
  readonly eventsReceived = new Counter({
    name: 'hedgerow_events_received_total',
    help: 'Events decoded of requests whose project is known.',
    registers: [this.registry],
  });
  readonly eventsAccepted = new Counter({
    name: 'hedgerow_events_accepted_total',
    help: 'Events acknowledged: durable in the log.',
    registers: [this.registry],
  });
  readonly eventsRejected = new Counter({
    name: 'hedgerow_events_rejected_total',
    help: 'Events refused, by code.',
    labelNames: ['code'] as const,
    registers: [this.registry],
  });
  readonly requestsRefused = new Counter({
    name: 'hedgerow_requests_refused_total',
    help: 'Capture requests refused as a whole, by code.',
    labelNames: ['code'] as const,
    registers: [this.registry],
  });
  readonly eventsStored = new Counter({
    name: 'hedgerow_events_stored_total',
    help: 'Events that the loader put into the store.',
    registers: [this.registry],
  });
  readonly eventsDuplicate = new Counter({
    name: 'hedgerow_events_duplicate_total',
    help: 'Events that came again under a uuid that is already stored.',
    registers: [this.registry],
  });
  readonly propertiesUnreadable = new Counter({
    name: 'hedgerow_events_properties_raw_only_total',
    help: 'Events whose properties the JSON column could not take as sent; they are kept as text.',
    registers: [this.registry],
  });
  readonly loaderLagEvents = new Gauge({
    name: 'hedgerow_loader_lag_events',
    help: 'Durable records that are not yet in the store.',
    registers: [this.registry],
  });
  readonly storeInsertSeconds = new Histogram({
    name: 'hedgerow_store_insert_duration_seconds',
    help: 'One block, until the store has synced it.',
    buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [this.registry],
  });
  readonly logAppendSeconds = new Histogram({
    name: 'hedgerow_log_append_duration_seconds',
    help: 'From handing a request to the log until it is durable.',
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
    registers: [this.registry],
  });

  text(): Promise<string> {
    return this.registry.metrics();
  }
}
