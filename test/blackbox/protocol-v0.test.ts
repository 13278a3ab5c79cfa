/** Every rule of the v0 protocol against the real command: test/vectors/protocol-v0.ts, one row a rule. */
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ask,
  bearer,
  post,
  sql,
  startHedgerow,
  stopAndRemove,
  untilCounted,
  type Hedgerow,
} from '../harness/hedgerow.ts';
import { eventText, type ProtocolRow, type StoredEvent } from '../vectors/protocol-row.ts';
import { protocolRows } from '../vectors/protocol-v0.ts';

const AT_ONCE = 8;

interface Got {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

let server: Hedgerow;
const agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
const answers: Got[] = [];
/** By request id: the texts of the events that it stored, as the events API has them, ordered by distinct_id. */
const stored = new Map<string, string[]>();

/** Names the row's request, so that what it stored can be found. */
function requestIdOf(index: number): string {
  return `0190b3f2-0000-7000-8000-${index.toString(16).padStart(12, '0')}`;
}

function send({ request }: ProtocolRow, index: number): Promise<Got> {
  const { method = 'POST', path = '/e/', query, headers = {}, body } = request;
  const bytes = body === undefined ? undefined : Buffer.from(body);
  return new Promise((resolve, reject) => {
    const sent = httpRequest(
      {
        host: '127.0.0.1',
        port: server.port,
        agent,
        method,
        path: query === undefined ? path : `${path}?${query}`,
        headers: {
          ...headers,
          'X-Request-Id': requestIdOf(index),
          ...(bytes === undefined ? {} : { 'Content-Length': bytes.length }),
        },
      },
      (answer) => {
        let text = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, text }));
      },
    );
    sent.on('error', reject);
    sent.end(bytes);
  });
}

async function forAll<T>(items: readonly T[], work: (item: T, index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < items.length; i = next++) await work(items[i] as T, i);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

const wantedCount = protocolRows.reduce((sum, { expects }) => sum + (expects.stored?.length ?? 0), 0);

/** Request id and uuid of every stored event, ordered by distinct_id; once as many are there as the rows ask for, or never will be. */
async function storedIds(): Promise<unknown[][]> {
  const isAsked = new Set(
    protocolRows.flatMap(({ expects }, i) => (expects.stored === undefined ? [] : [requestIdOf(i)])),
  );
  const deadlineMs = performance.now() + 20_000;
  for (;;) {
    const all = await sql(
      server,
      "select toString(request_id), toString(uuid) from events where event != 'behind the rows' order by distinct_id",
    );
    const asked = all.filter(([requestId]) => isAsked.has(String(requestId)));
    if (asked.length >= wantedCount || performance.now() > deadlineMs) return asked;
  }
}

beforeAll(async () => {
  server = await startHedgerow();
  await forAll(protocolRows, async (row, index) => {
    answers[index] = await send(row, index);
  });
  await post(`${server.url}/e/`, eventText('', 'behind the rows'));
  await untilCounted(server, "event = 'behind the rows'", 1);
  const asked = await storedIds();
  const texts: string[] = [];
  await forAll(asked, async ([, uuid], index) => {
    texts[index] = (await ask(`${server.url}/api/projects/@current/events/${String(uuid)}/`, { headers: bearer })).text;
  });
  asked.forEach(([requestId], index) => {
    const id = String(requestId);
    stored.set(id, [...(stored.get(id) ?? []), texts[index] ?? '']);
  });
}, 300_000);

afterAll(async () => {
  agent.destroy();
  await stopAndRemove(server);
});

interface Envelope {
  readonly type?: unknown;
  readonly code?: unknown;
  readonly detail?: string;
  readonly attr?: unknown;
  readonly rejected?: readonly { readonly index: number; readonly code: string }[];
}

interface ApiEvent {
  readonly uuid: string;
  readonly event: string;
  readonly distinct_id: string;
  readonly timestamp: string;
  readonly received_at: string;
  readonly sent_at: string | null;
  readonly ip: string;
  readonly authenticated: boolean;
  readonly person: unknown;
  readonly status: string;
}

/** The `properties` as they stand in the answer. */
function propertiesIn(text: string): string {
  return text.slice(text.indexOf('"properties":') + 13, text.lastIndexOf(',"person":'));
}

function isMadeFor(uuid: string, timestamp: string): boolean {
  const timeMs = Number.parseInt(uuid.slice(0, 8) + uuid.slice(9, 13), 16);
  return uuid.charAt(14) === '7' && timeMs === Math.max(0, Date.parse(timestamp));
}

/** What `text` says of each thing that `wanted` asks for. */
function seen(text: string, wanted: StoredEvent): StoredEvent {
  const event = JSON.parse(text) as ApiEvent;
  const all: Record<keyof StoredEvent, unknown> = {
    event: event.event,
    distinctId: event.distinct_id,
    uuid: event.uuid,
    hasMadeUuid: isMadeFor(event.uuid, event.timestamp),
    properties: propertiesIn(text),
    timestamp: event.timestamp,
    afterReceiptMs: Date.parse(event.timestamp) - Date.parse(event.received_at),
    sentAt: event.sent_at,
    ip: event.ip,
    isAuthenticated: event.authenticated,
    isCookieless: event.person === null,
  };
  return Object.fromEntries(Object.keys(wanted).map((key) => [key, all[key as keyof StoredEvent]]));
}

const sections = [...new Set(protocolRows.map((row) => row.section))];

describe.each(sections)('protocol.md %s', (section) => {
  const rows = protocolRows.flatMap((row, index) => (row.section === section ? [{ ...row, index }] : []));
  it.each(rows.map((row) => [row.name, row] as const))('%s', (_name, { index, request, expects }) => {
    const got = answers[index];
    if (got === undefined) throw new Error('not sent');
    expect({ status: got.status, ...(got.status === expects.status ? {} : { text: got.text }) }).toEqual({
      status: expects.status,
    });
    if (expects.body !== undefined) expect(got.text).toBe(expects.body);
    expect(got.headers['x-request-id']).toBe(requestIdOf(index));
    for (const [name, value] of Object.entries(expects.headers ?? {})) {
      expect([name, got.headers[name] ?? null]).toEqual([name, value]);
    }
    if (expects.code !== undefined && request.method !== 'HEAD') {
      const envelope = JSON.parse(got.text) as Envelope;
      expect(Object.keys(envelope)).toEqual(['type', 'code', 'detail', 'attr']);
      expect(envelope.code).toBe(expects.code);
      if (expects.detail !== undefined) expect(envelope.detail?.slice(0, expects.detail.length)).toBe(expects.detail);
      if (expects.attr !== undefined) expect(envelope.attr).toBe(expects.attr);
    }
    if (expects.rejected !== undefined) {
      const { rejected = [] } = JSON.parse(got.text) as Envelope;
      expect(rejected.map((each) => `${each.index}: ${each.code}`)).toEqual(expects.rejected);
    }
    if (expects.stored !== undefined) {
      const texts = stored.get(requestIdOf(index)) ?? [];
      expect(texts).toHaveLength(expects.stored.length);
      expect(expects.stored.map((wanted, i) => seen(texts[i] ?? '{}', wanted))).toEqual(expects.stored);
    }
  });
});

it('has no two rows of one name in a section', () => {
  const names = protocolRows.map((row) => `${row.section}: ${row.name}`);
  expect(names.filter((name, i) => names.indexOf(name) !== i)).toEqual([]);
});
