import { expect, it } from 'vitest';
import { simulate } from '../harness/log-simulation.ts';
import { replayCommand } from '../harness/promise-broken.ts';

// Other seeds than those of src/log/segments/segment-log.sim.test.ts, and more of them; `npm run sim` goes on for as long as
// it is told to. The gap that docs/decisions/0003 names is part of the model: of what was refused, that alone may come
// back whose write, the watermark's sync, the next segment and the power failed one after the other.
const FIRST_SEED = 100_000;
const seedCount = Number(process.env['HEDGEROW_POWER_CUTS'] ?? 300);

it(`the log survives ${seedCount} seeded lives on a disk that loses, tears and refuses`, async () => {
  let acknowledged = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + seedCount; seed++) {
    const seen = await simulate(seed).catch((error: unknown) => {
      throw new Error(`${replayCommand('log', seed)} replays this`, { cause: error });
    });
    acknowledged += seen.acknowledged;
  }
  expect(acknowledged).toBeGreaterThan(seedCount);
});
