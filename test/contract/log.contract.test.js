import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../src/event/clock.js';
import { RandomIds } from '../../src/event/id-source.js';
import { SegmentLogReader } from '../../src/log/segments/segment-log-reader.js';
import { SegmentLogWriter } from '../../src/log/segments/segment-log-writer.js';
import { logContract } from './log.contract.js';
async function openSegments({ dir, wake }) {
  let reader;
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
  const end = async () => {
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
for (const wake of ['poke', 'poll']) {
  logContract(`segments, woken by ${wake}`, async () =>
    openSegments({ dir: await mkdtemp(join(tmpdir(), 'hedgerow-log-')), wake }),
  );
}
