/**
 * Several connections that send as fast as they get answers: single events under the public key, batches under the
 * server key, some events a second time, some that must be rejected. What got no answer is sent again, under the same
 * uuid, before anything new.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { EventSeries } from './event-series.ts';
import { Posts, type PostAnswer } from './posts.ts';
import type { Problems } from './problems.ts';
import type { SentEvents } from './sent-events.ts';
import type { VerifiedServer } from './server-process.ts';

const SINGLE_CONNECTIONS = 4;
const BATCH_CONNECTIONS = 4;
const BATCH_EVENTS = 50;
/** Of requests: with a copy of an acknowledged event, with an event twice, with one that must be rejected. */
const COPY_SHARE = 0.1;
const TWICE_SHARE = 0.1;
const REFUSED_SHARE = 0.1;
const WAIT_AFTER_FAILURE_MS = 50;

export interface LoadTotals {
  /** First acknowledgements. */
  readonly acknowledged: number;
  readonly requests: number;
  /** Events that were sent again, since no answer had come. */
  readonly resent: number;
  /** Copies of acknowledged events, sent on purpose. */
  readonly copies: number;
  /** Rejected on purpose, and answered so. */
  readonly refused: number;
  /** Answers of 429 and 503, by code. */
  readonly later: ReadonlyMap<string, number>;
}

/** One event of a request. `known` was acknowledged before: nothing is learned of it. */
interface Sent {
  readonly n: number;
  readonly role: 'new' | 'known' | 'refused';
  readonly json: string;
}

const batchAnswer = z.object({
  rejected: z.array(z.object({ index: z.number().int(), code: z.string() })).default([]),
});
const faultAnswer = z.object({ code: z.string() });

export interface LoadNeeds {
  readonly series: EventSeries;
  readonly sent: SentEvents;
  readonly problems: Problems;
  /** In [0, 1). */
  readonly random: () => number;
}

export class Load {
  readonly #needs: LoadNeeds;
  readonly #posts = new Posts();
  readonly #inDoubt: number[] = [];
  readonly #later = new Map<string, number>();
  #isStopped = false;
  #requests = 0;
  #resent = 0;
  #copies = 0;

  constructor(needs: LoadNeeds) {
    this.#needs = needs;
  }

  totals(): LoadTotals {
    return {
      acknowledged: this.#needs.sent.countOf('acknowledged'),
      requests: this.#requests,
      resent: this.#resent,
      copies: this.#copies,
      refused: this.#needs.sent.countOf('refusal_answered'),
      later: this.#later,
    };
  }

