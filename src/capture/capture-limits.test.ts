/** What protocol v0 asks of the limits, and what becomes of a request that they refuse. */
import { describe, expect, it } from 'vitest';
import type { LimitRefusal } from '../admission/rate-gate.ts';
import { asEpochMs } from '../event/ids.ts';
import { type AppendReceipt, type AppendRefusal, asStreamId, type LogWriter, type RecordBatch } from '../log/log.ts';
import { parseQuery } from '../wire/v0/query-parameters.ts';
import { partsAround, testProject } from './capture-for-test.ts';
import { Capture, type CaptureRequest } from './capture.ts';

class AnsweringLog implements LogWriter {
  readonly stream = asStreamId('test');
  appended = 0;
  refusal: AppendRefusal['code'] | undefined;

  async append({ count }: RecordBatch): Promise<AppendReceipt | AppendRefusal> {
    this.appended += count;
    return this.refusal === undefined
      ? { kind: 'receipt', stream: this.stream, firstSequence: 0, count }
      : { kind: 'refused', code: this.refusal };
  }

  readiness(): { readonly kind: 'ready' } {
    return { kind: 'ready' };
  }

  async close(): Promise<void> {
    // nothing is open
  }
}

function open() {
  const parts = partsAround(new AnsweringLog());
  const limits = { maxEventBytes: 1_000, maxAiEventBytes: 2_000, maxInflatedBytes: 20_000 };
  return { ...parts, capture: new Capture({ ...parts, limits }) };
}

const good = { event: 'e', distinct_id: 'd' };
const bad = { event: '', distinct_id: 'd' };
const performance = { event: '$performance_event', distinct_id: 'd' };

function requestOf(batch: readonly object[], query = ''): CaptureRequest {
  const parameters = parseQuery(query);
  if (parameters.kind === 'fault') throw new Error(parameters.detail);
  return {
    method: 'POST',
    path: '/batch',
    parameters,
    contentType: 'application/json',
    contentEncoding: undefined,
    authorization: undefined,
    personalApiKeyHeader: undefined,
    userAgent: 'curl/8.5.0',
    body: Buffer.from(JSON.stringify({ api_key: 'phc_public', batch })),
    receivedAtMs: asEpochMs(1e12),
    requestId: new Uint8Array(16),
    ip: '',
  };
}

const refusal: LimitRefusal = {
  code: 'rate_limited',
  retryAfterSeconds: 7,
  fields: { events: 2, eventsPerSecond: 1, burst: 1 },
};

describe('capture and the limits', () => {
  it('takes room once a request, for every event but $performance_events', async () => {
    const { gate, capture } = open();
    await capture.handle(requestOf([good, performance, bad, good]));
    expect(gate.asked).toEqual([[7, 3]]);
    await capture.handle(requestOf([performance]));
    await capture.handle({ ...requestOf([good]), body: Buffer.from('{"api_key":"phc_other","event":"e"}') });
    expect(gate.asked).toHaveLength(1);
  });

  it('appends nothing for a project that has its share of what waits, and gives back what its limits took', async () => {
    const { log, gate, metrics, capture, shares } = open();
    shares.take(testProject, 1 << 19);
    expect(await capture.handle(requestOf([good, bad]))).toMatchObject({ code: 'over_fair_share' });
    expect({ appended: log.appended, taken: gate.taken }).toEqual({ appended: 0, taken: 0 });
    expect([...metrics.eventsRejected.entries()]).toEqual([{ labels: ['over_fair_share'], value: 2 }]);
    shares.giveBack(testProject, 1 << 19);
    expect(await capture.handle(requestOf([good]))).toMatchObject({ kind: 'stored' });
    expect(shares.totalBytes).toBe(0); // durable: it waits no more
  });

  it('appends nothing of a refused request and counts its events as received and rejected', async () => {
    const { log, gate, metrics, capture } = open();
    gate.refusal = refusal;
    expect(await capture.handle(requestOf([good, performance, bad]))).toMatchObject({
      code: 'rate_limited',
      retryAfterSeconds: 7,
    });
    expect(log.appended).toBe(0);
    expect(metrics.eventsReceived.value).toBe(3);
    const rejected = [...metrics.eventsRejected.entries()].map(({ labels, value }) => `${labels[0]} ${value}`);
    expect(rejected).toEqual(['performance_event 1', 'rate_limited 2']);
  });

  it.each<[query: string, changes: Partial<CaptureRequest>, status: 503 | undefined]>([
    ['', {}, undefined],
    ['beacon=1', {}, 503],
    ['compression=base64', {}, 503],
    ['', { userAgent: 'Mozilla/5.0' }, 503],
    ['', { contentType: 'text/plain' }, 503],
  ])('answers 503 instead to a client that throws events away on 429: %s %o', async (query, changes, status) => {
    const { gate, capture } = open();
    gate.refusal = refusal;
    const answer = await capture.handle({ ...requestOf([good], query), ...changes });
    expect(answer).toMatchObject({ kind: 'fault', code: 'rate_limited' });
    expect('status' in answer ? answer.status : undefined).toBe(status);
  });

  it.each(['overloaded', 'disk_full'] as const)('gives the room back when the log refuses with %s', async (code) => {
    const { log, gate, capture } = open();
    log.refusal = code;
    expect(await capture.handle(requestOf([good, bad, good]))).toMatchObject({ code });
    expect(gate).toMatchObject({ asked: [[7, 3]], taken: 0 });
    log.refusal = undefined;
    await capture.handle(requestOf([good, bad]));
    expect(gate.taken).toBe(2);
  });
});
