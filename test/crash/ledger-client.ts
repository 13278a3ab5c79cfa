/**
 * A client that keeps its own books: which events it got a 200 for, which it must send again, which it only tried. After
 * any number of crashes they are compared with what the server's SQL says.
 */
import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:http';
import { metric, post, sql, testKeys, untilCounted } from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';

const EVENTS_A_BATCH = 8;
const CONNECTIONS = 4;
const PAUSE_MS = 8;
/** Every so many batches one is larger than the smallest segment of the log. */
const LARGE_EVERY = 12;

interface Batch {
  readonly during: string;
  readonly uuids: readonly string[];
  /** Of an event that is rejected. */
  readonly rejectedUuid: string;
  readonly body: string;
  attempts: number;
}

export interface Comparison {
  readonly acknowledged: number;
  readonly stored: number;
  /** Each says which uuid, and during what it was acknowledged. */
  readonly lost: readonly string[];
  readonly doubled: readonly string[];
  readonly unknown: readonly string[];
}

export class LedgerClient {
  readonly #acknowledged = new Map<string, string>();
  readonly #sent = new Set<string>();
  /** Without an answer: sent again, by the same uuids, before anything new. */
  readonly #doubtful: Batch[] = [];
  /** Uuids of rejected events of acknowledged requests, and how often the request was sent. */
  readonly #rejected = new Map<string, number>();
  #batches = 0;
  #lastAcknowledged: string | undefined;

  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  /** Sends until `isOver`, or until the server is gone. */
  async load(url: string, during: string, isOver: () => boolean): Promise<void> {
    const agent = new Agent({ keepAlive: true });
    await Promise.all(
      Array.from({ length: CONNECTIONS }, async () => {
        while (!isOver()) {
          const batch = this.#doubtful.shift() ?? this.#newBatch(during);
          if (!(await this.#send(url, agent, batch))) return;
          await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
        }
      }),
    );
    agent.destroy();
  }

  /** Sends what has no answer yet, and compares what the server holds. */
  async settle(server: { readonly url: string }): Promise<Comparison> {
    const agent = new Agent({ keepAlive: true });
    for (let batch = this.#doubtful.shift(); batch !== undefined; batch = this.#doubtful.shift()) {
      if (!(await this.#send(server.url, agent, batch)))
        throw new Error('a server that nobody kills did not answer 200');
    }
    agent.destroy();
    // Behind all the others; the lag alone is 0 as well before the loader has looked.
    const last = { event: 'behind', distinct_id: 'd', uuid: randomUUID() };
    await post(`${server.url}/batch/`, { api_key: testKeys.public, batch: [last] });
    await untilCounted(server, `uuid = '${last.uuid}'`, 1);
    await until(async () => (await metric(server, 'hedgerow_loader_lag_events')) === 0, {
      deadlineMs: 60_000,
      what: 'the loader has caught up',
    });
    const rows = await sql(server, "select toString(uuid), count() from events where event = 'kept' group by uuid");
    const stored = new Map(rows.map(([uuid, count]) => [String(uuid), Number(count)]));
    const rejections = await sql(
      server,
      'select toString(uuid), count() from rejections where uuid is not null group by uuid',
    );
    const kept = new Map(rejections.map(([uuid, count]) => [String(uuid), Number(count)]));
    const lostRejections = [...this.#rejected.keys()].filter((uuid) => !kept.has(uuid));
    const doubledRejections = [...this.#rejected].filter(([uuid, attempts]) => (kept.get(uuid) ?? 0) > attempts);
    return {
      acknowledged: this.#acknowledged.size,
      stored: stored.size,
      lost: [...this.#acknowledged]
        .filter(([uuid]) => !stored.has(uuid))
        .map(([uuid, during]) => `${uuid}, acknowledged during ${during}`)
        .concat(lostRejections.map((uuid) => `${uuid}, a rejection`)),
      doubled: [...stored]
        .filter(([, count]) => count > 1)
        .map(([uuid, count]) => `${uuid}: ${count} times, acknowledged during ${this.#acknowledged.get(uuid) ?? '-'}`)
        .concat(doubledRejections.map(([uuid]) => `${uuid}, a rejection: ${kept.get(uuid)} times`)),
      unknown: [...stored.keys()].filter((uuid) => !this.#sent.has(uuid)),
    };
  }

  /** Events whose properties are taken apart, one that goes in as text, one that is rejected, one that came before. */
  #newBatch(during: string): Batch {
    this.#batches += 1;
    const uuids = Array.from({ length: EVENTS_A_BATCH }, () => randomUUID());
    const rejectedUuid = randomUUID();
    const text = 'x'.repeat(this.#batches % LARGE_EVERY === 0 ? 10_000 : 200);
    const batch: object[] = uuids.map((uuid, i) => ({
      event: 'kept',
      distinct_id: `u${i}`,
      uuid,
      properties: i === 0 ? { during, list: [{ a: 1 }, [2, 'b']] } : { during, i, text },
    }));
    batch.push({ event: 'rejected', uuid: rejectedUuid });
    if (this.#lastAcknowledged !== undefined) {
      batch.push({ event: 'kept', distinct_id: 'again', uuid: this.#lastAcknowledged });
    }
    for (const uuid of uuids) this.#sent.add(uuid);
    return { during, uuids, rejectedUuid, body: JSON.stringify({ api_key: testKeys.public, batch }), attempts: 0 };
  }

  async #send(url: string, agent: Agent, batch: Batch): Promise<boolean> {
    batch.attempts += 1;
    const status = await postOnce(`${url}/batch/`, agent, batch.body);
    if (status !== 200) {
      this.#doubtful.push(batch);
      return false;
    }
    for (const uuid of batch.uuids) this.#acknowledged.set(uuid, batch.during);
    this.#rejected.set(batch.rejectedUuid, batch.attempts);
    this.#lastAcknowledged = batch.uuids[0];
    return true;
  }
}

/** @returns the status once the whole answer is there; undefined when it never came */
function postOnce(url: string, agent: Agent, body: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const call = request(
      url,
      {
        method: 'POST',
        agent,
        headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) },
      },
      (response) => {
        response.resume();
        response.on('end', () => resolve(response.complete ? response.statusCode : undefined));
        response.on('error', () => resolve(undefined));
        response.on('aborted', () => resolve(undefined));
      },
    );
    call.on('error', () => resolve(undefined));
    call.end(body);
  });
}
