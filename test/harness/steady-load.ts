/** Clients that send until they are told to end, and know of each uuid what they were answered. */
import { randomUUID } from 'node:crypto';
import { Agent, request } from 'node:http';
import { testKeys } from './hedgerow.ts';

export interface SteadyLoad {
  /** Answered 200. */
  readonly acknowledged: Set<string>;
  /** Answered otherwise, or not at all. */
  readonly unsure: Set<string>;
  readonly statuses: Map<number, number>;
  /** How long each answer took, ms. */
  readonly waitsMs: number[];
  /** Resolves when each client has its last answer. */
  stop(): Promise<void>;
}

interface LoadOptions {
  readonly clients: number;
  readonly batchEvents: number;
  /** Between two requests of a client, ms. Default 0. */
  readonly pauseMs?: number;
}

export function startLoad(url: string, { clients, batchEvents, pauseMs = 0 }: LoadOptions): SteadyLoad {
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  const load = {
    acknowledged: new Set<string>(),
    unsure: new Set<string>(),
    statuses: new Map<number, number>(),
    waitsMs: [] as number[],
  };
  let isStopped = false;
  const running = Array.from({ length: clients }, async () => {
    while (!isStopped) {
      const uuids = Array.from({ length: batchEvents }, () => randomUUID());
      const batch = uuids.map((uuid) => ({
        event: 'loaded',
        distinct_id: 'd',
        uuid,
        properties: { pad: 'p'.repeat(80) },
      }));
      for (const uuid of uuids) load.unsure.add(uuid);
      const startedMs = performance.now();
      const status = await postJson(agent, `${url}/batch/`, { api_key: testKeys.public, batch });
      load.waitsMs.push(performance.now() - startedMs);
      load.statuses.set(status, (load.statuses.get(status) ?? 0) + 1);
      if (status === 200) {
        for (const uuid of uuids) {
          load.unsure.delete(uuid);
          load.acknowledged.add(uuid);
        }
      }
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  });
  return {
    ...load,
    stop: async () => {
      isStopped = true;
      await Promise.all(running);
      agent.destroy();
    },
  };
}

/** @returns the status; 0 when the connection ended without an answer */
function postJson(agent: Agent, url: string, body: object): Promise<number> {
  return new Promise((resolve) => {
    const text = JSON.stringify(body);
    const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) };
    const sent = request(url, { method: 'POST', agent, headers }, (response) => {
      response.resume();
      response.once('end', () => resolve(response.statusCode ?? 0));
      response.once('error', () => resolve(0));
    });
    sent.once('error', () => resolve(0));
    sent.end(text);
  });
}

/** The value below which `share` of the values lie. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
