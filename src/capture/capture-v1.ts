/**
 * One request of protocol V1, from headers and bytes to its results (protocol.md 8).
 *
 * Guarantees
 *   G1  A result of `ok` is made from a receipt of the log, which means durable. When the log refuses, the whole request is
 *       answered 503: no event of it was stored.
 *   G2  Every event of a batch that could be read ends as accepted, kept as rejected, or counted (`$performance_event`).
 *   G3  All records of a request are appended as one batch: all are kept, or none.
 * Order    headers -> keys, both before the body is read -> decompression -> batch -> each event -> append -> results.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { EventAdmission } from '../admission/admit-event.ts';
import { type AdmittedRequest, admitRequest } from '../admission/admit-request.ts';
import type { KeyLookup } from '../admission/key-lookup.ts';
import { type Fault, fault } from '../errors.ts';
import type { Clock } from '../event/clock.ts';
import type { IdSource } from '../event/id-source.ts';
import type { EpochMs } from '../event/ids.ts';
import type { Rejection } from '../event/outcome.ts';
import { parseUuid } from '../event/uuid.ts';
import type { AppendReadiness, LogWriter } from '../log/log.ts';
import type { RequestFacts } from '../normalize/captured-event.ts';
import { Normalizer } from '../normalize/normalize.ts';
import { BatchEncoder } from '../record/batch-encoder.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { BatchDecoder, type DecodedBatch, type V1Event, type V1EventLimits } from '../wire/v1/batch-decoder.ts';
import { readHeaders, type V1Headers } from '../wire/v1/request-headers.ts';
import { type EventResult, resultsBody } from '../wire/v1/results.ts';
import { refusalFault, timeSource } from './capture.ts';
import { Decompressor } from './decompress.ts';

/** Who sends a request and how, known before its body is. */
export interface V1Sender {
  readonly kind: 'sender';
  readonly headers: V1Headers;
  readonly who: AdmittedRequest;
}

export interface V1Request {
  readonly sender: V1Sender;
  readonly body: Buffer;
  readonly receivedAtMs: EpochMs;
  /** 16 bytes. */
  readonly requestId: Uint8Array;
  readonly ip: string;
}

export interface V1Limits extends V1EventLimits {
  /** Of a body as sent. */
  readonly maxBodyBytes: number;
  /** A compressed body that reaches it is refused. */
  readonly inflatedLimitBytes: number;
}

/** protocol.md 6; what an operator sets lower for all protocols counts here too. */
export const MAX_V1_BODY_BYTES = 10 << 20;
export const V1_INFLATED_LIMIT_BYTES = 50 << 20;

interface Parts {
  readonly log: LogWriter;
  readonly keys: KeyLookup;
  readonly ids: IdSource;
  readonly clock: Clock;
  readonly metrics: Metrics;
  readonly limits: V1Limits;
}

/** The decoder has measured the events in V1's way. */
const UNMEASURED = { maxEventBytes: Number.MAX_SAFE_INTEGER, maxAiEventBytes: Number.MAX_SAFE_INTEGER };

