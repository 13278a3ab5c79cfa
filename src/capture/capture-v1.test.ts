import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { Fault } from '../errors.ts';
import { asEpochMs } from '../event/ids.ts';
import { type AppendReceipt, type AppendRefusal, asStreamId, type LogWriter, type RecordBatch } from '../log/log.ts';
import { partsAround } from './capture-for-test.ts';
import { CaptureV1, type V1Request, type V1Sender } from './capture-v1.ts';

const uuids = [1, 2, 3, 4].map((n) => `01900000-0000-7000-8000-00000000000${n}`);
const goodHeaders = {
  authorization: 'Bearer phc_public',
  'content-type': 'application/json',
  'user-agent': 'test',
  'posthog-sdk-info': 'test/1',
  'posthog-attempt': '1',
  'posthog-request-id': uuids[0],
  'posthog-request-timestamp': '2026-01-31T12:00:00Z',
};

/** A log whose answer the test gives. */
class HeldLog implements LogWriter {
  readonly stream = asStreamId('test');
  readonly appended: number[] = [];
  answer: (outcome: 'receipt' | AppendRefusal['code']) => void = () => undefined;

  append({ count }: RecordBatch): Promise<AppendReceipt | AppendRefusal> {
    this.appended.push(count);
    return new Promise((resolve) => {
      this.answer = (outcome) => {
        if (outcome === 'receipt') resolve({ kind: 'receipt', stream: this.stream, firstSequence: 0, count });
        else resolve({ kind: 'refused', code: outcome });
      };
    });
  }

  readiness(): { readonly kind: 'ready' } {
    return { kind: 'ready' };
  }

  async close(): Promise<void> {
    // nothing is open
  }
}

function open() {
  const parts = partsAround(new HeldLog());
  const limits = { maxEventBytes: 1_000, maxAiEventBytes: 2_000, maxBodyBytes: 10_000, inflatedLimitBytes: 20_000 };
  return { ...parts, capture: new CaptureV1({ ...parts, limits }) };
}

function senderOf(capture: CaptureV1, changes: object = {}): V1Sender {
  const sender = capture.admit({ ...goodHeaders, ...changes });
  if (sender.kind === 'fault') throw new Error(sender.detail);
  return sender;
}

function requestOf(sender: V1Sender, body: Buffer): V1Request {
  return { sender, body, receivedAtMs: asEpochMs(1e12), requestId: new Uint8Array(16), ip: '' };
}

function textOf(answer: Buffer | Fault): string {
  if (!Buffer.isBuffer(answer)) throw new Error(answer.detail);
  return answer.toString();
}

const eventOf = (index: number, fields: object = {}): object => ({
  event: 'e',
  uuid: uuids[index],
  distinct_id: 'd',
  timestamp: '2026-01-31T12:00:00Z',
  ...fields,
});
const bodyOf = (events: readonly object[]): Buffer =>
  Buffer.from(JSON.stringify({ created_at: '2026-01-31T12:00:00Z', batch: events }));
const MIXED = [
  eventOf(0),
  eventOf(1, { event: '' }),
  eventOf(2, { event: '$performance_event' }),
  eventOf(3, { properties: { a: 'x'.repeat(1_000) } }),
];

