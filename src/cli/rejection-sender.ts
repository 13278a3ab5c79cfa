/**
 * Sends rejected events again through the capture API, a page of the list at a time, and tells the server what it did.
 *
 * Order    `requests` of a page noted -> its batches sent -> what was acknowledged noted as `stored`. See
 *          query/rejection-retries.ts for what a crash between leaves behind: nothing lost, nothing doubled.
 * Batches  events of one door, one address, one answer to "did a personal key vouch for it" and "is it historical": so
 *          each is stored as if it had been accepted at first. The address goes in `X-Forwarded-For`; a server that does
 *          not trust this machine as a proxy stores this machine's.
 * Errors   429, 408, 5xx and broken connections are tried again, as `hedgerow send` does. A batch that is refused as a whole
 *          for its size or a single event is halved. 401, 403 and 404 end it.
 */
import { gzipSync } from 'node:zlib';
import { z } from 'zod';
import { systemClock } from '../event/clock.ts';
import { RandomIds } from '../event/id-source.ts';
import { rejectionCodes } from '../event/outcome.ts';
import { formatUuid, parseUuid } from '../event/uuid.ts';
import {
  FIRST_WAIT_MS,
  MAX_ATTEMPTS,
  MAX_BATCH_BYTES,
  MAX_BATCH_EVENTS,
  MAX_WAIT_MS,
  parseRetryAfterMs,
} from './batch-sender.ts';
import { CommandFailure } from './command-failure.ts';
import type { KeptRejection } from './rejection-mending.ts';
import type { ServerAddress } from './server-address.ts';
import { parseFault, requestText, unreachable } from './server-request.ts';

/** A larger body is compressed, since a server takes more once decompressed than as sent. */
const PLAIN_BODY_BYTES = 1 << 20;
/** The reasons of an all-bad batch are in the list once the loader has them. */
const REASONS_WAIT_MS = 10_000;
const REASONS_POLL_MS = 100;
const codes: ReadonlySet<string> = new Set(rejectionCodes);

export interface ListedRejection extends KeptRejection {
  readonly ip: string;
  readonly authenticated: boolean;
  readonly historical: boolean;
}

export interface ResentEvent {
  readonly rejection: ListedRejection;
  readonly door: 'v0' | 'v1';
  readonly json: string;
  /** As it stands in `json`; empty when that is no text. */
  readonly uuid: string;
}

export type ResendOutcome =
  { readonly kind: 'stored' } | { readonly kind: 'rejected'; readonly code: string; readonly detail: string };

export interface ResendHooks {
  readonly fetch: typeof globalThis.fetch;
  readonly sleep: (ms: number) => Promise<void>;
  readonly onOutcome: (event: ResentEvent, outcome: ResendOutcome) => void;
  readonly onRetry: (reason: string, waitMs: number) => void;
}

interface Batch {
  readonly requestId: string;
  readonly events: readonly ResentEvent[];
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

const keyAnswer = z.object({
  project_key: z.object({ key: z.string(), kind: z.enum(['public', 'server']) }).nullable(),
});
type SendingKey = NonNullable<z.infer<typeof keyAnswer>['project_key']>;
const v0Answer = z.object({
  rejected: z.array(z.object({ index: z.number(), code: z.string(), detail: z.string() })).default([]),
});
const v1Answer = z.object({
  results: z.record(z.string(), z.object({ result: z.string(), details: z.string().optional() })),
});
const reasonsPage = z.object({
  results: z.array(z.object({ index: z.number(), code: z.string(), detail: z.string() })),
  next: z.string().nullable(),
});

export class RejectionSender {
  readonly #address: ServerAddress;
  readonly #path: string;
  readonly #hooks: ResendHooks;
  readonly #ids = new RandomIds();

  /** @param project as it stands in paths */
  constructor(address: ServerAddress, project: string, hooks: ResendHooks) {
    this.#address = address;
    this.#path = `/api/projects/${encodeURIComponent(project)}/rejections/`;
    this.#hooks = hooks;
  }

  /** @throws CommandFailure when nothing more can be sent; what was acknowledged is noted first */
  async send(events: readonly ResentEvent[]): Promise<void> {
    const batches = batchesOf(events).map((each) => this.#batch(each));
    const key = await this.#note(batches);
    const stored: Stored[] = [];
    try {
      for (const batch of batches) await this.#sendBatch(batch, key, stored);
    } finally {
      if (stored.length > 0) await requestText(this.#address, `${this.#path}retries/`, { stored });
    }
  }

  #batch(events: readonly ResentEvent[]): Batch {
    const bytes = new Uint8Array(16);
    this.#ids.writeUuidV7(systemClock.nowMs(), bytes, 0);
    return { requestId: formatUuid(bytes), events };
  }

  async #note(batches: readonly Batch[]): Promise<SendingKey> {
    const text = await requestText(this.#address, `${this.#path}retries/`, {
      requests: batches.map(({ requestId }) => requestId),
    });
    const { project_key: key } = keyAnswer.parse(JSON.parse(text));
    if (key === null) {
      throw new CommandFailure('The project has no key that is valid. Make one with "hedgerow keys create".');
    }
    return key;
  }