export class CaptureV1 {
  readonly #parts: Parts;
  readonly #decompressor: Decompressor;
  readonly #decoder: BatchDecoder;
  readonly #admission = new EventAdmission(UNMEASURED);
  readonly #normalizer: Normalizer;
  readonly #encoder = new BatchEncoder();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#decompressor = new Decompressor(parts.limits.inflatedLimitBytes);
    this.#decoder = new BatchDecoder(parts.limits);
    this.#normalizer = new Normalizer(parts.ids);
  }

  get maxBodyBytes(): number {
    return this.#parts.limits.maxBodyBytes;
  }

  /** Asked before a body is read. */
  readiness(): AppendReadiness {
    return this.#parts.log.readiness();
  }

  /** Asked before a body is read: who may not send costs no memory. */
  admit(headers: IncomingHttpHeaders): V1Sender | Fault {
    const read = readHeaders(headers);
    if (read.kind === 'fault') return read;
    const personal = headers['x-personal-api-key'];
    const who = admitRequest(this.#parts.keys, {
      projectKey: read.projectKey,
      hasInconsistentKeys: false,
      authorization: undefined, // the bearer is the project key here
      personalApiKeyHeader: typeof personal === 'string' ? personal : personal?.[0],
      method: 'POST',
      hasPayloadInQuery: false,
    });
    return who.kind === 'refused' ? refusalFault(who) : { kind: 'sender', headers: read, who };
  }

  /** @returns the body of the 200 */
  async handle(request: V1Request): Promise<Buffer | Fault> {
    const { encoding } = request.sender.headers;
    const { metrics } = this.#parts;
    if (request.body.length === 0) return fault('empty_body');
    let text = request.body;
    if (encoding !== undefined) {
      const decompressed = await this.#decompressor.decompress(request.body, encoding);
      if (!Buffer.isBuffer(decompressed)) {
        if (decompressed.code === 'payload_too_large') metrics.payloadTooLarge.add(encoding);
        return decompressed;
      }
      text = decompressed;
      if (encoding === 'gzip') metrics.gzipRatio.observe(text.length / request.body.length);
    }
    metrics.payloadBytes.observe(text.length);
    const batch = this.#decoder.decode(text, request.sender.headers.sdk);
    return batch.kind === 'fault' ? batch : this.#append(request, batch);
  }

  async #append(request: V1Request, batch: DecodedBatch): Promise<Buffer | Fault> {
    const { log, metrics, clock } = this.#parts;
    metrics.eventsReceived.add(batch.events.length);
    const drops = this.#encode(request, batch);
    const dropped = drops.filter((drop) => drop !== undefined);
    const accepted = batch.events.length - dropped.length;
    const records = this.#encoder.batch();
    if (records.count > 0) {
      const startedMs = clock.monotonicMs();
      const receipt = await log.append(records);
      if (receipt.kind === 'refused') {
        metrics.eventsRejected.add(receipt.code, batch.events.length);
        return fault(receipt.code);
      }
      metrics.logAppendSeconds.observe((clock.monotonicMs() - startedMs) / 1000);
    }
    metrics.eventsAccepted.add(accepted);
    for (const { code } of dropped) metrics.eventsRejected.add(code);
    return resultsBody(batch.events.map((event, index) => resultOf(event, drops[index])));
  }

  /** Fills the encoder. @returns for each event why it is dropped, undefined when its record is among those to append */
  #encode(request: V1Request, batch: DecodedBatch): readonly (Rejection | undefined)[] {
    const { metrics } = this.#parts;
    const { headers, who } = request.sender;
    const facts: RequestFacts = {
      projectId: who.projectId,
      requestId: request.requestId,
      receivedAtMs: request.receivedAtMs,
      sentAtMs: headers.sentAtMs,
      ip: request.ip,
      isAuthenticated: who.authenticated,
      isHistorical: batch.isHistorical,
    };
    metrics.clockSkewSeconds.observe(Math.abs(facts.receivedAtMs - headers.sentAtMs) / 1000);
    const encoder = this.#encoder;
    encoder.reset();
    return batch.events.map(({ raw, uuid, drop }) => {
      const verdict = drop === undefined ? this.#admission.admit(raw, false) : undefined;
      if (verdict?.kind === 'admitted') {
        const captured = this.#normalizer.normalize(verdict.event, facts);
        encoder.addEvent(facts, captured);
        metrics.eventTimes[timeSource(captured, facts)].add();
        return undefined;
      }
      const rejection = verdict?.rejection ?? drop;
      if (rejection !== undefined && rejection.code !== 'dropped_performance_event') {
        encoder.addRejection(facts, raw, rejection, parseUuid(uuid));
      }
      return rejection;
    });
  }
}

function resultOf({ uuid, hasPlaceholderId }: V1Event, drop: Rejection | undefined): EventResult {
  return { uuid, dropped: drop?.code, hasPlaceholderId };
}
