/** Senders as SDKs are: they batch, wait for the answer, and send again, with the same uuids, what got none or a 5xx. */
import { errors } from '../../src/errors.ts';
import { formatUuid } from '../../src/event/uuid.ts';
import type { SeededIds } from '../harness/seeded-ids.ts';
import type { SeededRandom } from '../harness/random.ts';
import type { VirtualTime } from '../harness/virtual-time.ts';
import { POISON } from './memory-database.ts';
import type { SentEvent } from './pipeline-model.ts';

/** `lost`: no answer came, for whatever reason. */
export type Answer =
  | { readonly kind: 'kept' }
  | { readonly kind: 'lost' }
  | { readonly kind: 'fault'; readonly code: keyof typeof errors };

export interface Sender {
  /** Brings a request to a server, perhaps twice, perhaps to none. */
  send(projectKey: string, body: Buffer, events: readonly SentEvent[]): Promise<Answer>;
}

const MAX_TRIES = 6;

export interface ClientWorld {
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  readonly ids: SeededIds;
  readonly sender: Sender;
  readonly sent: Map<number, SentEvent>;
}

/** Project keys; the last one was revoked. */
export const projectKeys = ['phc_first', 'phc_second', 'phc_revoked'] as const;
const PROJECTS = 2;

export async function runClient(world: ClientWorld, requests: number): Promise<void> {
  const { time, random } = world;
  const acknowledged: SentEvent[][] = [];
  for (let i = 0; i < requests; i++) {
    const projectId = 1 + random.below(PROJECTS);
    const older = random.chance(0.15) ? acknowledged[random.below(Math.max(1, acknowledged.length))] : undefined;
    const fresh = Array.from({ length: 1 + random.below(6) }, () => newEvent(world, projectId));
    // What was stored once comes again now and then, alone or among others.
    const events = older === undefined || older[0]?.projectId !== projectId ? fresh : [...older, ...fresh.slice(1)];
    const more = random.chance(0.2) ? deliver(world, [newEvent(world, projectId)]) : undefined;
    if (await deliver(world, events)) acknowledged.push(events);
    await more;
    await time.sleep(random.below(random.chance(0.2) ? 600 : 30));
  }
}

/** @returns whether it was acknowledged */
async function deliver({ time, random, sender }: ClientWorld, events: readonly SentEvent[]): Promise<boolean> {
  const projectId = events[0]?.projectId ?? 1;
  const key = random.chance(0.02) ? projectKeys[PROJECTS] : projectKeys[projectId - 1];
  const body = Buffer.from(`{"api_key":"${key}","batch":[${events.map(({ text }) => text).join(',')}]}`);
  for (let attempt = 1; attempt <= MAX_TRIES; attempt++) {
    const answer = await sender.send(key ?? '', body, events);
    if (answer.kind === 'kept') return true;
    if (answer.kind === 'fault' && errors[answer.code].status < 429) return false;
    if (random.chance(0.03)) return false; // the page was closed
    await time.sleep(20 * 2 ** attempt * (0.5 + random.next()));
  }
  return false;
}

function newEvent({ time, random, ids, sent }: ClientWorld, projectId: number): SentEvent {
  const marker = sent.size + 1;
  const bytes = new Uint8Array(16);
  ids.writeUuidV7(time.clock.nowMs(), bytes, 0);
  const uuid = random.chance(0.1) ? undefined : formatUuid(bytes, 0);
  const chance = random.next();
  const kind = chance < 0.05 ? 'bad' : chance < 0.08 ? 'dropped' : 'good';
  const distinctId = `person ${random.below(5)}`;
  const padding = 'x'.repeat(random.chance(0.03) ? random.below(30_000) : random.below(200));
  const properties = { n: marker, padding: random.chance(0.01) ? POISON + padding : padding };
  const text = JSON.stringify({
    event: kind === 'dropped' ? '$performance_event' : 'page viewed',
    ...(kind === 'bad' ? {} : { distinct_id: distinctId }),
    ...(uuid === undefined ? {} : { uuid }),
    properties: random.chance(0.02) ? { ...properties, big: [{ a: 1 }] } : properties,
  });
  const event: SentEvent = { marker, projectId, uuid, distinctId, kind, text, deliveries: [] };
  sent.set(marker, event);
  return event;
}
