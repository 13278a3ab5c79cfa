/** How long after its 200 an event shows in SQL, at a rate that the server is made for (interface.md 4). */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Load } from './load.ts';
import { Samples } from './samples.ts';
import type { VerifiedServer } from './server-process.ts';
import { countOf } from './stored-rows.ts';

export const CALM_EVENTS_PER_SECOND = 1000;
const BATCH_EVENTS = 20;
const BATCH_EVERY_MS = (BATCH_EVENTS * 1000) / CALM_EVENTS_PER_SECOND;
const PROBE_EVERY_MS = 100;
const POLL_MS = 10;
const GIVE_UP_MS = 20_000;

/** Each sample in milliseconds, from the answer to the query that found the event. */
export async function measureVisibility(load: Load, server: VerifiedServer, durationMs: number): Promise<Samples> {
  const samples = new Samples();
  const startMs = Date.now();
  const isOver = (): boolean => Date.now() - startMs >= durationMs || server.hasDied;
  const paced = async (): Promise<void> => {
    for (let i = 0; !isOver(); i++) {
      const [wentOut] = await Promise.all([
        load.sendSome(server, BATCH_EVENTS),
        sleep(Math.max(0, startMs + i * BATCH_EVERY_MS - Date.now())),
      ]);
      if (!wentOut) await sleep(BATCH_EVERY_MS);
    }
  };
  const probes = async (): Promise<void> => {
    while (!isOver()) {
      const uuid = await load.sendOne(server);
      const acknowledgedMs = performance.now();
      if (uuid !== undefined && (await isFound(server, uuid))) samples.add(performance.now() - acknowledgedMs);
      await sleep(PROBE_EVERY_MS);
    }
  };
  await Promise.all([paced(), probes()]);
  return samples;
}

async function isFound(server: VerifiedServer, uuid: string): Promise<boolean> {
  const endMs = Date.now() + GIVE_UP_MS;
  while (Date.now() < endMs && !server.hasDied) {
    if ((await countOf(server, `uuid = '${uuid}'`)) > 0) return true;
    await sleep(POLL_MS);
  }
  return false;
}
