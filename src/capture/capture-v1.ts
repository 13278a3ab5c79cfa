/**
 * One request of protocol V1, from headers and bytes to its results (protocol.md 8).
 *
 * Guarantees
 *   G1  A result of `ok` is made from a receipt of the log, which means durable. When the log refuses, the whole request is
 *       answered 503: no event of it was stored.
 *   G2  Every event of a batch that could be read ends as accepted, kept as rejected, or counted (`$performance_event`).
 *   G3  All records of a request are appended as one batch: all are kept, or none.
 * Order    headers -> keys, both before the body is read -> decompression -> what the project does not keep is taken out ->
 *          batch -> limits -> each event -> append ->
 *          results. Limits count every event of the batch but `$performance_event`s.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { EventAdmission } from '../admission/admit-event.ts';
import { type AdmittedRequest, admitRequest } from '../admission/admit-request.ts';
import { limitFault } from '../admission/rate-gate.ts';
import { type Fault, fault } from '../errors.ts';
import type { EpochMs } from '../event/ids.ts';
import type { Rejection } from '../event/outcome.ts';
import { parseUuid } from '../event/uuid.ts';
import type { AppendReadiness } from '../log/log.ts';
import type { RequestFacts } from '../normalize/captured-event.ts';
import { Normalizer } from '../normalize/normalize.ts';
import type { PrivacyRule } from '../normalize/privacy.ts';
import { REDACTED } from '../normalize/redactor.ts';
import { BatchEncoder } from '../record/batch-encoder.ts';
import { BatchDecoder, type DecodedBatch, type V1Event, type V1EventLimits } from '../wire/v1/batch-decoder.ts';
import { readHeaders, type SdkInfo, type V1Headers } from '../wire/v1/request-headers.ts';
import { type EventResult, resultsBody } from '../wire/v1/results.ts';
import { appendRecords } from './append-records.ts';
import type { CaptureParts } from './capture-parts.ts';
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

type Parts = CaptureParts<V1Limits>;

const OVER_FAIR_SHARE = { kind: 'refused', code: 'over_fair_share' } as const;

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
  readiness({ who }: V1Sender): AppendReadiness | { readonly kind: 'refused'; readonly code: 'over_fair_share' } {
    const { log, shares } = this.#parts;
    return shares.hasRoom(who.projectId, 1) ? log.readiness() : OVER_FAIR_SHARE;
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
    const { sdk } = request.sender.headers;
    const rule = this.#parts.privacy.ruleOf(request.sender.who.projectId);
    const batch =
      rule === undefined
        ? this.#decoder.decode(text, sdk)
        : this.#decoder.decode(rule.rewrite(text), sdk === undefined ? undefined : keptSdk(sdk, rule));
    if (batch.kind === 'fault') return batch;
    return this.#append(rule === undefined ? request : { ...request, ip: rule.address(request.ip) }, batch);
  }

  async #append(request: V1Request, batch: DecodedBatch): Promise<Buffer | Fault> {
    const { metrics, gate } = this.#parts;
    const { projectId } = request.sender.who;
    metrics.eventsReceived.add(batch.events.length);
    const counted = batch.events.reduce((count, event) => (isFiltered(event) ? count : count + 1), 0);
    const refusal = counted === 0 ? undefined : gate.take(projectId, counted);
    if (refusal !== undefined) {
      metrics.eventsRejected.add(refusal.code, batch.events.length);
      return limitFault(refusal, 'v1');
    }
    const drops = this.#encode(request, batch, batch.events.length - counted);
    const dropped = drops.filter((drop) => drop !== undefined);
    const accepted = batch.events.length - dropped.length;
    const records = this.#encoder.batch();
    if (records.count > 0) {
      const refused = await appendRecords(this.#parts, {
        projectId,
        records,
        limitedEvents: counted,
        receivedEvents: batch.events.length,
      });
      if (refused !== undefined) return refused;
    }
    metrics.eventsAccepted.add(accepted);
    for (const { code } of dropped) metrics.eventsRejected.add(code);
    return resultsBody(batch.events.map((event, index) => resultOf(event, drops[index])));
  }

  /**
   * Fills the encoder.
   *
   * @param dropped how many `$performance_event`s the batch has
   * @returns for each event why it is dropped, undefined when its record is among those to append
   */
  #encode(request: V1Request, batch: DecodedBatch, dropped: number): readonly (Rejection | undefined)[] {
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
    encoder.reset({ received: batch.events.length, dropped });
    if (dropped > 0 && dropped === batch.events.length) encoder.addTally(facts);
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

/** It becomes properties, so the rule is about it too. */
function keptSdk({ lib, libVersion }: SdkInfo, rule: PrivacyRule): SdkInfo {
  return {
    lib: rule.redacts('$lib') ? REDACTED : lib,
    libVersion: rule.redacts('$lib_version') ? REDACTED : libVersion,
  };
}

function isFiltered({ drop }: V1Event): boolean {
  return drop?.code === 'dropped_performance_event';
}

function resultOf({ uuid, hasPlaceholderId }: V1Event, drop: Rejection | undefined): EventResult {
  return { uuid, dropped: drop?.code, hasPlaceholderId };
}