  async #sendBatch(batch: Batch, key: SendingKey, stored: Stored[]): Promise<void> {
    const answer = await this.#answerTo(batch, key);
    const { events, requestId } = batch;
    if (answer.status >= 200 && answer.status < 300) {
      const outcomes = events[0]?.door === 'v1' ? v1Outcomes(events, answer.text) : v0Outcomes(events, answer.text);
      this.#settle(batch, outcomes, stored);
      return;
    }
    const refusal = parseFault(answer.text);
    const detail = refusal?.detail ?? `the server answered ${answer.status}.`;
    if ([401, 403, 404].includes(answer.status)) throw new CommandFailure(detail);
    const code = refusal?.code ?? v1ErrorOf(answer.text) ?? String(answer.status);
    const areKept = codes.has(code); // each event was judged, and none was good
    if (events.length === 1 || areKept) {
      const one = { kind: 'rejected', code, detail } as const;
      const reasons = areKept && events.length > 1 ? await this.#reasonsOf(requestId, events.length) : new Map();
      this.#settle(
        batch,
        events.map((_, index) => reasons.get(index) ?? one),
        stored,
      );
      return;
    }
    const middle = Math.ceil(events.length / 2);
    const halves = [events.slice(0, middle), events.slice(middle)].map((half) => this.#batch(half));
    await this.#note(halves);
    for (const half of halves) await this.#sendBatch(half, key, stored);
  }

  #settle({ requestId, events }: Batch, outcomes: readonly ResendOutcome[], stored: Stored[]): void {
    events.forEach((event, i) => {
      const outcome = outcomes[i] ?? NOT_SAID;
      if (outcome.kind === 'stored') {
        const { request_id, index, received_at } = event.rejection;
        stored.push({ request_id, index, received_at, retry_request_id: requestId });
      }
      this.#hooks.onOutcome(event, outcome);
    });
  }

  /** Why each event of an all-bad request was refused, by its index; those that are not there in time are left out. */
  async #reasonsOf(requestId: string, count: number): Promise<ReadonlyMap<number, ResendOutcome>> {
    const found = new Map<number, ResendOutcome>();
    for (let waitedMs = 0; waitedMs <= REASONS_WAIT_MS; waitedMs += REASONS_POLL_MS) {
      let query = `?request=${requestId}&all=1&limit=1000`;
      while (query !== '') {
        const page = reasonsPage.parse(JSON.parse(await requestText(this.#address, `${this.#path}${query}`)));
        for (const { index, code, detail } of page.results) found.set(index, { kind: 'rejected', code, detail });
        query = page.next === null ? '' : page.next.slice(page.next.indexOf('?'));
      }
      if (found.size >= count) break;
      await this.#hooks.sleep(REASONS_POLL_MS);
    }
    return found;
  }

  async #answerTo(batch: Batch, key: SendingKey): Promise<Answer> {
    for (let attempt = 1; ; attempt++) {
      const reply = await this.#post(batch, key, attempt);
      if ('status' in reply && !isWorthRetrying(reply.status)) return reply;
      const reason = 'status' in reply ? `answer ${reply.status}` : reply.message;
      if (attempt >= MAX_ATTEMPTS) {
        throw reply instanceof CommandFailure
          ? reply
          : new CommandFailure(`Gave up after ${attempt} attempts: ${parseFault(reply.text)?.detail ?? reason}`);
      }
      const asked = 'status' in reply ? reply.retryAfterMs : undefined;
      const waitMs = Math.min(asked ?? FIRST_WAIT_MS * 2 ** (attempt - 1), MAX_WAIT_MS);
      this.#hooks.onRetry(reason, waitMs);
      await this.#hooks.sleep(waitMs);
    }
  }

  async #post(
    { requestId, events }: Batch,
    key: SendingKey,
    attempt: number,
  ): Promise<(Answer & { readonly retryAfterMs: number | undefined }) | CommandFailure> {
    const first = events[0]?.rejection;
    const isV1 = events[0]?.door === 'v1';
    const { personalKey } = this.#address;
    // A public key alone for what nobody vouched for: sending it again must not make it look otherwise.
    const vouches = personalKey !== undefined && (key.kind === 'server' || first?.authenticated === true);
    const headers = new Headers({ 'Content-Type': 'application/json', 'User-Agent': 'hedgerow-cli' });
    if (first !== undefined && first.ip !== '') headers.set('X-Forwarded-For', first.ip);
    const nowText = new Date(systemClock.nowMs()).toISOString();
    if (isV1) {
      headers.set('Authorization', `Bearer ${key.key}`);
      headers.set('PostHog-Sdk-Info', 'hedgerow'); // without a version it names no library (protocol.md 8.1)
      headers.set('PostHog-Attempt', String(attempt));
      headers.set('PostHog-Request-Id', requestId);
      headers.set('PostHog-Request-Timestamp', nowText);
    } else {
      headers.set('X-Request-Id', requestId);
    }
    if (vouches) headers.set('X-Personal-Api-Key', personalKey);
    const historical = first?.historical === true ? '"historical_migration":true,' : '';
    const who = isV1 ? `"created_at":${JSON.stringify(nowText)}` : `"api_key":${JSON.stringify(key.key)}`;
    let body = Buffer.from(`{${who},${historical}"batch":[${events.map(({ json }) => json).join(',')}]}`);
    if (body.length > PLAIN_BODY_BYTES) {
      body = gzipSync(body, { level: 1 });
      headers.set('Content-Encoding', 'gzip');
    }
    const url = `${this.#address.url}${isV1 ? '/i/v1/analytics/events/' : '/batch/'}`;
    try {
      const response = await this.#hooks.fetch(url, { method: 'POST', headers, body: new Uint8Array(body) });
      const text = await response.text();
      return { status: response.status, text, retryAfterMs: parseRetryAfterMs(response.headers.get('Retry-After')) };
    } catch (error) {
      return unreachable(this.#address.url, error);
    }
  }
}

