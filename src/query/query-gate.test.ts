import { describe, expect, it } from 'vitest';
import { QueryGate } from './query-gate.ts';

const staying = new AbortController().signal;

/** A piece of work that ends when told to. */
function held(): { readonly work: () => Promise<string>; readonly isStarted: () => boolean; end(): void } {
  const { promise, resolve } = promiseWithResolve();
  let isStarted = false;
  const work = (): Promise<string> => {
    isStarted = true;
    return promise;
  };
  return { work, isStarted: () => isStarted, end: () => resolve('ended') };
}

function promiseWithResolve(): { readonly promise: Promise<string>; readonly resolve: (text: string) => void } {
  let resolve: (text: string) => void = () => undefined;
  const promise = new Promise<string>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

describe('the gate before the store', () => {
  it('starts a waiting query when a running one ends, in order of arrival', async () => {
    const gate = new QueryGate({ maxRunning: 1, maxWaiting: 2 });
    const [a, b, c] = [held(), held(), held()];
    const passes = [a, b, c].map((one) => gate.run(staying, one.work));
    expect([a.isStarted(), b.isStarted(), c.isStarted()]).toEqual([true, false, false]);
    a.end();
    await passes[0];
    expect([b.isStarted(), c.isStarted()]).toEqual([true, false]);
    b.end();
    c.end();
    const done = { kind: 'done', value: 'ended' };
    expect(await Promise.all(passes)).toEqual([done, done, done]);
  });

  it('turns a query away when as many wait as may', async () => {
    const gate = new QueryGate({ maxRunning: 1, maxWaiting: 1 });
    const running = held();
    const passes = [gate.run(staying, running.work), gate.run(staying, running.work)];
    expect(await gate.run(staying, running.work)).toEqual({ kind: 'full' });
    running.end();
    await Promise.all(passes);
  });

  it('forgets a client that left while it waited, and gives its place in the queue to another', async () => {
    const gate = new QueryGate({ maxRunning: 1, maxWaiting: 1 });
    const [running, left, next] = [held(), held(), held()];
    const client = new AbortController();
    const first = gate.run(staying, running.work);
    const gone = gate.run(client.signal, left.work);
    client.abort();
    expect(await gone).toEqual({ kind: 'cancelled' });
    const last = gate.run(staying, next.work);
    running.end();
    next.end();
    expect([(await first).kind, (await last).kind, left.isStarted()]).toEqual(['done', 'done', false]);
  });

  it('does not start for a client that is already gone', async () => {
    const one = held();
    const gate = new QueryGate({ maxRunning: 1, maxWaiting: 1 });
    expect(await gate.run(AbortSignal.abort(), one.work)).toEqual({ kind: 'cancelled' });
    expect(one.isStarted()).toBe(false);
  });

  it('frees the slot of a query that threw', async () => {
    const gate = new QueryGate({ maxRunning: 1, maxWaiting: 0 });
    await expect(gate.run(staying, () => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
    expect((await gate.run(staying, () => Promise.resolve(1))).kind).toBe('done');
  });
});
