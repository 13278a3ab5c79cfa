import { expect, it } from 'vitest';
import { simulate } from '../../../test/harness/log-simulation.ts';

const seeds = Array.from({ length: Number(process.env['HEDGEROW_SIM_SEEDS'] ?? 60) }, (_, i) => i + 1);
const firstSeed = Number(process.env['HEDGEROW_SIM_FIRST'] ?? 0);

it('keeps what it acknowledged and nothing that it refused, wherever the machine ends (seeded)', async () => {
  let acknowledged = 0;
  let refused = 0;
  for (const seed of seeds) {
    const seen = await simulate(firstSeed + seed).catch((error: unknown) => {
      throw new Error(`HEDGEROW_SIM_FIRST=${firstSeed + seed - 1} HEDGEROW_SIM_SEEDS=1 replays this`, { cause: error });
    });
    acknowledged += seen.acknowledged;
    refused += seen.refused;
  }
  // Else the simulation proves nothing.
  expect(acknowledged).toBeGreaterThan(seeds.length);
  expect(refused).toBeGreaterThan(0);
}, 600_000);
