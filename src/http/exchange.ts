/**
 * One request and its answer: what every route has of it, and every way to answer.
 *
 * Order    a route answers exactly once; whoever answers without reading the body says `skipBody` first, so that the
 *          connection can be used again.
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { type FailedAttempts, MAX_FAILED_ATTEMPTS } from '../admission/failed-attempts.ts';
import type { Backups } from '../backup/backups.ts';
import type { Capture } from '../capture/capture.ts';
import type { CaptureV1 } from '../capture/capture-v1.ts';
import { type Fault, fault } from '../errors.ts';
import type { Clock } from '../event/clock.ts';
import type { IdSource } from '../event/id-source.ts';
import type { EpochMs } from '../event/ids.ts';
import { formatUuid, parseUuid } from '../event/uuid.ts';
import { clientIp } from '../normalize/client-ip.ts';
import type { ReadApi } from '../query/read-api.ts';
import type { Registry } from '../registry/registry.ts';
import type { LogLines } from '../telemetry/log-lines.ts';
import type { LabelledCounter } from '../telemetry/instruments.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import {
  type AnswerContext,
  writeBody,
  writeFault,
  writeNoContent,
  writeNotModified,
  writePreflight,
} from './answer-writer.ts';
import type { BodyLimits, BodyReader, BodyResult, DrainEnd } from './body-reader.ts';
import type { SideAnswers } from './side-answers.ts';

export interface ServerParts {
  /** Undefined: this process has not the role. */
  readonly capture: Capture | undefined;
  readonly captureV1: CaptureV1 | undefined;
  readonly reads: ReadApi | undefined;
  /** Undefined: this process does not run the loader. */
  readonly backups: { readonly backups: Backups; readonly registry: Registry } | undefined;
  readonly metrics: Metrics;
  readonly log: LogLines;
  readonly clock: Clock;
  readonly ids: IdSource;
  readonly limits: BodyLimits;
  /** Beyond it, connections are turned away with an answer, and requests that would be captured are refused. */
  readonly maxConnections: number;
  /** What the ledger's check has found, in one sentence; undefined while all agrees. */
  readonly ledgerAlarm: () => string | undefined;
  readonly sides: SideAnswers;
  /** Below it capture and what belongs to it are served too; undefined: nowhere else. */
  readonly ingestPath: string | undefined;
  /** May the client behind this address say whom it forwards for? */
  readonly isTrustedProxy: (address: string | undefined) => boolean;
  readonly failedAttempts: FailedAttempts;
  /** Where a failed attempt comes from. */
  readonly countedAddress: (headers: IncomingHttpHeaders, socketAddress: string | undefined) => string;
}

/** Shared with every exchange, which looks at it when it answers. */
export interface ServerState {
  phase: 'starting' | 'serving' | 'draining';
  /** The newest answer of each connection: the others have requests behind them that were pipelined. */
  readonly newest: WeakMap<Duplex, ServerResponse>;
  /** Connections whose client was told that they end: what it sends behind that is not taken. */
  readonly ending: WeakSet<Duplex>;
}

export class Exchange {
  readonly parts: ServerParts;
  readonly bodies: BodyReader;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly receivedAtMs: EpochMs;
  /** 16 bytes. */
  readonly requestId: Uint8Array;
  readonly #startedMs: number;
  #state: ServerState = { phase: 'serving', newest: new WeakMap(), ending: new WeakSet() };
  #mustClose = false;
  #speaksV1 = false;
  #label = 'other';
  #refusals: LabelledCounter | undefined;

  // One object a request: its four parts are what a request is.
  constructor(parts: ServerParts, bodies: BodyReader, request: IncomingMessage, response: ServerResponse) {
    this.parts = parts;
    this.bodies = bodies;
    this.request = request;
    this.response = response;
    this.receivedAtMs = parts.clock.nowMs();
    this.#startedMs = parts.clock.monotonicMs();
    this.requestId = this.#chooseRequestId();
    parts.metrics.http.began();
  }

  /** Called first. */
  start(state: ServerState): void {
    this.#state = state;
  }

  get phase(): ServerState['phase'] {
    return this.#state.phase;
  }

  /**
   * As what this request is counted.
   *
   * @param label the route as /metrics names it: one of a closed set, never what the client sent
   * @param refusals counts by code, should it be refused
   */
  countAs(label: string, refusals?: LabelledCounter): void {
    this.#label = label;
    this.#refusals = refusals;
  }

  /** From now on answers are those of protocol V1. */
  speakV1(): void {
    this.#speaksV1 = true;
  }

  /** The connection ends behind the answer. */
  closeAfterAnswer(): void {
    this.#mustClose = true;
  }

  skipBody(): void {
    this.request.resume();
  }

  /** Answers before the body is read; it is thrown away as it comes. */
  refuseUnread(refusal: Fault): void {
    this.refuse(refusal);
    this.bodies.discard(this.request);
  }

  header(name: string): string | undefined {
    return single(this.request.headers[name]);
  }

