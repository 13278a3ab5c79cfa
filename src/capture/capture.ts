/**
 * One capture request, from bytes to answer. The only place that acknowledges.
 *
 * Guarantees
 *   G1  An answer of 2xx is made from a receipt of the log, which means durable; the two exceptions store nothing on
 *       purpose: a request of nothing but `$performance_event`s, as PostHog answers it (protocol.md 3.8).
 *   G2  Every event of a request whose project is known ends as accepted, kept as rejected, or counted.
 *   G3  All records of a request are appended as one batch: all are kept, or none.
 * Order    payload -> text -> document -> `$performance_event` filter -> keys -> each event -> append -> answer, the order
 *          of protocol.md 5.2.
 */
import { type AdmittedRequest, admitRequest, type RequestRefusal } from '../admission/admit-request.ts';
import { EventAdmission, type EventLimits, readEventUuid } from '../admission/admit-event.ts';
import type { AdmittedEvent } from '../admission/admitted-event.ts';
import type { KeyLookup } from '../admission/key-lookup.ts';
import { detailOf, errors, type Fault, fault } from '../errors.ts';
import type { Clock } from '../event/clock.ts';
import type { IdSource } from '../event/id-source.ts';
import { asEpochMs, type EpochMs } from '../event/ids.ts';
import type { Rejection } from '../event/outcome.ts';
import { formatUuid } from '../event/uuid.ts';
import type { AppendReadiness, LogWriter } from '../log/log.ts';
import type { RequestFacts } from '../normalize/captured-event.ts';
import { Normalizer } from '../normalize/normalize.ts';
import { parseTimestamp } from '../normalize/timestamp-text.ts';
import { BatchEncoder } from '../record/batch-encoder.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { attrOf, type NamedRejection, STORED_ANSWER, storedAnswer } from '../wire/v0/answer.ts';
import { type DecodedDocument, DocumentDecoder } from '../wire/v0/document-decoder.ts';
import { choosePayload, type PayloadSource, toText } from '../wire/v0/payload.ts';
import { findToken } from '../wire/v0/project-token.ts';
import type { QueryParameters } from '../wire/v0/query-parameters.ts';
import { isWord } from '../wire/json/json-text.ts';
import type { RawEvent } from '../wire/raw-event.ts';
import { inflateGzip } from './inflate.ts';

export interface CaptureRequest {
  readonly method: 'POST' | 'GET';
  /** Normalised: without the last slash. */
  readonly path: string;
  readonly parameters: QueryParameters;
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly authorization: string | undefined;
  readonly personalApiKeyHeader: string | undefined;
  readonly body: Buffer;
  readonly receivedAtMs: EpochMs;
  /** 16 bytes. */
  readonly requestId: Uint8Array;
  readonly ip: string;
}

/** `body` undefined: 204. */
export interface CaptureAnswer {
  readonly kind: 'stored';
  readonly body: Buffer | undefined;
}

export interface CaptureLimits extends EventLimits {
  readonly maxInflatedBytes: number;
}

const PERFORMANCE_EVENT = Buffer.from('$performance_event');
const MIN_SENT_AT_MS = Date.parse('2021-01-01T00:00:00Z'); // protocol.md 3.7: earlier ones are seconds, not milliseconds

interface Parts {
  readonly log: LogWriter;
  readonly keys: KeyLookup;
  readonly ids: IdSource;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly limits: CaptureLimits;
}

