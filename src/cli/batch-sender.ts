/**
 * Sends events in batches over POST /batch/ and adds up what became of them.
 *
 * A batch is sent again after 429, 5xx and broken connections: at most `MAX_ATTEMPTS` times, after the time in
 * Retry-After, else after a wait that doubles. Each event carries a uuid, so what was stored by an answer that got lost
 * is not counted twice. 401, 403 and 404 concern every batch and stop the sending; other refusals concern this batch.
 */
import { z } from 'zod';
import { CommandFailure } from './command-failure.ts';
import type { OutgoingEvent } from './outgoing-event.ts';
import type { ServerAddress } from './server-address.ts';
import { isCertificateProblem, networkErrorCode, parseFault, unreachable } from './server-request.ts';

export const MAX_BATCH_EVENTS = 100;
/** Below the 20 MiB that a request may have, so that large events do not make a batch fail. */
export const MAX_BATCH_BYTES = 16 * 1024 * 1024;
export const MAX_ATTEMPTS = 8;
export const FIRST_WAIT_MS = 500;
export const MAX_WAIT_MS = 60_000;

export interface SendTotals {
  readonly sent: number;
  readonly accepted: number;
  readonly rejected: number;
  readonly requests: number;
  readonly retries: number;
}

export interface RejectedEvent {
  readonly origin: string;
  readonly code: string;
  readonly detail: string;
}

export interface SenderHooks {
  readonly fetch: typeof globalThis.fetch;
  readonly sleep: (ms: number) => Promise<void>;
  readonly onProgress: (totals: SendTotals) => void;
  readonly onRejected: (rejected: RejectedEvent) => void;
  readonly onRetry: (reason: string, waitMs: number) => void;
}

const acceptedBody = z.object({
  rejected: z.array(z.object({ index: z.number(), code: z.string(), detail: z.string() })).default([]),
});

export class BatchSender {
  readonly #address: ServerAddress;
  readonly #projectKey: string;
  readonly #hooks: SenderHooks;
  #waiting: OutgoingEvent[] = [];
  #waitingBytes = 0;
  #totals: SendTotals = { sent: 0, accepted: 0, rejected: 0, requests: 0, retries: 0 };

  constructor(address: ServerAddress, projectKey: string, hooks: SenderHooks) {
    this.#address = address;
    this.#projectKey = projectKey;
    this.#hooks = hooks;
  }

