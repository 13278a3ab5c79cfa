import { expect, it } from 'vitest';
import { simulatePipeline } from './pipeline.ts';
import { runSeeds } from './seeds.ts';

it('every event that was acknowledged is in the store once, whatever dies, fails, comes twice or comes late', async () => {
  const seen = await runSeeds({
    name: 'pipeline',
    share: 0.6,
    simulate: async (seed) => ({ ...(await simulatePipeline(seed)) }),
  });
  if (seen === undefined) return;
  // Else the simulation proves nothing.
  expect(seen.sums['acknowledged']).toBeGreaterThan(seen.seeds);
  for (const what of ['duplicates', 'rejections', 'refused', 'unknown'])
    expect(seen.sums[what], what).toBeGreaterThan(0);
});