describe('CaptureV1', () => {
  it('refuses a project that has its share of what waits, before its body is read and behind it', async () => {
    const { log, gate, capture, shares } = open();
    const sender = senderOf(capture);
    expect(capture.readiness(sender)).toEqual({ kind: 'ready' });
    shares.take(sender.who.projectId, 1 << 19);
    expect(capture.readiness(sender)).toEqual({ kind: 'refused', code: 'over_fair_share' });
    expect(await capture.handle(requestOf(sender, bodyOf([eventOf(0)])))).toMatchObject({ code: 'over_fair_share' });
    expect({ appended: log.appended, taken: gate.taken }).toEqual({ appended: [], taken: 0 });
  });

  it('answers ok only behind the log’s receipt, which covers the kept and the rejected events', async () => {
    const { log, metrics, capture } = open();
    let isAnswered = false;
    const answer = capture.handle(requestOf(senderOf(capture), bodyOf(MIXED))).finally(() => (isAnswered = true));
    await new Promise((resolve) => setImmediate(resolve));
    expect({ isAnswered, appended: log.appended }).toEqual({ isAnswered: false, appended: [3] });
    expect(metrics.eventsAccepted.value).toBe(0);
    log.answer('receipt');
    expect(JSON.parse(textOf(await answer))).toEqual({
      results: {
        [String(uuids[0])]: { result: 'ok' },
        [String(uuids[1])]: { result: 'drop', details: 'missing_event_name' },
        [String(uuids[2])]: { result: 'drop', details: 'dropped_performance_event' },
        [String(uuids[3])]: { result: 'drop', details: 'event_too_big' },
      },
    });
    expect(metrics.eventsReceived.value).toBe(4);
    expect(metrics.eventsAccepted.value).toBe(1);
    const rejected = [...metrics.eventsRejected.entries()].map(({ labels, value }) => `${labels[0]} ${value}`);
    expect(rejected.sort()).toEqual(['dropped_performance_event 1', 'event_too_big 1', 'missing_event_name 1']);
  });

  it.each(['overloaded', 'disk_full', 'log_unavailable', 'draining'] as const)(
    'a log that refuses with %s refuses the whole request',
    async (code) => {
      const { log, metrics, capture } = open();
      const answer = capture.handle(requestOf(senderOf(capture), bodyOf(MIXED)));
      await new Promise((resolve) => setImmediate(resolve));
      log.answer(code);
      expect(await answer).toMatchObject({ kind: 'fault', code });
      expect(metrics.eventsAccepted.value).toBe(0);
    },
  );

  it('takes room for every event but $performance_events, and gives it back when the log refuses', async () => {
    const { log, gate, capture } = open();
    const answer = capture.handle(requestOf(senderOf(capture), bodyOf(MIXED)));
    await new Promise((resolve) => setImmediate(resolve));
    expect(gate.taken).toBe(3);
    log.answer('overloaded');
    await answer;
    expect(gate.taken).toBe(0);
  });

  it('asks the log for nothing when a limit refuses, and counts the events as rejected', async () => {
    const { log, gate, metrics, capture } = open();
    const fields = { events: 3, used: 9, monthlyQuota: 10 };
    gate.refusal = { code: 'quota_exceeded', retryAfterSeconds: 60, fields };
    const answer = await capture.handle(requestOf(senderOf(capture), bodyOf(MIXED)));
    expect(answer).toMatchObject({ kind: 'fault', code: 'quota_exceeded', status: 402 });
    expect(log.appended).toEqual([]);
    expect([...metrics.eventsRejected.entries()]).toMatchObject([{ labels: ['quota_exceeded'], value: 4 }]);
    expect(metrics.eventsReceived.value).toBe(4);
  });

  it('asks the log for a tally alone when there is nothing to keep, and answers once it is durable', async () => {
    const { log, capture } = open();
    const asked = capture.handle(requestOf(senderOf(capture), bodyOf([eventOf(0, { event: '$performance_event' })])));
    expect(log.appended).toEqual([1]);
    log.answer('receipt');
    expect(textOf(await asked)).toContain('dropped_performance_event');
  });

  it.each<[number, string | undefined]>([
    [19_999, 'request_parsing_error'],
    [20_000, 'payload_too_large'],
    [20_001, 'payload_too_large'],
  ])('a body of %d bytes once inflated, where 20000 are refused: %s', async (length, code) => {
    const { capture } = open();
    const sender = senderOf(capture, { 'content-encoding': 'gzip' });
    expect(await capture.handle(requestOf(sender, gzipSync(Buffer.alloc(length, 0x20))))).toMatchObject({ code });
  });

  it('refuses an unknown key before there is a body', () => {
    const { capture } = open();
    expect(capture.admit({ ...goodHeaders, authorization: 'Bearer phc_other' })).toMatchObject({
      code: 'unknown_api_key',
    });
  });
});