  /** The headers count only when the socket's other end is trusted to set them. */
  clientIp(): string {
    const { remoteAddress } = this.request.socket;
    const isTrusted = this.parts.isTrustedProxy(remoteAddress);
    return clientIp(isTrusted ? this.request.headers : {}, remoteAddress);
  }

  /** Undefined: the request is answered already, or nobody waits. */
  bodyOf(result: BodyResult): Buffer | undefined {
    switch (result.kind) {
      case 'body':
        return result.bytes;
      case 'refused':
        this.#mustClose = result.mustClose;
        if (result.drain !== undefined) this.#countTooLarge(result.drain);
        if (result.isUnread) this.refuseUnread(result.fault);
        else this.refuse(result.fault);
        return undefined;
      case 'aborted':
        this.parts.metrics.http.abandoned();
        return undefined;
    }
  }

  answer(status: number, body: Buffer | string, contentType?: string): void {
    writeBody(
      this.response,
      this.#context(),
      contentType === undefined ? { status, body } : { status, body, contentType },
    );
    this.#count(status);
  }

  /** @param headers names and values, in turn */
  answerWithHeaders(
    answer: { readonly status: 200 | 304; readonly body: Buffer | string; readonly contentType: string },
    headers: readonly string[],
  ): void {
    if (answer.status === 304) writeNotModified(this.response, this.#context(), headers);
    else writeBody(this.response, this.#context(), answer, headers);
    this.#count(answer.status);
  }

  answerNothing(): void {
    writeNoContent(this.response, this.#context());
    this.#count(204);
  }

  answerPreflight(): void {
    this.skipBody();
    writePreflight(this.response, this.#context(), this.request.headers['access-control-request-headers']);
    this.#count(200);
  }

  refuse(refusal: Fault, allow?: string): void {
    const said = refusal.code === 'invalid_personal_api_key' ? this.#failedAttempt(refusal) : refusal;
    writeFault(this.response, this.#context(), said, allow);
    this.#refusals?.add(said.code);
    this.#count(this.response.statusCode);
  }

  /** Before the body is read; the connection can be used again. */
  refuseBeforeBody(refusal: Fault, allow?: string): void {
    this.skipBody();
    this.refuse(refusal, allow);
  }

  /** @param allowed as the header `Allow` has it */
  refuseMethod(allowed: string): void {
    this.refuseBeforeBody(fault('method_not_allowed', { method: this.request.method ?? '', allowed }), allowed);
  }

  /** Answers when `work` comes out; what it rejects with is a fault of our own. */
  answerLater<Outcome>(work: Promise<Outcome>, answer: (outcome: Outcome) => void): void {
    work.then(answer, (error: unknown) => {
      this.fail(error);
    });
  }

  fail(error: unknown): void {
    this.parts.log.error({ requestId: formatUuid(this.requestId), err: error }, 'a request failed inside');
    if (!this.response.headersSent) this.refuse(fault('internal_error'));
  }

  /** Every route's wrong personal keys come by here: once too often, and the client is told to wait. */
  #failedAttempt(refusal: Fault): Fault {
    const { failedAttempts, countedAddress } = this.parts;
    const retryAfterSeconds = failedAttempts.note(
      countedAddress(this.request.headers, this.request.socket.remoteAddress),
    );
    if (retryAfterSeconds === undefined) return refusal;
    this.#mustClose = true; // each further guess costs a new connection
    const limited = { ...fault('rate_limited', { failures: MAX_FAILED_ATTEMPTS }), retryAfterSeconds };
    return this.#speaksV1 ? { ...limited, status: 503 } : limited; // V1 has no 429
  }

  #context(): AnswerContext {
    const { socket } = this.request;
    const isDrained = this.#state.phase === 'draining' && this.#state.newest.get(socket) === this.response;
    const mustClose = this.#mustClose || isDrained;
    if (mustClose) this.#state.ending.add(socket);
    return {
      requestId: formatUuid(this.requestId),
      origin: this.request.headers.origin,
      mustClose,
      v1: this.#speaksV1
        ? { receivedAtMs: this.receivedAtMs, givenRequestId: this.header('posthog-request-id') }
        : undefined,
    };
  }

  #chooseRequestId(): Uint8Array {
    const { headers } = this.request;
    for (const given of [headers['x-request-id'], headers['posthog-request-id']]) {
      const parsed = given === undefined ? undefined : parseUuid(single(given) ?? '');
      if (parsed !== undefined) return parsed;
    }
    const made = new Uint8Array(16);
    this.parts.ids.writeUuidV7(this.receivedAtMs, made, 0);
    return made;
  }

  #countTooLarge(drain: DrainEnd): void {
    const { metrics } = this.parts;
    metrics.payloadTooLarge.add('none');
    metrics.bodyDrains.addPair([drain === 'complete' ? 'drained' : 'abandoned', drain]);
  }

  #count(status: number): void {
    const { metrics, clock } = this.parts;
    const seconds = (clock.monotonicMs() - this.#startedMs) / 1000;
    metrics.http.answered({ route: this.#label, method: this.request.method, status, seconds });
  }
}

function single(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0];
}
