import { describe, expect, it } from 'vitest';
import { BatchSender, parseRetryAfterMs, type RejectedEvent } from './batch-sender.ts';
import type { OutgoingEvent } from './outgoing-event.ts';

const address = { url: 'http://127.0.0.1:1', personalKey: 'phx_secret' };

function eventAt(index: number): OutgoingEvent {
  return { kind: 'event', json: `{"uuid":"u${index}"}`, origin: `line ${index + 1}` };
}

interface Seen {
  readonly bodies: { readonly batch: readonly unknown[] }[];
  readonly waitsMs: number[];
  readonly rejected: RejectedEvent[];
}

function senderAgainst(answers: readonly (Response | Error)[]): { readonly sender: BatchSender; readonly seen: Seen } {
  const seen: Seen = { bodies: [], waitsMs: [], rejected: [] };
  const left = [...answers];
  const sender = new BatchSender(address, 'phc_key', {
    fetch: (_url, init) => {
      seen.bodies.push(JSON.parse(typeof init?.body === 'string' ? init.body : '{}'));
      const next = left.shift() ?? new Response('{"status":"Ok"}');
      return next instanceof Error ? Promise.reject(next) : Promise.resolve(next);
    },
    sleep: (ms) => {
      seen.waitsMs.push(ms);
      return Promise.resolve();
    },
    onProgress: () => undefined,
    onRejected: (rejected) => seen.rejected.push(rejected),
    onRetry: () => undefined,
  });
  return { sender, seen };
}

function busy(status: number, retryAfter: string): Response {
  return new Response('{"code":"overloaded","detail":"busy"}', { status, headers: { 'Retry-After': retryAfter } });
}

describe('the batch sender', () => {
  it('sends batches of 100 events and the rest at the end', async () => {
    const { sender, seen } = senderAgainst([]);
    for (let i = 0; i < 201; i++) await sender.add(eventAt(i));
    await sender.flush();
    expect(seen.bodies.map((body) => body.batch.length)).toEqual([100, 100, 1]);
    expect(sender.totals()).toEqual({ sent: 201, accepted: 201, rejected: 0, requests: 3, retries: 0 });
  });

  it('sends the same batch again after 429 and 503, each time after Retry-After', async () => {
    const { sender, seen } = senderAgainst([busy(429, '2'), busy(503, '1')]);
    await sender.add(eventAt(0));
    await sender.flush();
    expect(seen.waitsMs).toEqual([2000, 1000]);
    expect(seen.bodies).toEqual([seen.bodies[0], seen.bodies[0], seen.bodies[0]]);
    expect(sender.totals()).toMatchObject({ accepted: 1, requests: 3, retries: 2 });
  });

  it('doubles its wait where the answer names none, and gives up in the end', async () => {
    const { sender, seen } = senderAgainst(Array.from({ length: 20 }, () => new Response('', { status: 500 })));
    await sender.add(eventAt(0));
    await expect(sender.flush()).rejects.toThrow('Gave up after 8 attempts');
    expect(seen.waitsMs.slice(0, 3)).toEqual([500, 1000, 2000]);
  });

  it('names rejected events by where they came from', async () => {
    const body = { status: 'Ok', rejected: [{ index: 1, code: 'missing_distinct_id', detail: 'who?' }] };
    const { sender, seen } = senderAgainst([Response.json(body)]);
    for (let i = 0; i < 3; i++) await sender.add(eventAt(i));
    await sender.flush();
    expect(seen.rejected).toEqual([{ origin: 'line 2', code: 'missing_distinct_id', detail: 'who?' }]);
    expect(sender.totals()).toMatchObject({ sent: 3, accepted: 2, rejected: 1 });
  });

  it('counts a refused batch as rejected and goes on with the next one', async () => {
    const { sender, seen } = senderAgainst([Response.json({ code: 'invalid_uuid', detail: 'no' }, { status: 400 })]);
    for (let i = 0; i < 101; i++) await sender.add(eventAt(i));
    await sender.flush();
    expect(seen.rejected).toEqual([{ origin: 'line 1 to line 100', code: 'invalid_uuid', detail: 'no' }]);
    expect(sender.totals()).toMatchObject({ sent: 101, accepted: 1, rejected: 100 });
  });

  it('stops at a refused key with the server’s own words', async () => {
    const { sender } = senderAgainst([
      Response.json({ code: 'unknown_api_key', detail: 'unknown key' }, { status: 401 }),
    ]);
    await sender.add(eventAt(0));
    await expect(sender.flush()).rejects.toThrow('unknown key');
  });

  it('says at once that nobody listens, but retries a connection that breaks later', async () => {
    const refused = new TypeError('fetch failed', { cause: Object.assign(new Error('no'), { code: 'ECONNREFUSED' }) });
    const first = senderAgainst([refused]);
    await first.sender.add(eventAt(0));
    await expect(first.sender.flush()).rejects.toThrow('cannot be reached (ECONNREFUSED)');
    const later = senderAgainst([new Response('{"status":"Ok"}'), refused]);
    for (let i = 0; i < 101; i++) await later.sender.add(eventAt(i));
    await later.sender.flush();
    expect(later.sender.totals()).toMatchObject({ accepted: 101, retries: 1 });
  });

  it('does not repeat a request that cannot be tried at all', async () => {
    const { sender, seen } = senderAgainst([new TypeError('fetch failed', { cause: new Error('bad port') })]);
    await sender.add(eventAt(0));
    await expect(sender.flush()).rejects.toThrow('No request can be sent to http://127.0.0.1:1 (bad port)');
    expect(seen.waitsMs).toEqual([]);
  });

  it.each([
    ['3', 3000],
    ['0', 0],
    [null, undefined],
    ['Wed, 25 Nov 2026 12:00:00 GMT', undefined],
  ])('reads Retry-After %s', (text, expected) => {
    expect(parseRetryAfterMs(text)).toBe(expected);
  });
});
