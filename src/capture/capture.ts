/**
 * One capture request, from bytes to answer. The only place that acknowledges.
 *
 * Guarantees
 *   G1  An answer of 2xx is made from a receipt of the log, which means durable; the one exception stores nothing on
 *       purpose: nothing but `$performance_event`s, from nobody we know, which PostHog answers alike (protocol.md 3.8).
 *   G2  Every event of a request whose project is known ends as accepted, kept as rejected, or counted.
 *   G3  All records of a request are appended as one batch: all are kept, or none.
 * Order    payload -> text -> document -> `$performance_event` filter -> keys -> limits -> what the project does not keep is
 *          taken out of the text, which is then read again -> each event -> append -> answer,
 *          the order of protocol.md 5.2. What the limits count is therefore every event of a known project but those
 *          filtered: rejected ones too, and not those that the log refused.
 */
import { type AdmittedRequest, admitRequest, type RequestRefusal } from '../admission/admit-request.ts';
import { EventAdmission, type EventLimits, eventName, readEventUuid } from '../admission/admit-event.ts';
import { limitFault, type RefusalManner } from '../admission/rate-gate.ts';
import { refusalMannerOf } from '../admission/refusal-manner.ts';
import { passKillPoint } from '../config/kill-point.ts';
import { detailOf, errors, type Fault, fault } from '../errors.ts';
import { asEpochMs, type EpochMs, type ProjectId } from '../event/ids.ts';
import type { Rejection } from '../event/outcome.ts';
import { formatUuid } from '../event/uuid.ts';
import type { AppendReadiness } from '../log/log.ts';
import type { CapturedEvent, RequestFacts } from '../normalize/captured-event.ts';
import { Normalizer } from '../normalize/normalize.ts';
import type { PrivacyRule } from '../normalize/privacy.ts';
import { parseTimestamp } from '../normalize/timestamp-text.ts';
import { BatchEncoder } from '../record/batch-encoder.ts';
import type { TimeSource } from '../telemetry/metrics.ts';
import { attrOf, type NamedRejection, STORED_ANSWER, storedAnswer } from '../wire/v0/answer.ts';
import { type DecodedDocument, DocumentDecoder } from '../wire/v0/document-decoder.ts';
import { choosePayload, type Payload, type PayloadSource, toText } from '../wire/v0/payload.ts';
import { findToken } from '../wire/v0/project-token.ts';
import type { QueryParameters } from '../wire/v0/query-parameters.ts';
import { isWord } from '../wire/json/json-text.ts';
import { eventFlags, type RawEvent } from '../wire/raw-event.ts';
import { appendRecords } from './append-records.ts';
import type { CaptureParts } from './capture-parts.ts';
import { inflateGzip, LzStringInflater } from './inflate.ts';

export interface CaptureRequest {
  readonly method: 'POST' | 'GET';
  /** Normalised: without the last slash. */
  readonly path: string;
  readonly parameters: QueryParameters;
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly authorization: string | undefined;
  readonly personalApiKeyHeader: string | undefined;
  readonly userAgent: string | undefined;
  readonly body: Buffer;
  readonly receivedAtMs: EpochMs;
  /** 16 bytes. */
  readonly requestId: Uint8Array;
  readonly ip: string;
}

/** `body` undefined: 204. */
export interface CaptureAnswer {
  readonly kind: 'stored';
  readonly body: string | undefined;
}

export interface CaptureLimits extends EventLimits {
  readonly maxInflatedBytes: number;
}

const PERFORMANCE_EVENT = Buffer.from('$performance_event');
const SPACE = 0x20;
/** Without a zone it cannot be compared with our clock. */
const SENT_AT_WITH_ZONE = /^[^T]{8,12}T.{4,40}(?:Z|[+-]\d{2}(?::?\d{2})?)$/i;
const MIN_SENT_AT_MS = Date.parse('2021-01-01T00:00:00Z'); // protocol.md 3.7: earlier ones are seconds, not milliseconds