interface Stored {
  readonly request_id: string;
  readonly index: number;
  readonly received_at: string;
  readonly retry_request_id: string;
}

/** An answer that leaves an event out has not acknowledged it. */
const NOT_SAID: ResendOutcome = {
  kind: 'rejected',
  code: 'unknown',
  detail: 'The answer does not say what became of it.',
};

function isWorthRetrying(status: number): boolean {
  return status === 408 || status === 429 || status >= 500;
}

function v0Outcomes(events: readonly ResentEvent[], text: string): readonly ResendOutcome[] {
  const rejected = new Map(read(v0Answer, text).rejected.map((each) => [each.index, each]));
  return events.map((_, index) => {
    const reason = rejected.get(index);
    return reason === undefined ? { kind: 'stored' } : { kind: 'rejected', code: reason.code, detail: reason.detail };
  });
}

function v1Outcomes(events: readonly ResentEvent[], text: string): readonly ResendOutcome[] {
  const { results } = read(v1Answer, text);
  return events.map(({ uuid }) => {
    const bytes = parseUuid(uuid.trim());
    const result = bytes === undefined ? undefined : results[formatUuid(bytes)];
    if (result === undefined) return NOT_SAID;
    if (result.result === 'ok' || result.result === 'warning') return { kind: 'stored' };
    return { kind: 'rejected', code: result.details ?? result.result, detail: '' };
  });
}

function v1ErrorOf(text: string): string | undefined {
  try {
    return z.object({ error: z.string() }).parse(JSON.parse(text)).error;
  } catch {
    return undefined;
  }
}

function read<T>(schema: z.ZodType<T>, text: string): T {
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    throw new CommandFailure('The answer of capture does not read as JSON. Is this the address of a Hedgerow server?');
  }
}

/** In order of arrival within each; a uuid comes once in a batch, since V1 refuses a batch where it does not. */
function batchesOf(events: readonly ResentEvent[]): readonly (readonly ResentEvent[])[] {
  const done: ResentEvent[][] = [];
  const open = new Map<string, { readonly events: ResentEvent[]; readonly uuids: Set<string>; bytes: number }>();
  for (const event of events) {
    const { historical, authenticated, ip } = event.rejection;
    const name = [event.door, historical, authenticated, ip].join(' ');
    const bytes = Buffer.byteLength(event.json);
    let batch = open.get(name);
    const isFull =
      batch !== undefined &&
      (batch.events.length >= MAX_BATCH_EVENTS || batch.bytes + bytes > MAX_BATCH_BYTES || batch.uuids.has(event.uuid));
    if (batch === undefined || isFull) {
      batch = { events: [], uuids: new Set(), bytes: 0 };
      done.push(batch.events);
      open.set(name, batch);
    }
    batch.events.push(event);
    batch.uuids.add(event.uuid);
    batch.bytes += bytes;
  }
  return done;
}
