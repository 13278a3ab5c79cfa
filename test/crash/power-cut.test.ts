import { expect, it } from 'vitest';
import { simulate } from '../harness/log-simulation.ts';

// The long form of src/log/segments/segment-log.sim.test.ts: other seeds, more of them. One life in some 5,000 shows the gap that
// docs/decisions/0003 names: a refused record comes back when its write, the watermark's sync and the power fail one after
// the other. The short form of every test run is therefore small; `HEDGEROW_POWER_CUTS=1000 npm run crash` is the long one.
const FIRST_SEED = 100_000;
const seedCount = Number(process.env['HEDGEROW_POWER_CUTS'] ?? 100);

it(`the log survives ${seedCount} seeded lives on a disk that loses, tears and refuses`, async () => {
  let acknowledged = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + seedCount; seed++) {
    const seen = await simulate(seed).catch((error: unknown) => {
      throw new Error(`seed ${seed}`, { cause: error });
    });
    acknowledged += seen.acknowledged;
  }
  expect(acknowledged).toBeGreaterThan(seedCount);
});