  /** @throws CommandFailure when nothing more can be sent. */
  async add(event: OutgoingEvent): Promise<void> {
    const bytes = Buffer.byteLength(event.json);
    if (this.#waiting.length >= MAX_BATCH_EVENTS || this.#waitingBytes + bytes > MAX_BATCH_BYTES) await this.flush();
    this.#waiting.push(event);
    this.#waitingBytes += bytes;
  }

  /** Sends what waits. */
  async flush(): Promise<void> {
    if (this.#waiting.length === 0) return;
    const batch = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    await this.#send(batch);
    this.#hooks.onProgress(this.#totals);
  }

  totals(): SendTotals {
    return this.#totals;
  }

  async #send(batch: readonly OutgoingEvent[]): Promise<void> {
    const body = `{"api_key":${JSON.stringify(this.#projectKey)},"batch":[${batch.map((event) => event.json).join(',')}]}`;
    for (let attempt = 1; ; attempt++) {
      const reply = await this.#post(body);
      this.#count({ requests: 1 });
      if (reply.kind === 'answer' && !isWorthRetrying(reply.status)) {
        this.#settle(batch, reply);
        return;
      }
      const reason = reply.kind === 'answer' ? `answer ${reply.status}` : reply.failure.message;
      const isLost = reply.kind === 'broken' && isHopeless(reply.code, this.#totals.requests);
      if (attempt >= MAX_ATTEMPTS || isLost) {
        throw reply.kind === 'broken'
          ? reply.failure
          : new CommandFailure(`Gave up after ${attempt} attempts: ${detailOf(reply)}`);
      }
      const asked = reply.kind === 'answer' ? reply.retryAfterMs : undefined;
      const waitMs = Math.min(asked ?? FIRST_WAIT_MS * 2 ** (attempt - 1), MAX_WAIT_MS);
      this.#count({ retries: 1 });
      this.#hooks.onRetry(reason, waitMs);
      await this.#hooks.sleep(waitMs);
    }
  }

  async #post(body: string): Promise<Answer | BrokenConnection> {
    const headers = new Headers({ 'Content-Type': 'application/json' });
    if (this.#address.personalKey !== undefined) headers.set('Authorization', `Bearer ${this.#address.personalKey}`);
    try {
      const response = await this.#hooks.fetch(`${this.#address.url}/batch/`, { method: 'POST', headers, body });
      const text = await response.text();
      const retryAfterMs = parseRetryAfterMs(response.headers.get('Retry-After'));
      return { kind: 'answer', status: response.status, text, retryAfterMs };
    } catch (error) {
      return { kind: 'broken', failure: unreachable(this.#address.url, error), code: networkErrorCode(error) };
    }
  }

  #settle(batch: readonly OutgoingEvent[], answer: Answer): void {
    if (answer.status === 401 || answer.status === 403 || answer.status === 404) {
      throw new CommandFailure(detailOf(answer));
    }
    if (answer.status >= 200 && answer.status < 300) {
      const rejected = parseRejected(answer.text);
      for (const { index, code, detail } of rejected) {
        this.#hooks.onRejected({ origin: batch[index]?.origin ?? `event ${index}`, code, detail });
      }
      this.#count({ sent: batch.length, accepted: batch.length - rejected.length, rejected: rejected.length });
      return;
    }
    const code = parseFault(answer.text)?.code ?? String(answer.status);
    const first = batch[0]?.origin ?? '';
    const last = batch.at(-1)?.origin ?? '';
    const origin = batch.length === 1 ? first : `${first} to ${last}`;
    this.#hooks.onRejected({ origin, code, detail: detailOf(answer) });
    this.#count({ sent: batch.length, rejected: batch.length });
  }

  #count(more: Partial<SendTotals>): void {
    const was = this.#totals;
    this.#totals = {
      sent: was.sent + (more.sent ?? 0),
      accepted: was.accepted + (more.accepted ?? 0),
      rejected: was.rejected + (more.rejected ?? 0),
      requests: was.requests + (more.requests ?? 0),
      retries: was.retries + (more.retries ?? 0),
    };
  }
}

interface Answer {
  readonly kind: 'answer';
  readonly status: number;
  readonly text: string;
  readonly retryAfterMs: number | undefined;
}

interface BrokenConnection {
  readonly kind: 'broken';
  readonly failure: CommandFailure;
  /** `ECONNRESET` and its like; undefined when the request could not even be tried. */
  readonly code: string | undefined;
}

/** Nobody listens there from the start, or the request cannot be tried at all: waiting would not help. */
function isHopeless(code: string | undefined, requestCount: number): boolean {
  if (code === undefined || isCertificateProblem(code)) return true;
  return requestCount === 1 && ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN'].includes(code);
}

function isWorthRetrying(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

/** Seconds; a date, which Hedgerow never sends, counts as absent. */
export function parseRetryAfterMs(text: string | null): number | undefined {
  return text !== null && /^\d{1,6}$/.test(text) ? Number(text) * 1000 : undefined;
}

function parseRejected(text: string): z.infer<typeof acceptedBody>['rejected'] {
  try {
    return acceptedBody.parse(JSON.parse(text)).rejected;
  } catch {
    throw new CommandFailure(
      'The answer of POST /batch/ does not read as JSON. Is this the address of a Hedgerow server?',
    );
  }
}

function detailOf(answer: Answer): string {
  return parseFault(answer.text)?.detail ?? `the server answered ${answer.status}.`;
}