type Parts = CaptureParts<CaptureLimits>;

export class Capture {
  readonly #parts: Parts;
  readonly #decoder = new DocumentDecoder();
  readonly #admission: EventAdmission;
  readonly #normalizer: Normalizer;
  readonly #encoder = new BatchEncoder();
  readonly #uuid = new Uint8Array(16);
  readonly #lzStrings: LzStringInflater;

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#admission = new EventAdmission(parts.limits);
    this.#normalizer = new Normalizer(parts.ids);
    this.#lzStrings = new LzStringInflater(parts.limits.maxInflatedBytes);
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
    const inflated =
      payload.kind === 'gzip'
        ? inflateGzip(payload.bytes, this.#parts.limits.maxInflatedBytes)
        : this.#lzStrings.inflate(payload.bytes);
    if (inflated instanceof Promise) return inflated.then((bytes) => this.#inflated(request, bytes, payload));
    return this.#inflated(request, inflated, payload);
  }

  #inflated(
    request: CaptureRequest,
    bytes: Buffer | Fault,
    payload: Payload,
  ): CaptureAnswer | Fault | Promise<CaptureAnswer | Fault> {
    const { metrics } = this.#parts;
    if (!Buffer.isBuffer(bytes)) {
      if (bytes.code === 'payload_too_large') metrics.payloadTooLarge.add(payload.kind);
      return bytes;
    }
    const ratios = payload.kind === 'gzip' ? metrics.gzipRatio : metrics.lz64Ratio;
    ratios.observe(bytes.length / payload.bytes.length);
    return this.#decoded(request, bytes, true);
  }