  /** Resolves once `stop` was called and each connection has its last answer, or none. */
  async run(server: VerifiedServer): Promise<void> {
    this.#isStopped = false;
    const connections = [
      ...Array.from({ length: SINGLE_CONNECTIONS }, () => this.#sendSingles(server)),
      ...Array.from({ length: BATCH_CONNECTIONS }, () => this.#sendBatches(server)),
    ];
    await Promise.all(connections);
  }

  stop(): void {
    this.#isStopped = true;
  }

  close(): void {
    this.#posts.close();
  }

  /** Sends what got no answer until it has one, and nothing new. @returns whether all has one */
  async settle(server: VerifiedServer, deadlineMs: number): Promise<boolean> {
    const endMs = Date.now() + deadlineMs;
    while (this.#inDoubt.length > 0 && Date.now() < endMs && !server.hasDied) {
      const again = this.#inDoubt.splice(0, BATCH_EVENTS).map((n) => this.#again(n));
      if (!(await this.#sendBatch(server, again))) await sleep(WAIT_AFTER_FAILURE_MS);
    }
    return this.#inDoubt.length === 0;
  }

  /** A batch of new events, at the caller's own pace. @returns whether it was acknowledged */
  sendSome(server: VerifiedServer, count: number): Promise<boolean> {
    return this.#sendBatch(
      server,
      Array.from({ length: count }, () => this.#fresh()),
    );
  }

  /** One new event. @returns its uuid once it is acknowledged; undefined when it is not */
  async sendOne(server: VerifiedServer): Promise<string | undefined> {
    const one = this.#fresh();
    return (await this.#sendSingle(server, one)) ? this.#needs.series.uuidOf(one.n) : undefined;
  }

  async #sendSingles(server: VerifiedServer): Promise<void> {
    while (!this.#isStopped) {
      const again = this.#inDoubt.shift();
      const one = again === undefined ? this.#anySingle() : this.#again(again);
      if (!(await this.#sendSingle(server, one))) await sleep(WAIT_AFTER_FAILURE_MS);
    }
  }

  async #sendBatches(server: VerifiedServer): Promise<void> {
    while (!this.#isStopped) {
      const again = this.#inDoubt.splice(0, BATCH_EVENTS / 2).map((n) => this.#again(n));
      const batch = [...again, ...Array.from({ length: BATCH_EVENTS - again.length }, () => this.#fresh())];
      const copy = this.#chance(COPY_SHARE) ? this.#copy() : undefined;
      if (copy !== undefined) batch.splice(this.#below(batch.length), 0, copy);
      const twice = this.#chance(TWICE_SHARE) ? batch[this.#below(batch.length)] : undefined;
      if (twice !== undefined) batch.push({ ...twice, role: 'known' });
      if (this.#chance(REFUSED_SHARE)) batch.splice(this.#below(batch.length), 0, this.#refused());
      if (!(await this.#sendBatch(server, batch))) await sleep(WAIT_AFTER_FAILURE_MS);
    }
  }

  #anySingle(): Sent {
    if (this.#chance(REFUSED_SHARE / 2)) return this.#refused();
    return (this.#chance(COPY_SHARE / 2) ? this.#copy() : undefined) ?? this.#fresh();
  }

  #fresh(): Sent {
    const n = this.#needs.sent.next('in_doubt');
    return { n, role: 'new', json: this.#needs.series.jsonOf(n) };
  }

  #again(n: number): Sent {
    this.#resent++;
    return { n, role: 'new', json: this.#needs.series.jsonOf(n) };
  }

  #refused(): Sent {
    const n = this.#needs.sent.next('refused');
    return { n, role: 'refused', json: this.#needs.series.refusedJsonOf(n) };
  }

  /** Only of an event whose first copy is acknowledged: of two on their way at once either may win. */
  #copy(): Sent | undefined {
    const n = this.#below(this.#needs.sent.count);
    if (this.#needs.sent.fateOf(n) !== 'acknowledged') return undefined;
    this.#copies++;
    return { n, role: 'known', json: this.#needs.series.jsonOf(n, 'copy') };
  }

  async #sendSingle(server: VerifiedServer, one: Sent): Promise<boolean> {
    const body = `{"api_key":"${server.keys.public}",${one.json.slice(1)}`;
    const answer = await this.#posts.send(`${server.url}/capture/`, body);
    this.#requests++;
    if (one.role === 'refused' && answer.kind === 'answer' && answer.status === 400) {
      this.#needs.sent.settle(one.n, 'refusal_answered');
      return true;
    }
    return this.#readAnswer(answer, [one]);
  }

  async #sendBatch(server: VerifiedServer, batch: readonly Sent[]): Promise<boolean> {
    const body = `{"api_key":"${server.keys.server}","batch":[${batch.map((one) => one.json).join(',')}]}`;
    const answer = await this.#posts.send(`${server.url}/batch/`, body, server.keys.personal);
    this.#requests++;
    return this.#readAnswer(answer, batch);
  }

  /** @returns whether the request was acknowledged */
  #readAnswer(answer: PostAnswer, request: readonly Sent[]): boolean {
    if (answer.kind === 'broken') return this.#stayInDoubt(request);
    const { status, text } = answer;
    if (status === 200) return this.#readAcknowledgement(text, request);
    if (status === 503 || status === 429) {
      const code = parsed(faultAnswer, text)?.code ?? String(status);
      this.#later.set(code, (this.#later.get(code) ?? 0) + 1);
      return this.#stayInDoubt(request);
    }
    return this.#complain(request, `${status}: ${text.slice(0, 200)}`);
  }

  #readAcknowledgement(text: string, request: readonly Sent[]): boolean {
    const said = parsed(batchAnswer, text)?.rejected;
    const rejected = new Set(said?.map(({ index }) => index));
    const wrong = request.find(({ role }, index) => (role === 'refused') !== rejected.has(index));
    if (said === undefined || wrong !== undefined) return this.#complain(request, `200: ${text.slice(0, 200)}`);
    for (const { n, role } of request) {
      if (role === 'new') this.#needs.sent.settle(n, 'acknowledged');
      if (role === 'refused') this.#needs.sent.settle(n, 'refusal_answered');
    }
    return true;
  }

  #complain(request: readonly Sent[], detail: string): false {
    const uuid = request[0] === undefined ? '' : this.#needs.series.uuidOf(request[0].n);
    this.#needs.problems.add('unexpected_answer', { uuid, detail: `the server answered ${detail}` });
    return this.#stayInDoubt(request);
  }

  #stayInDoubt(request: readonly Sent[]): false {
    for (const { n, role } of request) if (role === 'new') this.#inDoubt.push(n);
    return false;
  }

  #chance(share: number): boolean {
    return this.#needs.random() < share;
  }

  #below(count: number): number {
    return Math.floor(this.#needs.random() * count);
  }
}

function parsed<T>(schema: z.ZodType<T>, text: string): T | undefined {
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
