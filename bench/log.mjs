// The segment log alone: durable appends a second.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../dist/event/clock.js';
import { RandomIds } from '../dist/event/id-source.js';
import { SegmentLogWriter } from '../dist/log/segments/segment-log-writer.js';

export async function benchLog({ seconds }) {
  for (const [bytes, waiting] of [
    [600, 256],
    [60_000, 32],
  ]) {
    const dir = mkdtempSync(join(tmpdir(), 'hedgerow-bench-log-'));
    const writer = await SegmentLogWriter.open({ dir, clock: systemClock, ids: new RandomIds() });
    const payload = Buffer.alloc(bytes + 4, 7);
    payload.writeUInt32LE(bytes, 0);
    const startMs = performance.now();
    let appends = 0;
    let refused = 0;
    const loop = async () => {
      while (performance.now() - startMs < seconds * 1000) {
        const receipt = await writer.append({ count: 1, bytes: payload });
        if (receipt.kind === 'receipt') appends += 1;
        else refused += 1;
      }
    };
    await Promise.all(Array.from({ length: waiting }, loop));
    const took = (performance.now() - startMs) / 1000;
    process.stdout.write(
      `log, ${bytes} bytes, ${waiting} waiting: ${(appends / took).toFixed(0)} durable appends/s, ${((appends * bytes) / took / 1e6).toFixed(0)} MB/s${refused > 0 ? `, ${refused} refused` : ''}\n`,
    );
    await writer.close();
    rmSync(dir, { recursive: true, force: true });
  }
}