  #decoded(
    request: CaptureRequest,
    bytes: Buffer,
    wasCompressed: boolean,
  ): CaptureAnswer | Fault | Promise<CaptureAnswer | Fault> {
    this.#parts.metrics.payloadBytes.observe(bytes.length);
    const text = toText(bytes, wasCompressed);
    if (!Buffer.isBuffer(text)) return text;
    const document = this.#decoder.decode(text, { isEngage: request.path === '/engage' });
    if (document.kind === 'fault') return document;
    passKillPoint('request.decoded');
    try {
      return this.#judged(request, document);
    } finally {
      this.#decoder.release(); // all that is kept is in the encoder's bytes, and those in the log's
    }
  }

  #judged(request: CaptureRequest, document: DecodedDocument): CaptureAnswer | Fault | Promise<CaptureAnswer | Fault> {
    const events = withoutPerformanceEvents(document.events);
    const dropped = document.events.length - events.length;
    if (events.length === 0) return this.#dropped(request, document);
    const who = this.#whoSends(request, document, events);
    if (who.kind === 'refused') return refusalFault(who);
    if (dropped > 0) this.#parts.metrics.eventsRejected.add('performance_event', dropped);
    this.#parts.metrics.eventsReceived.add(document.events.length);
    const refusal = this.#parts.gate.take(who.projectId, events.length);
    if (refusal !== undefined) {
      this.#parts.metrics.eventsRejected.add(refusal.code, events.length);
      return limitFault(refusal, mannerOf(request));
    }
    const rule = this.#parts.privacy.ruleOf(who.projectId);
    if (rule === undefined) return this.#admitted(request, document, events, who);
    const kept = this.#keptOf(request, document, rule);
    if (kept.kind === 'fault') return kept;
    const known = { ...request, ip: rule.address(request.ip) };
    return this.#admitted(known, kept, withoutPerformanceEvents(kept.events), who);
  }

  /** The document without what its project does not keep. `document` is not to be used any more. */
  #keptOf(request: CaptureRequest, document: DecodedDocument, rule: PrivacyRule): DecodedDocument | Fault {
    const text = document.events[0]?.body;
    const kept = text === undefined ? undefined : rule.rewrite(text);
    if (kept === undefined || kept === text) return document;
    return this.#decoder.decode(kept, { isEngage: request.path === '/engage' });
  }

  #whoSends(
    request: CaptureRequest,
    document: DecodedDocument,
    events: readonly RawEvent[],
  ): AdmittedRequest | RequestRefusal {
    const finding = findToken(document, events);
    return admitRequest(this.#parts.keys, {
      projectKey: finding.token,
      hasInconsistentKeys: finding.isInconsistent,
      authorization: request.authorization,
      personalApiKeyHeader: request.personalApiKeyHeader,
      method: request.method,
      hasPayloadInQuery: request.parameters.data !== undefined,
    });
  }

  /**
   * Nothing but `$performance_event`s: answered alike whatever the key (protocol.md 5.1), and counted where it names a
   * project.
   */
  async #dropped(request: CaptureRequest, document: DecodedDocument): Promise<CaptureAnswer | Fault> {
    const { log, metrics } = this.#parts;
    const { length } = document.events;
    metrics.eventsRejected.add('performance_event', length);
    metrics.eventsReceived.add(length);
    const who = this.#whoSends(request, document, document.events);
    if (who.kind === 'admitted') {
      this.#encoder.reset({ received: length, dropped: length });
      this.#encoder.addTally(factsOf(request, document, who));
      const receipt = await log.append(this.#encoder.batch());
      if (receipt.kind === 'refused') return fault(receipt.code);
    }
    return { kind: 'stored', body: STORED_ANSWER };
  }

  #admitted(
    request: CaptureRequest,
    document: DecodedDocument,
    events: readonly RawEvent[],
    who: AdmittedRequest,
  ): Promise<CaptureAnswer | Fault> {
    const facts = factsOf(request, document, who);
    const { metrics } = this.#parts;
    if (facts.sentAtMs !== undefined) {
      metrics.clockSkewSeconds.observe(Math.abs(facts.receivedAtMs - facts.sentAtMs) / 1000);
    }
    const isEngage = request.path === '/engage';
    const encoder = this.#encoder;
    encoder.reset({ received: document.events.length, dropped: document.events.length - events.length });
    const rejected: NamedRejection[] = [];
    const refusedWithBatch: NamedRejection[] = [];
    const isRefused = request.parameters.isStrict && events.some((raw) => this.#isRejected(raw, isEngage));
    let accepted = 0;
    for (const raw of events) {
      const verdict = this.#admission.admit(raw, isEngage);
      if (verdict.kind === 'rejected') {
        rejected.push(this.#named(raw, verdict.rejection));
      } else if (isRefused) {
        refusedWithBatch.push(this.#named(raw, REFUSED_WITH_BATCH));
      } else {
        const captured = this.#normalizer.normalize(verdict.event, facts);
        encoder.addEvent(facts, captured);
        metrics.eventTimes[timeSource(captured, facts)].add();
        if (hasOuterSpace(captured)) metrics.distinctIdsWithWhitespace.add();
        accepted += 1;
      }
    }
    const first = accepted === 0 ? rejected[0] : undefined;
    const notKept = rejected.concat(refusedWithBatch);
    for (const { index, rejection } of notKept) {
      const raw = document.events[index];
      if (raw !== undefined) encoder.addRejection(facts, raw, rejection, this.#readUuid(raw));
    }
    return this.#append({
      projectId: who.projectId,
      shape: document.shape,
      isBeacon: request.parameters.isBeacon,
      rejected: notKept,
      first,
      accepted,
    });
  }

  #isRejected(raw: RawEvent, isEngage: boolean): boolean {
    return this.#admission.admit(raw, isEngage).kind === 'rejected';
  }

  /** Holds neither the body nor the events: they could go while the disk writes. */
  async #append(outcome: {
    readonly projectId: ProjectId;
    readonly shape: DecodedDocument['shape'];
    readonly isBeacon: boolean;
    readonly rejected: readonly NamedRejection[];
    /** Set when the request is refused as a whole: the event that the answer names. */
    readonly first: NamedRejection | undefined;
    readonly accepted: number;
  }): Promise<CaptureAnswer | Fault> {
    const { metrics } = this.#parts;
    const events = outcome.accepted + outcome.rejected.length;
    const refusal = await appendRecords(this.#parts, {
      projectId: outcome.projectId,
      records: this.#encoder.batch(),
      limitedEvents: events,
      receivedEvents: events,
    });
    if (refusal !== undefined) return refusal;
    metrics.eventsAccepted.add(outcome.accepted);
    for (const { rejection } of outcome.rejected) metrics.eventsRejected.add(rejection.code);
    const { first } = outcome;
    if (first !== undefined) {
      const { code, detail, field } = first.rejection;
      return { kind: 'fault', code, detail, attr: attrOf(outcome.shape, first.index, field) };
    }
    return { kind: 'stored', body: outcome.isBeacon ? undefined : storedAnswer(outcome.rejected) };
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
  if ((event.flags & eventFlags.nameIsEscaped) !== 0) return eventName(event) === PERFORMANCE_EVENT.toString();
  return isWord(event.body, { start: event.nameStart, end: event.nameEnd }, PERFORMANCE_EVENT);
}

