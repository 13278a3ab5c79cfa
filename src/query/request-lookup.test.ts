import { describe, expect, it } from 'vitest';
import { asEpochMs } from '../event/ids.ts';
import type { PendingRequestRecord } from '../loader/pending-lookup.ts';
import { bodyOf, codeOf, readApiForTest } from './read-api-for-test.ts';
import { rowsAnswer } from './recording-store-for-test.ts';
import { MAX_REQUEST_EVENTS } from './request-lookup.ts';

const requestId = '018f3b7e-5d5c-7c2a-9e1b-0123456789ab';
const path = `/api/projects/1/requests/${requestId}/`;
const uuid = '018f3b7e-5d5c-7c2a-9e1b-000000000001';

const storedRow = (index: number, sequence: number, micros = 2_000): unknown[] => [
  'stored',
  uuid,
  index,
  '',
  micros,
  's',
  sequence,
];

function pendingRecord(fields: Partial<PendingRequestRecord>): PendingRequestRecord {
  return {
    kind: 'event',
    stream: 's',
    sequence: 0,
    uuid,
    index: 0,
    receivedAtMs: asEpochMs(2),
    code: undefined,
    ...fields,
  };
}

describe('what became of a request', () => {
  it('shows stored, duplicate, pending and rejected events by their place in it', async () => {
    const { get, store } = readApiForTest({
      pendingRecords: [
        pendingRecord({ sequence: 11, index: 3 }),
        pendingRecord({ kind: 'rejection', sequence: 12, index: 4, uuid: undefined, code: 'invalid_event' }),
      ],
    });
    store.answerWith(() =>
      rowsAnswer([
        ['duplicate', uuid, 2, '', 2_000, 's', 9],
        ['rejected', '', 1, 'invalid_uuid', 2_000, 's', 10],
        storedRow(0, 8),
      ]),
    );
    expect(JSON.parse(bodyOf(await get(path)))).toEqual({
      request_id: requestId,
      received_at: '1970-01-01T00:00:00.002Z',
      events: [
        { index: 0, uuid, status: 'stored' },
        { index: 1, uuid: null, status: 'rejected', code: 'invalid_uuid' },
        { index: 2, uuid, status: 'duplicate' },
        { index: 3, uuid, status: 'pending' },
        { index: 4, uuid: null, status: 'rejected', code: 'invalid_event' },
      ],
    });
    expect(store.asked[0]?.parameters).toMatchObject({ project_id: 1, request_id: requestId });
  });

  it('shows an event once that the loader moves between the two questions, as stored', async () => {
    const { get, store } = readApiForTest({ pendingRecords: [pendingRecord({ sequence: 8 })] });
    store.answerWith(() => rowsAnswer([storedRow(0, 8)]));
    expect(JSON.parse(bodyOf(await get(path)))).toMatchObject({ events: [{ index: 0, status: 'stored' }] });
  });

  it('shows requests that share an id one after the other, as they arrived', async () => {
    const { get, store } = readApiForTest({
      pendingRecords: [pendingRecord({ sequence: 20, receivedAtMs: asEpochMs(9) })],
    });
    store.answerWith(() => rowsAnswer([storedRow(0, 8), storedRow(1, 9), ['duplicate', uuid, 1, '', 5_000, 's', 12]]));
    const body = JSON.parse(bodyOf(await get(path))) as { events: { index: number; status: string }[] };
    expect(body.events.map(({ index, status }) => [index, status])).toEqual([
      [0, 'stored'],
      [1, 'stored'],
      [1, 'duplicate'],
      [0, 'pending'],
    ]);
  });

  it('is cut at a number of events, and says so', async () => {
    const { get, store } = readApiForTest();
    const rowsUpTo = (count: number) => () => rowsAnswer(Array.from({ length: count }, (_, i) => storedRow(i, i)));
    store.answerWith(rowsUpTo(MAX_REQUEST_EVENTS));
    expect(JSON.parse(bodyOf(await get(path)))).not.toHaveProperty('hasMore');
    store.answerWith(rowsUpTo(MAX_REQUEST_EVENTS + 1));
    const body = JSON.parse(bodyOf(await get(path))) as { hasMore: boolean; events: unknown[] };
    expect([body.hasMore, body.events.length]).toEqual([true, MAX_REQUEST_EVENTS]);
  });

  it('is unknown where nothing bears its id, and refused where the id is none', async () => {
    const { get, store } = readApiForTest();
    expect(codeOf(await get(path))).toBe('unknown_request');
    store.answerWith(() => ({ kind: 'fault', reason: 'unavailable', message: '' }));
    expect(codeOf(await get(path))).toBe('store_unavailable');
    expect(codeOf(await get('/api/projects/1/requests/1/'))).toBe('invalid_parameter');
  });
});
