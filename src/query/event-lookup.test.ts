import { describe, expect, it } from 'vitest';
import { asEpochMs } from '../event/ids.ts';
import type { PendingEvent, PendingLookup, PendingRejection } from './pending-lookup.ts';
import { bodyOf, codeOf, readApiForTest } from './read-api-for-test.ts';
import { rowsAnswer, type Script } from './recording-store-for-test.ts';

const uuid = '018f3b7e-5d5c-7c2a-9e1b-0123456789ab';
const path = `/api/projects/1/events/${uuid}/`;

const pendingEvent: PendingEvent = {
  kind: 'event',
  uuid,
  event: 'paid',
  distinctId: 'ann',
  personId: uuid,
  timestampMs: asEpochMs(1.5),
  receivedAtMs: asEpochMs(2),
  sentAtMs: undefined,
  propertiesRaw: '{"n":1.0}',
  ip: '',
  isAuthenticated: false,
  isCookieless: false,
  requestId: uuid,
  lib: '',
  libVersion: '',
};
const pendingRejection: PendingRejection = {
  kind: 'rejection',
  uuid,
  requestId: uuid,
  index: 3,
  receivedAtMs: asEpochMs(2),
  code: 'missing_distinct_id',
  detail: 'say who',
  event: 'paid',
  raw: '{"event":"paid"}',
};
const storedRow = [uuid, 'paid', 'ann', uuid, '1500', '2000', null, '{"n":1.0}', '', false, false, uuid, '', ''];
const rejectionRow = [uuid, 3, '2000', 'missing_distinct_id', 'say who', 'paid', uuid, '{"event":"paid"}'];

function lookupOf(found: PendingEvent | PendingRejection | undefined): PendingLookup & { readonly calls: unknown[] } {
  const calls: unknown[] = [];
  return {
    calls,
    find: (...call) => {
      calls.push(call);
      return Promise.resolve(found);
    },
  };
}

const rejectionsOnly: Script = ({ sql }) => rowsAnswer(sql.includes('FROM rejections') ? [rejectionRow] : []);

describe('what happened to an event', () => {
  it('a stored one is shown as stored, and nobody else is asked', async () => {
    const pending = lookupOf(pendingEvent);
    const { get, store } = readApiForTest({ pending });
    store.answerWith(() => rowsAnswer([storedRow]));
    const body = bodyOf(await get(path));
    expect(body).toContain('"properties":{"n":1.0},');
    expect(JSON.parse(body)).toMatchObject({ uuid, event: 'paid', status: 'stored', duplicates: 0 });
    expect([store.asked.length, pending.calls.length]).toEqual([1, 0]);
    expect(store.asked[0]?.parameters).toEqual({ project_id: 1, uuid });
  });

  it('a rejected one says why, and how it was sent', async () => {
    const { get, store } = readApiForTest();
    store.answerWith(rejectionsOnly);
    expect(JSON.parse(bodyOf(await get(path)))).toMatchObject({
      uuid,
      status: 'rejected',
      code: 'missing_distinct_id',
      detail: 'say who',
      index: 3,
      received_at: '1970-01-01T00:00:00.002Z',
      raw: '{"event":"paid"}',
    });
  });

  it('a pending one is shown from the log, in the same shape as when it is stored', async () => {
    const pending = lookupOf(pendingEvent);
    const { get, store } = readApiForTest({ pending });
    const waiting = bodyOf(await get(path));
    store.answerWith(() => rowsAnswer([storedRow]));
    expect(waiting).toBe(bodyOf(await get(path)).replace('"stored"', '"pending"'));
    expect(pending.calls).toEqual([[1, uuid]]);
  });

  it('a pending rejection is shown as the stored one will be', async () => {
    const { get, store } = readApiForTest({ pending: lookupOf(pendingRejection) });
    const waiting = bodyOf(await get(path));
    store.answerWith(rejectionsOnly);
    expect(waiting).toBe(bodyOf(await get(path)));
  });

  it('one that the loader moves between the two questions is found at the second look into the store', async () => {
    let isMoved = false;
    const pending: PendingLookup = {
      find: () => {
        isMoved = true;
        return Promise.resolve(undefined);
      },
    };
    const { get, store } = readApiForTest({ pending });
    store.answerWith(({ sql }) => rowsAnswer(isMoved && !sql.includes('rejections') ? [storedRow] : []));
    expect(JSON.parse(bodyOf(await get(path)))).toMatchObject({ status: 'stored' });
  });

  it('one that is nowhere is unknown', async () => {
    const { get, store } = readApiForTest();
    expect(codeOf(await get(path))).toBe('unknown_event');
    expect(store.asked).toHaveLength(4);
  });

  it('a store that is away is no reason to call an event unknown', async () => {
    const { get, store } = readApiForTest();
    store.answerWith(() => ({ kind: 'fault', reason: 'unavailable', message: 'starting' }));
    expect(codeOf(await get(path))).toBe('store_unavailable');
  });

  it('any spelling of the uuid finds it', async () => {
    const { get, store } = readApiForTest();
    await get(`/api/projects/1/events/${uuid.toUpperCase().replaceAll('-', '')}`);
    expect(store.asked[0]?.parameters['uuid']).toBe(uuid);
  });

  it('what is no uuid is refused', async () => {
    const { get, store } = readApiForTest();
    expect(codeOf(await get('/api/projects/1/events/018f3b7e/'))).toBe('invalid_parameter');
    expect(store.asked).toEqual([]);
  });
});