/** What decided the event's time (protocol.md 3.7); an unusable one leaves the time of arrival. */
export function timeSource(event: CapturedEvent, facts: RequestFacts): TimeSource {
  const { raw } = event;
  if (event.timestampMs === facts.receivedAtMs) return 'now_fallback';
  if (raw.offsetMs !== undefined) return 'offset';
  const isCorrected = facts.sentAtMs !== undefined && (raw.flags & eventFlags.ignoresSentAt) === 0;
  return isCorrected ? 'sent_at_skew' : 'timestamp_raw';
}

/** JSON has no other white space that is not escaped; an escaped one stands in `distinctId`. */
function hasOuterSpace({ raw, distinctId }: CapturedEvent): boolean {
  return distinctId === undefined
    ? raw.body[raw.distinctIdStart] === SPACE || raw.body[raw.distinctIdEnd - 1] === SPACE
    : isSpace(distinctId[0]) || isSpace(distinctId.at(-1));
}

function isSpace(byte: number | undefined): boolean {
  return byte === SPACE || (byte !== undefined && byte >= 9 && byte <= 13);
}

function mannerOf({ userAgent, contentType, parameters }: CaptureRequest): RefusalManner {
  const { compression, isBeacon } = parameters;
  return refusalMannerOf({ userAgent, contentType, compression, isBeacon });
}

function factsOf(request: CaptureRequest, document: DecodedDocument, who: AdmittedRequest): RequestFacts {
  return {
    projectId: who.projectId,
    requestId: request.requestId,
    receivedAtMs: request.receivedAtMs,
    sentAtMs: sentAtOf(request, document),
    ip: request.ip,
    isAuthenticated: who.authenticated,
    isHistorical: document.isHistorical,
  };
}

/** A batch's own `sent_at` goes first; the query's counts from 2021 on (protocol.md 3.7). */
function sentAtOf(request: CaptureRequest, document: DecodedDocument): EpochMs | undefined {
  if (document.sentAt !== undefined && SENT_AT_WITH_ZONE.test(document.sentAt)) {
    const sentAtMs = parseTimestamp(document.sentAt);
    if (sentAtMs !== undefined) return asEpochMs(sentAtMs);
  }
  const { sentAtMs } = request.parameters;
  return sentAtMs !== undefined && sentAtMs >= MIN_SENT_AT_MS && sentAtMs < 253_402_300_800_000
    ? asEpochMs(sentAtMs)
    : undefined;
}

export function refusalFault(refusal: RequestRefusal): Fault {
  switch (refusal.code) {
    case 'invalid_api_key':
      return fault('invalid_api_key', refusal.fields);
    case 'missing_scope':
      return fault('missing_scope', refusal.fields);
    default:
      return { kind: 'fault', code: refusal.code, detail: errors[refusal.code].detail(), attr: null };
  }
}
