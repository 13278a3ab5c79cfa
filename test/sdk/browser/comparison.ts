/** What a page's SDK said it captured, against what the events API shows. */
import { z } from 'zod';
import { briefly, canonical, type Comparison, type Shown } from '../comparison.ts';
import { parseExact } from '../exact-json.ts';
import type { BrowserSdk } from './browser-sdks.ts';

const record = z.record(z.string(), z.unknown());
const claim = z.object({
  event: z.string(),
  uuid: z.string(),
  timestamp: z.string(),
  properties: record,
  /** posthog-js-lite alone; the others say it in the properties. */
  distinct_id: z.string().optional(),
  $set: record.optional(),
  $set_once: record.optional(),
});

export type Claim = z.infer<typeof claim>;

export function parseClaim(text: string): Claim {
  return claim.parse(parseExact(text));
}

interface Sent {
  readonly sdk: BrowserSdk;
  readonly claims: readonly Claim[];
  /** Whether requests failed on their way, so that events were sent again. */
  readonly isResent: boolean;
}

export function compare(sent: Sent, events: readonly Shown[]): Comparison {
  const claimed = new Map<string, Claim>();
  const doubled: string[] = [];
  for (const one of sent.claims) {
    if (claimed.has(one.uuid)) doubled.push(`${one.event} was claimed twice as ${one.uuid}`);
    claimed.set(one.uuid, one);
  }
  const shown = new Map<string, Shown>();
  for (const event of events.filter((one) => pageOf(one) === sent.sdk.id || claimed.has(one.uuid))) {
    if (shown.has(event.uuid)) doubled.push(`${event.event} is shown twice as ${event.uuid}`);
    shown.set(event.uuid, event);
  }
  const differences = [...shown].flatMap(([uuid, event]) => {
    const one = claimed.get(uuid);
    return one === undefined ? [] : differencesOf(one, event, sent).map((text) => `${nameOf(one)}: ${text}`);
  });
  return {
    missing: briefly([...claimed.values()].filter((one) => !shown.has(one.uuid)).map(nameOf)),
    doubled: briefly(doubled),
    unknown: briefly([...shown.values()].filter((one) => !claimed.has(one.uuid)).map(nameOf)),
    differences: briefly(differences),
  };
}

/** The page that an event says it came from; every SDK here says so in each event. */
export function pageOf(event: Shown): string | undefined {
  return /\/pages\/(\w+)\.html/.exec(String(event.properties['$current_url']))?.[1];
}

function nameOf(event: Claim | Shown): string {
  return `${event.event} ${JSON.stringify(event.properties['n'] ?? event.uuid)}`;
}

function differencesOf(one: Claim, event: Shown, sent: Sent): readonly string[] {
  const found: string[] = [];
  if (one.event !== event.event) found.push(`its name is ${event.event}`);
  const distinctId = one.distinct_id ?? one.properties['distinct_id'];
  if (distinctId !== event.distinct_id) found.push(`distinct_id is ${event.distinct_id}, sent ${String(distinctId)}`);
  const time = timeDifference(one, event, sent);
  if (time !== undefined) found.push(time);
  // Shown inside the properties, as PostHog does.
  const { $set, $set_once } = one;
  const beside = { ...($set === undefined ? {} : { $set }), ...($set_once === undefined ? {} : { $set_once }) };
  const properties: Readonly<Record<string, unknown>> = { ...beside, ...one.properties };
  for (const name of new Set([...Object.keys(properties), ...Object.keys(event.properties)])) {
    const [got, wanted] = [canonical(event.properties[name]), canonical(properties[name])];
    if (got !== wanted) found.push(`${name} is ${got}, sent ${wanted}`);
  }
  return found;
}

/** `offset` is measured before `_`, the time of sending, in the same request. */
const OFFSET_SLACK_MS = 250;

/**
 * The server shifts an event's time by the difference of the two clocks, the time of sending and its own, which includes
 * the time under way (protocol.md 3.7); the API rounds all three instants to milliseconds. An SDK that says an offset
 * repeats it when it sends again, so that the event then lies between its own time and its arrival.
 */
function timeDifference(one: Claim, event: Shown, { sdk, isResent }: Sent): string | undefined {
  const shownMs = Date.parse(event.timestamp);
  const receivedMs = Date.parse(event.received_at);
  const shiftMs = event.sent_at === null ? 0 : receivedMs - Date.parse(event.sent_at);
  const firstMs = Date.parse(one.timestamp) + shiftMs - 1;
  let lastMs = firstMs + 2;
  if (sdk.times === 'offset') lastMs = isResent ? Math.max(receivedMs, lastMs) : lastMs + OFFSET_SLACK_MS;
  if (shownMs >= firstMs && shownMs <= lastMs) return undefined;
  return `time ${event.timestamp}, sent ${one.timestamp} with ${shiftMs} ms between the clocks`;
}
