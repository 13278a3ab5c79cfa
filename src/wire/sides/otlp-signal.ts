/**
 * The OpenTelemetry signals that SDKs and exporters send (sdks.md 15), as data: where their records lie in a request, and
 * what a partial success calls them. The JSON names and the protobuf field numbers are those of opentelemetry-proto 1.x;
 * numbers and names of one level stand in the same order.
 */
export type OtlpSignalName = 'logs' | 'metrics' | 'traces';

export interface OtlpSignal {
  readonly name: OtlpSignalName;
  /** From the request inwards; any member of a level may hold the next one. The last level's members are the records. */
  readonly levels: readonly OtlpLevel[];
  /** `ExportPartialSuccess`'s count in JSON; in protobuf it is always field 1. */
  readonly rejectedName: 'rejectedLogRecords' | 'rejectedDataPoints' | 'rejectedSpans';
  readonly noun: 'log records' | 'data points' | 'spans';
}

export interface OtlpLevel {
  /** As bytes: they are compared with bytes. */
  readonly names: readonly Buffer[];
  readonly fields: readonly number[];
}

function level(names: readonly string[], fields: readonly number[]): OtlpLevel {
  return { names: names.map((name) => Buffer.from(name)), fields };
}

export const otlpSignals: Readonly<Record<OtlpSignalName, OtlpSignal>> = {
  logs: {
    name: 'logs',
    levels: [level(['resourceLogs'], [1]), level(['scopeLogs'], [2]), level(['logRecords'], [2])],
    rejectedName: 'rejectedLogRecords',
    noun: 'log records',
  },
  metrics: {
    name: 'metrics',
    levels: [
      level(['resourceMetrics'], [1]),
      level(['scopeMetrics'], [2]),
      level(['metrics'], [2]),
      level(['gauge', 'sum', 'histogram', 'exponentialHistogram', 'summary'], [5, 7, 9, 10, 11]),
      level(['dataPoints'], [1]),
    ],
    rejectedName: 'rejectedDataPoints',
    noun: 'data points',
  },
  traces: {
    name: 'traces',
    levels: [level(['resourceSpans'], [1]), level(['scopeSpans'], [2]), level(['spans'], [2])],
    rejectedName: 'rejectedSpans',
    noun: 'spans',
  },
};
