import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/event/clock.ts';
import { RandomIds } from '../../src/event/id-source.ts';
import { SegmentLogReader } from '../../src/log/segments/segment-log-reader.ts';
import { SegmentLogWriter } from '../../src/log/segments/segment-log-writer.ts';
import { logContract, type LogUnderTest } from './log.contract.ts';

interface SegmentsForTest {
  readonly dir: string;
  readonly wake: 'poke' | 'poll';
}

async function openSegments({ dir, wake }: SegmentsForTest): Promise<LogUnderTest> {
  let reader: SegmentLogReader | undefined;
  const writer = await SegmentLogWriter.open({
    dir,
    clock: systemClock,
    ids: new RandomIds(),
    segmentBytes: 1 << 20,
    reserveBytes: 0,
    onDurable: () => {
      if (wake === 'poke') reader?.poke();
    },
  });
  reader = await SegmentLogReader.open({ dir });
  const end = async (): Promise<void> => {
    await writer.close();
    await reader.close();
  };
  return {
    writer,
    reader,
    // In one process a kill comes down to giving up the lock; test/crash kills real processes.
    killAndReopen: async () => {
      await end();
      return openSegments({ dir, wake });
    },
    dispose: async () => {
      await end();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

for (const wake of ['poke', 'poll'] as const) {
  logContract(`segments, woken by ${wake}`, async () =>
    openSegments({ dir: await mkdtemp(join(tmpdir(), 'hedgerow-log-')), wake }),
  );
}
