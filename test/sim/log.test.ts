import { expect, it } from 'vitest';
import { simulate } from '../harness/log-simulation.ts';
import { runSeeds } from './seeds.ts';

it('the log keeps what it acknowledged and nothing that it refused, wherever the machine ends', async () => {
  const seen = await runSeeds({ name: 'log', share: 0.4, simulate: async (seed) => ({ ...(await simulate(seed)) }) });
  if (seen === undefined) return;
  // Else the simulation proves nothing.
  expect(seen.sums['acknowledged']).toBeGreaterThan(seen.seeds);
  expect(seen.sums['refused']).toBeGreaterThan(0);
});