export class Capture {
  readonly #parts: Parts;
  readonly #decoder = new DocumentDecoder();
  readonly #admission: EventAdmission;
  readonly #normalizer: Normalizer;
  readonly #encoder = new BatchEncoder();
  readonly #uuid = new Uint8Array(16);

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#admission = new EventAdmission(parts.limits);
    this.#normalizer = new Normalizer(parts.ids);
  }

  /** Asked before a body is read. */
  readiness(): AppendReadiness {
    return this.#parts.log.readiness();
  }

  handle(request: CaptureRequest): CaptureAnswer | Fault | Promise<CaptureAnswer | Fault> {
    const source: PayloadSource = {
      data: request.parameters.data,
      body: request.body,
      contentType: request.contentType,
      contentEncoding: request.contentEncoding,
      queryCompression: request.parameters.compression,
    };
    const payload = choosePayload(source);
    if (payload.kind === 'fault') return payload;
    if (payload.kind === 'plain') return this.#decoded(request, payload.bytes, false);
    const inflated = inflateGzip(payload.bytes, this.#parts.limits.maxInflatedBytes);
    if (inflated instanceof Promise) return inflated.then((bytes) => this.#inflated(request, bytes));
    return this.#inflated(request, inflated);
  }

  #inflated(request: CaptureRequest, bytes: Buffer | Fault): CaptureAnswer | Fault | Promise<CaptureAnswer | Fault> {
    return Buffer.isBuffer(bytes) ? this.#decoded(request, bytes, true) : bytes;
  }

  #decoded(
    request: CaptureRequest,
    bytes: Buffer,
    wasCompressed: boolean,
  ): CaptureAnswer | Fault | Promise<CaptureAnswer | Fault> {
    const text = toText(bytes, wasCompressed);
    if (!Buffer.isBuffer(text)) return text;
    const isEngage = request.path === '/engage';
    const document = this.#decoder.decode(text, { isEngage });
    if (document.kind === 'fault') return document;
    const events = withoutPerformanceEvents(document.events);
    if (events.length === 0) return { kind: 'stored', body: STORED_ANSWER };
    const finding = findToken(document, events);
    const who = admitRequest(this.#parts.keys, {
      projectKey: finding.token,
      hasInconsistentKeys: finding.isInconsistent,
      authorization: request.authorization,
      personalApiKeyHeader: request.personalApiKeyHeader,
      method: request.method,
      hasPayloadInQuery: request.parameters.data !== undefined,
    });
    if (who.kind === 'refused') return refusalFault(who);
    const dropped = document.events.length - events.length;
    if (dropped > 0) this.#parts.metrics.eventsRejected.inc({ code: 'performance_event' }, dropped);
    this.#parts.metrics.eventsReceived.inc(document.events.length);
    return this.#admitted(request, document, events, who);
  }

  #admitted(
    request: CaptureRequest,
    document: DecodedDocument,
    events: readonly RawEvent[],
    who: AdmittedRequest,
  ): Promise<CaptureAnswer | Fault> {
    const facts: RequestFacts = {
      projectId: who.projectId,
      requestId: request.requestId,
      receivedAtMs: request.receivedAtMs,
      sentAtMs: sentAtOf(request, document),
      ip: request.ip,
      isAuthenticated: who.authenticated,
      isHistorical: document.isHistorical,
    };
    const isEngage = request.path === '/engage';
    const encoder = this.#encoder;
    encoder.reset();
    const rejected: NamedRejection[] = [];
    const accepted: AdmittedEvent[] = [];
    for (const raw of events) {
      const verdict = this.#admission.admit(raw, isEngage);
      if (verdict.kind === 'rejected') rejected.push(this.#named(raw, verdict.rejection));
      else accepted.push(verdict.event);
    }
    const first = rejected[0];
    const refusesAll = first !== undefined && (accepted.length === 0 || request.parameters.isStrict);
    for (const event of accepted) {
      if (refusesAll) {
        rejected.push(this.#named(event.raw, REFUSED_WITH_BATCH));
        continue;
      }
      encoder.addEvent(facts, this.#normalizer.normalize(event, facts));
    }
    for (const { index, rejection } of rejected) {
      const raw = document.events[index];
      if (raw !== undefined) encoder.addRejection(facts, raw, rejection, this.#readUuid(raw));
    }
    return this.#append(request, {
      document,
      rejected,
      first: refusesAll ? first : undefined,
      accepted: refusesAll ? 0 : accepted.length,
    });
  }

  async #append(
    request: CaptureRequest,
    outcome: {
      readonly document: DecodedDocument;
      readonly rejected: readonly NamedRejection[];
      /** Set when the request is refused as a whole: the event that the answer names. */
      readonly first: NamedRejection | undefined;
      readonly accepted: number;
    },
  ): Promise<CaptureAnswer | Fault> {
    const { log, metrics, clock } = this.#parts;
    const startedMs = clock.monotonicMs();
    const receipt = await log.append(this.#encoder.batch());
    if (receipt.kind === 'refused') return fault(receipt.code);
    metrics.logAppendSeconds.observe((clock.monotonicMs() - startedMs) / 1000);
    metrics.eventsAccepted.inc(outcome.accepted);
    for (const { rejection } of outcome.rejected) metrics.eventsRejected.inc({ code: rejection.code });
    const { first } = outcome;
    if (first !== undefined) {
      const { code, detail, field } = first.rejection;
      return { kind: 'fault', code, detail, attr: attrOf(outcome.document.shape, first.index, field) };
    }
    return { kind: 'stored', body: request.parameters.isBeacon ? undefined : storedAnswer(outcome.rejected) };
  }

  #named(raw: RawEvent, rejection: Rejection): NamedRejection {
    const uuid = this.#readUuid(raw);
    return { index: raw.index, uuid: uuid === undefined ? undefined : formatUuid(uuid), rejection };
  }

  /** The event's uuid where it has a readable one; lent until the next call. */
  #readUuid(raw: RawEvent): Uint8Array | undefined {
    return raw.uuidStart >= 0 && readEventUuid(raw, this.#uuid) ? this.#uuid : undefined;
  }
}

const REFUSED_WITH_BATCH: Rejection = {
  code: 'refused_with_batch',
  detail: detailOf('refused_with_batch'),
  field: undefined,
};

function withoutPerformanceEvents(events: readonly RawEvent[]): readonly RawEvent[] {
  for (const event of events) {
    if (isPerformanceEvent(event)) return events.filter((candidate) => !isPerformanceEvent(candidate));
  }
  return events;
}

function isPerformanceEvent(event: RawEvent): boolean {
  return isWord(event.body, { start: event.nameStart, end: event.nameEnd }, PERFORMANCE_EVENT);
}

/** A batch's own `sent_at` goes first; the query's counts from 2021 on (protocol.md 3.7). */
function sentAtOf(request: CaptureRequest, document: DecodedDocument): EpochMs | undefined {
  if (document.sentAt !== undefined && /(?:Z|z|[+-]\d{2}:?\d{2})$/.test(document.sentAt)) {
    const sentAtMs = parseTimestamp(document.sentAt);
    if (sentAtMs !== undefined) return asEpochMs(sentAtMs);
  }
  const { sentAtMs } = request.parameters;
  return sentAtMs !== undefined && sentAtMs >= MIN_SENT_AT_MS && sentAtMs < 253_402_300_800_000
    ? asEpochMs(sentAtMs)
    : undefined;
}

function refusalFault(refusal: RequestRefusal): Fault {
  switch (refusal.code) {
    case 'invalid_api_key':
      return fault('invalid_api_key', refusal.fields);
    case 'missing_scope':
      return fault('missing_scope', refusal.fields);
    default:
      return { kind: 'fault', code: refusal.code, detail: errors[refusal.code].detail(), attr: null };
  }
}
