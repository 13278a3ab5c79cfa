/** What a driver claims to have sent, against what the events API gives back. */
import { z } from 'zod';
import { ask, bearer, type Hedgerow } from '../harness/hedgerow.ts';
import type { Claim, DriverRun } from './driver-run.ts';
import { parseExact } from './exact-json.ts';

const shown = z.object({
  uuid: z.string(),
  event: z.string(),
  distinct_id: z.string(),
  timestamp: z.string(),
  received_at: z.string(),
  sent_at: z.string().nullable(),
  properties: z.record(z.string(), z.unknown()),
});
const page = z.object({ results: z.array(shown), next: z.string().nullable() });

export type Shown = z.infer<typeof shown>;

/** Every event of the project whose distinct id contains `seed`, through all pages of the events API. */
export async function shownEvents(server: Hedgerow, seed: string): Promise<readonly Shown[]> {
  const found: Shown[] = [];
  let url: string | null = `${server.url}/api/projects/@current/events/?limit=1000`;
  while (url !== null) {
    const answer = await ask(url, { headers: bearer });
    if (answer.status !== 200) throw new Error(`the events API answered ${answer.status}: ${answer.text}`);
    const { results, next } = page.parse(parseExact(answer.text));
    found.push(...results);
    url = next;
  }
  return found.filter((event) => event.distinct_id.includes(seed));
}

/** Unique for every event of the script: its name, its person, and its number in the script. */
function keyOf(event: Claim | Shown): string {
  return JSON.stringify([event.event, event.distinct_id, event.properties['n'] ?? null]);
}

export interface Comparison {
  readonly missing: readonly string[];
  readonly doubled: readonly string[];
  /** Shown, but never claimed. */
  readonly unknown: readonly string[];
  readonly differences: readonly string[];
}

export function isFaultless(found: Comparison): boolean {
  return [found.missing, found.doubled, found.unknown, found.differences].every((texts) => texts.length === 0);
}

export function compare(run: DriverRun, events: readonly Shown[]): Comparison {
  const byKey = groupBy(events, keyOf);
  const claimed = new Set(run.claims.map(keyOf));
  const uuids = groupBy(events, (event) => event.uuid);
  return {
    missing: [...claimed].filter((key) => !byKey.has(key)),
    doubled: [
      ...[...byKey].filter(([, same]) => same.length > 1).map(([key]) => key),
      ...[...uuids].filter(([, same]) => same.length > 1).map(([uuid]) => uuid),
    ],
    unknown: [...byKey.keys()].filter((key) => !claimed.has(key)),
    differences: run.claims.flatMap((claim) => {
      const event = byKey.get(keyOf(claim))?.[0];
      return event === undefined ? [] : differencesOf(claim, event, run).map((text) => `${keyOf(claim)}: ${text}`);
    }),
  };
}

/** A failure of all 255 events reads as well from the first few. */
export function briefly(texts: readonly string[]): readonly string[] {
  return texts.length <= 5 ? texts : [...texts.slice(0, 5), `and ${texts.length - 5} more`];
}

function differencesOf(claim: Claim, event: Shown, run: DriverRun): string[] {
  const found: string[] = [];
  if (claim.uuid !== null && claim.uuid !== event.uuid) found.push(`uuid ${event.uuid}, sent ${claim.uuid}`);
  const time = timeDifference(claim, event, run);
  if (time !== undefined) found.push(time);
  for (const [name, value] of Object.entries(claim.properties)) {
    const got = event.properties[name];
    if (canonical(got) !== canonical(value)) found.push(`${name} is ${canonical(got)}, sent ${canonical(value)}`);
  }
  for (const name of Object.keys(event.properties))
    if (!(name in claim.properties) && !name.startsWith('$')) found.push(`${name} was never sent`);
  return found;
}

/**
 * The server shifts an event's time by the difference of the two clocks, `sent_at` and its own, which includes the time
 * under way (protocol.md 3.7); where `$ignore_sent_at` says not to, and where there is no `sent_at`, not at all.
 * The API rounds all three instants to milliseconds, so a shifted one may be off by one.
 */
function timeDifference(claim: Claim, event: Shown, run: DriverRun): string | undefined {
  const receivedMs = Date.parse(event.received_at);
  const isShifted = event.sent_at !== null && claim.properties['$ignore_sent_at'] !== true;
  const shiftMs = isShifted ? receivedMs - Date.parse(event.sent_at ?? '') : 0;
  const sentMs = Date.parse(event.timestamp) - shiftMs;
  const toleranceMs = isShifted ? 1 : 0;
  if (claim.timestamp === null) {
    const isWithin = sentMs >= run.startedAtMs - toleranceMs && sentMs <= run.endedAtMs + toleranceMs;
    return isWithin ? undefined : `time ${event.timestamp} with ${shiftMs} ms between the clocks is not of the run`;
  }
  if (Math.abs(sentMs - Date.parse(claim.timestamp)) <= toleranceMs) return undefined;
  return `time ${event.timestamp}, sent ${claim.timestamp} with ${shiftMs} ms between the clocks`;
}

function groupBy<T>(items: readonly T[], keyOfItem: (item: T) => string): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOfItem(item);
    groups.set(key, [...(groups.get(key) ?? []), item]);
  }
  return groups;
}

/** Text that is equal for equal values, whatever the order of their keys. */
export function canonical(value: unknown): string {
  if (value === undefined) return 'absent';
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
