/** Requests of protocol V1 for the fuzz suite: every codec, good and broken headers, events with anything in them. */
import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import type { SeededRandom } from '../harness/random.ts';
import { zstdOfRawBlocks } from '../vectors/zstd-frames.ts';

export interface V1Parts {
  readonly random: SeededRandom;
  /** Any JSON. */
  readonly json: (depth: number) => string;
  readonly uuid: () => string;
  readonly mutated: (bytes: Buffer) => Buffer;
  readonly keys: readonly [string, ...string[]];
}

export interface V1Sent {
  readonly method: 'POST';
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

type Encode = (bytes: Buffer) => Buffer;
const QUICK = { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } };
const CODECS: readonly [readonly [string, Encode], ...(readonly [string, Encode])[]] = [
  ['gzip', (bytes) => gzipSync(bytes)],
  ['deflate', (bytes) => deflateSync(bytes)],
  ['deflate', (bytes) => deflateRawSync(bytes)],
  ['br', (bytes) => brotliCompressSync(bytes, QUICK)],
  ['zstd', (bytes) => zstdOfRawBlocks(bytes)],
  ['lz4', (bytes) => bytes],
];
const TIMES = [
  '2026-11-25T00:00:00Z',
  '2026-11-25T00:00:00.123456789012345+23:59',
  '9999-12-31T23:59:59Z',
  'no',
] as const;
const IDS = ['d', 'guest', ' d ', '\u00a0é\n', '', '$posthog_cookieless', 'x'.repeat(201), '\u0000'] as const;

export function nextV1Request({ random, json, uuid, mutated, keys }: V1Parts, name: string): V1Sent {
  const pick = <T>(items: readonly [T, ...T[]]): T => items[random.below(items.length)] ?? items[0];
  const field = (key: string, usual: string): string =>
    random.chance(0.01) ? '' : `,"${key}":${random.chance(0.01) ? json(2) : usual}`;

  const event = (): string => {
    let text = field('event', JSON.stringify(random.chance(0.05) ? pick(['$performance_event', '']) : name));
    text += field('uuid', JSON.stringify(uuid())) + field('distinct_id', JSON.stringify(pick(IDS)));
    text += field('timestamp', JSON.stringify(pick(TIMES)));
    if (random.chance(0.8)) text += `,"properties":${random.chance(0.05) ? json(1) : `{"p":${json(4)}}`}`;
    if (random.chance(0.3)) text += field('session_id', JSON.stringify(uuid()));
    if (random.chance(0.3)) text += field('window_id', 'null');
    if (random.chance(0.5)) {
      const option = pick(['cookieless_mode', 'disable_skew_correction', 'process_person_profile', 'product_tour_id']);
      text += `,"options":{"${option}":${random.chance(0.5) ? 'true' : json(1)}}`;
    }
    return `{${text.slice(1)}}`;
  };

  const count = random.chance(0.05) ? 200 : random.below(6);
  const batch = Array.from({ length: count }, event).join(',');
  let body = Buffer.from(`{${field('created_at', '"2026-11-25T00:00:00Z"').slice(1)},"batch":[${batch}]}`);
  if (random.chance(0.1)) body = Buffer.from(mutated(body));
  const headers: Record<string, string> = {
    Authorization: `Bearer ${pick(keys)}`,
    'Content-Type': 'application/json',
    'User-Agent': 'fuzz',
    'PostHog-Sdk-Info': pick(['fuzz/1', 'fuzz', '/"\\/']),
    'PostHog-Attempt': '1',
    'PostHog-Request-Id': uuid(),
    'PostHog-Request-Timestamp': pick(['2026-11-25T00:00:00Z', '2026-11-25T00:00:00Z', '0000-01-01T00:00:00Z']),
  };
  if (random.chance(0.5)) {
    const [encoding, encode] = pick(CODECS);
    headers['Content-Encoding'] = encoding;
    body = Buffer.from(encode(body));
    if (random.chance(0.15)) body = Buffer.from(mutated(body));
  }
  if (random.chance(0.1)) {
    const header = pick(['Authorization', 'Content-Type', 'PostHog-Attempt', 'PostHog-Request-Id', 'PostHog-Sdk-Info']);
    if (random.chance(0.5)) delete headers[header];
    else headers[header] = pick(['', 'x', '0', 'Bearer phx_no', '\u00e9', 'Bearer']);
  }
  return {
    method: 'POST',
    path: pick(['/i/v1/analytics/events', '/i/v1/analytics/events/', '/i/v1/ai/events']),
    headers,
    body,
  };
}

const REFUSALS = new Set([400, 401, 403, 413, 415]);
const RESULTS = new Set(['{"result":"ok"}', '{"result":"ok","details":"person_processing_disabled"}']);

/** @returns what is wrong with the answer, undefined when nothing is */
export function v1ProblemOf(status: number, body: object): string | undefined {
  const keys = Object.keys(body).join();
  if (REFUSALS.has(status)) return keys === 'error,error_description,error_uri' ? undefined : `keys ${keys}`;
  // V1 has no 429: so many wrong personal keys come from this address, on purpose.
  if (status === 503 && JSON.stringify(body).includes('came from this address')) return undefined;
  if (status !== 200) return `status ${status}`;
  if (keys !== 'results' || !('results' in body)) return `keys ${keys}`;
  const odd = Object.values(body.results as object).find((result) => {
    const text = JSON.stringify(result);
    return !RESULTS.has(text) && !/^\{"result":"drop","details":"[a-z_]+"\}$/.test(text);
  });
  return odd === undefined ? undefined : `result ${JSON.stringify(odd)}`;
}
