/** Appends that wait for a disk that does not come back, or that has no room to spare. */
import { describe, expect, it } from 'vitest';
import { FaultyDisk } from '../../../test/harness/faulty-disk.ts';
import { SeededRandom } from '../../../test/harness/random.ts';
import { systemClock } from '../../event/clock.ts';
import { RandomIds } from '../../event/id-source.ts';
import type { RecordBatch } from '../log.ts';
import type { WriteDone } from './disk.ts';
import { SegmentLogWriter } from './segment-log-writer.ts';
import type { LogFault, SegmentLogWriterSettings } from './writer-settings.ts';

const RESERVE_BYTES = 1 << 20;
const MAX_QUEUE_AGE_MS = 60;

/** Its writes wait until they are let go. */
class StuckDisk extends FaultyDisk {
  isStuck = false;
  readonly #held: (() => void)[] = [];

  override write(fd: number, bytes: Uint8Array, position: number, done: WriteDone): void {
    const start = (): void => super.write(fd, bytes, position, done);
    if (this.isStuck) this.#held.push(start);
    else start();
  }

  letGo(): void {
    this.isStuck = false;
    for (const start of this.#held.splice(0)) start();
  }
}

function batchOf(text: string): RecordBatch {
  const bytes = Buffer.alloc(4 + text.length);
  bytes.writeUInt32LE(text.length);
  bytes.write(text, 4, 'latin1');
  return { count: 1, bytes };
}

function openWriter(disk: FaultyDisk, more: Partial<SegmentLogWriterSettings> = {}): Promise<SegmentLogWriter> {
  return SegmentLogWriter.open({
    dir: '/log',
    clock: systemClock,
    ids: new RandomIds(),
    segmentBytes: 64 * 1024,
    disk,
    reserveBytes: RESERVE_BYTES,
    maxQueueAgeMs: MAX_QUEUE_AGE_MS,
    retryMs: 5,
    ...more,
  });
}

describe('a write that does not return', () => {
  it('keeps its own appends waiting, has those behind it refused unwritten, and nobody is let in', async () => {
    const disk = new StuckDisk(new SeededRandom(1));
    const writer = await openWriter(disk);
    expect((await writer.append(batchOf('before'))).kind).toBe('receipt');
    disk.isStuck = true;
    let isSettled = false;
    const written = writer.append(batchOf('being written'));
    void written.then(() => (isSettled = true));
    await expect.poll(() => writer.oldestWaitMs()).toBeGreaterThan(0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(writer.readiness().kind).toBe('ready');
    const startedMs = performance.now();
    expect(await writer.append(batchOf('behind'))).toEqual({ kind: 'refused', code: 'overloaded' });
    expect(performance.now() - startedMs).toBeGreaterThanOrEqual(MAX_QUEUE_AGE_MS - 1);
    await expect.poll(() => writer.readiness()).toEqual({ kind: 'refused', code: 'overloaded' });
    expect(isSettled).toBe(false);

    disk.letGo();
    expect(await written).toMatchObject({ kind: 'receipt', firstSequence: 1 });
    await expect.poll(() => writer.readiness().kind).toBe('ready');
    expect(await writer.append(batchOf('after'))).toMatchObject({ kind: 'receipt', firstSequence: 2 });
    expect(writer.queuedBytes).toBe(0);
    await writer.close();
  });

  it('of less than the bound costs nobody a refusal', async () => {
    const disk = new StuckDisk(new SeededRandom(2));
    const writer = await openWriter(disk, { maxQueueAgeMs: 60_000 });
    disk.isStuck = true;
    const first = writer.append(batchOf('a'));
    await new Promise((resolve) => setTimeout(resolve, 2 * MAX_QUEUE_AGE_MS));
    const second = writer.append(batchOf('b'));
    expect(writer.readiness().kind).toBe('ready');
    disk.letGo();
    expect((await Promise.all([first, second])).map(({ kind }) => kind)).toEqual(['receipt', 'receipt']);
    await writer.close();
  });
});

describe('less room than the reserve', () => {
  it('lets nobody in, keeps what came before, says so once, and lets in again by itself', async () => {
    const disk = new FaultyDisk(new SeededRandom(3));
    const faults: LogFault[] = [];
    const writer = await openWriter(disk, { onFault: (fault) => faults.push(fault) });
    expect(writer.readiness().kind).toBe('ready');
    disk.free = RESERVE_BYTES - 1;
    await expect.poll(() => writer.readiness()).toEqual({ kind: 'refused', code: 'disk_full' });
    // Its body was read before: the segment has room for it.
    expect((await writer.append(batchOf('read before'))).kind).toBe('receipt');
    await new Promise((resolve) => setTimeout(resolve, 30));
    const reserve = faults.filter(({ during }) => during === 'reserve');
    expect(reserve.map(({ code }) => code)).toEqual(['disk_full']);
    disk.free = RESERVE_BYTES;
    await expect.poll(() => writer.readiness().kind).toBe('ready');
    await writer.close();
  });
});
