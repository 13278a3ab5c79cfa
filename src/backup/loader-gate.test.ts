import { describe, expect, it } from 'vitest';
import { asStreamId, type LogReader, type ReadRecords } from '../log/log.ts';
import { LoaderGate } from './loader-gate.ts';

const stream = asStreamId('a');
const from = { stream, sequence: 0 };
const records: ReadRecords = { stream, firstSequence: 0, nextSequence: 1, bytes: new Uint8Array(1), count: 1 };
const never = new AbortController().signal;

/** Has one batch at 0. */
function gateOver(): LoaderGate {
  const reader: LogReader = {
    streams: () => Promise.resolve([stream]),
    committed: () => Promise.resolve(from),
    durableEnd: () => Promise.resolve({ stream, sequence: 1 }),
    read: ({ sequence }) => Promise.resolve(sequence === 0 ? records : undefined),
    waitForMore: () => Promise.resolve(),
    commit: () => Promise.resolve(),
    close: () => Promise.resolve(),
  };
  return new LoaderGate(reader);
}

describe('the loader’s gate', () => {
  it('is held only when all that was read is committed, however many reads that is, and gives nothing new until it is released', async () => {
    const gate = gateOver();
    await gate.read(from, 1);
    await gate.read({ stream, sequence: 1 }, 1);
    let isHeld = false;
    const holding = gate.hold(10_000, never).then((release) => {
      isHeld = true;
      return release;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isHeld).toBe(false);
    await gate.commit({ stream, sequence: 1 });
    const release = await holding;
    expect(await gate.read(from, 1)).toBeUndefined();
    release();
    expect(await gate.read(from, 1)).toBe(records);
  });

  it('is not held by a read that found nothing', async () => {
    const gate = gateOver();
    expect(await gate.read({ stream, sequence: 1 }, 1)).toBeUndefined();
    (await gate.hold(10_000, never))();
  });

  it('gives up, and lets the loader go on, when the time is over or the signal comes', async () => {
    const gate = gateOver();
    await gate.read(from, 1);
    await expect(gate.hold(1, never)).rejects.toThrow('took nothing');
    const aborter = new AbortController();
    const holding = gate.hold(10_000, aborter.signal);
    aborter.abort(new Error('stopped'));
    await expect(holding).rejects.toThrow('stopped');
    expect(await gate.read(from, 1)).toBe(records);
  });
});
