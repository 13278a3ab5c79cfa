import { describe, expect, it } from 'vitest';
import { simulate } from '../harness/log-simulation.ts';
import { SeededRandom } from '../harness/random.ts';
import { VirtualTime } from '../harness/virtual-time.ts';
import { simulatePipeline } from './pipeline.ts';

const seeds = [1, 2, 3, 4, 5, 6, 7, 8];

describe('a seed', () => {
  it.each([
    ['log', simulate],
    ['pipeline', simulatePipeline],
  ] as const)('takes the same steps each time: %s', async (_name, run) => {
    const first = [];
    for (const seed of seeds) first.push(await run(seed));
    const again = [];
    for (const seed of seeds.toReversed()) again.unshift(await run(seed));
    expect(again).toEqual(first);
    expect(new Set(first.map(({ hash }) => hash)).size).toBe(seeds.length);
  });

  it('takes no time of the machine: an hour passes at once, and the order of what is due together is its own', async () => {
    const orders = new Set<string>();
    for (const seed of seeds) {
      const time = new VirtualTime(new SeededRandom(seed));
      const order: number[] = [];
      const work = Promise.all(
        [1, 2, 3, 4].map(async (each) => {
          await time.sleep(3_600_000);
          order.push(each);
        }),
      );
      await time.run(work);
      expect(time.clock.monotonicMs()).toBe(3_600_000);
      orders.add(order.join());
    }
    expect(orders.size).toBeGreaterThan(1);
  });

  it('ends what a process asked for with the process', async () => {
    const time = new VirtualTime(new SeededRandom(1));
    const process = time.spawn('a');
    const seen: string[] = [];
    process.timers.setImmediate(() => seen.push('turn'));
    process.timers.setTimeout(() => seen.push('timeout'), 5);
    process.timers.setInterval(() => seen.push('interval'), 2);
    await time.run(time.sleep(3));
    process.end();
    await time.run(time.sleep(100));
    expect(seen).toEqual(['turn', 'interval']);
  });

  it('that waits for nothing ends with an error instead of hanging', async () => {
    const time = new VirtualTime(new SeededRandom(1));
    await expect(time.run(new Promise(() => undefined))).rejects.toThrow('nothing is left to do');
  });
});
