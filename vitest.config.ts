import { defineConfig } from 'vitest/config';

const slow = { testTimeout: 120_000, hookTimeout: 120_000 };

export default defineConfig({
  test: {
    pool: 'forks',
    reporters: process.env['CI'] === 'true' ? ['dot'] : ['default'],
    projects: [
      { test: { name: 'unit', include: ['src/**/*.test.ts'], testTimeout: 20_000 } },
      { test: { name: 'meta', include: ['test/meta/**/*.test.ts'], testTimeout: 60_000 } },
      { test: { name: 'contract', include: ['test/contract/**/*.test.ts'], ...slow } },
      { test: { name: 'blackbox', include: ['test/blackbox/**/*.test.ts'], ...slow } },
      { test: { name: 'fuzz', include: ['test/fuzz/**/*.test.ts'], fileParallelism: false, testTimeout: 7_200_000 } },
      // Seeded, in virtual time: test/sim/seeds.ts has what can be set.
      { test: { name: 'sim', include: ['test/sim/**/*.test.ts'], fileParallelism: false, testTimeout: 7_200_000 } },
      { test: { name: 'sdk', include: ['test/sdk/**/*.test.ts'], fileParallelism: false, ...slow } },
      {
        test: {
          name: 'crash',
          include: ['test/crash/**/*.test.ts'],
          fileParallelism: false,
          testTimeout: 600_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
