import { describe, expect, it } from 'vitest';
import { asProjectId } from '../../src/event/ids.ts';
import { parseUuid } from '../../src/event/uuid.ts';
import type { LogOffset, ReadRecords } from '../../src/log/log.ts';
import { findPendingRequest } from '../../src/loader/pending-lookup.ts';
import { PendingTally, type PendingCount } from '../../src/loader/pending-tally.ts';
import { MemoryLog, nextUuid, recordOf } from './record-fixtures.ts';

/** Counts what is read, and lets go of records like a log whose consumer has committed them. */
class WatchedLog extends MemoryLog {
  readBytes = 0;
  goneUpTo = 0;

  override async read(from: LogOffset, maxBytes: number): Promise<ReadRecords | undefined> {
    if (from.sequence < this.goneUpTo) throw new RangeError('committed, and let go of');
    const read = await super.read(from, Math.min(maxBytes, 4096));
    this.readBytes += read?.bytes.length ?? 0;
    return read;
  }

  override committed(stream: LogOffset['stream']): Promise<LogOffset> {
    return Promise.resolve({ stream, sequence: this.goneUpTo });
  }
}

function requestsOf(log: MemoryLog, count: number): void {
  for (let i = 0; i < count; i++) {
    const counts = { received: 3, dropped: 1 };
    log.append(recordOf({ receivedAtMs: 60_000, counts }), recordOf({ receivedAtMs: 60_000 }));
  }
}

function numbersOf(found: PendingCount): unknown {
  if (found.kind !== 'tally') return found.kind;
  return [...found.tally.cells()].map(({ projectId, minuteSeconds, cell }) => [
    projectId,
    minuteSeconds,
    cell.received,
    cell.accepted,
    cell.rejectedEvents,
  ]);
}

describe('the count of what is pending', () => {
  it('begins anywhere, also in the midst of a request, and reads each record about once', async () => {
    const log = new WatchedLog();
    const tally = new PendingTally(log);
    requestsOf(log, 100);
    const since = async (sequence: number): Promise<unknown> =>
      numbersOf(await tally.since(new Map([[log.stream, sequence]])));
    expect(await since(0)).toEqual([[1, 60, 300, 200, 100]]);
    const onceBytes = log.readBytes;
    expect(await since(0)).toEqual([[1, 60, 300, 200, 100]]);
    expect(log.readBytes).toBe(onceBytes);
    // The first record of the request has been counted elsewhere, and with it what was received.
    expect(await since(151)).toEqual([[1, 60, 72, 49, 24]]);
    expect(log.readBytes).toBeLessThan(onceBytes * 1.2);
    requestsOf(log, 10);
    expect(await since(152)).toEqual([[1, 60, 102, 68, 34]]);
    expect(await since(220)).toEqual([]);
    expect(log.readBytes).toBeLessThan(onceBytes * 1.5);
  });

  it('reads a backlog in turns, and says so until it has all of it', async () => {
    const log = new WatchedLog();
    const tally = new PendingTally(log, 8192);
    requestsOf(log, 100);
    const answers: unknown[] = [];
    for (let i = 0; i < 20 && answers.at(-1) !== 'done'; i++) {
      const found = await tally.since(new Map([[log.stream, 0]]));
      answers.push(found.kind === 'behind' ? 'behind' : 'done');
      if (found.kind === 'tally') expect(numbersOf(found)).toEqual([[1, 60, 300, 200, 100]]);
    }
    expect(answers.length).toBeGreaterThan(2);
    expect(answers.at(-1)).toBe('done');
  });

  it('says when the log has let go of what was asked for', async () => {
    const log = new WatchedLog();
    const tally = new PendingTally(log);
    requestsOf(log, 10);
    log.goneUpTo = 4;
    expect(await tally.since(new Map([[log.stream, 2]]))).toEqual({ kind: 'passed' });
    expect(numbersOf(await tally.since(new Map([[log.stream, 4]])))).toEqual([[1, 60, 24, 16, 8]]);
  });
});

describe('the search for a request', () => {
  it('finds its records in its project alone, and goes on where the log has let go of some meanwhile', async () => {
    const log = new WatchedLog();
    const requestId = nextUuid();
    requestsOf(log, 40);
    log.append(
      recordOf({ projectId: 2, requestId }),
      recordOf({ requestId, index: 1 }),
      recordOf({ kind: 'rejection', requestId, index: 2, first: 'invalid_event' }),
      recordOf({ kind: 'tally', requestId }),
    );
    const search = {
      projectId: asProjectId(1),
      requestId: parseUuid(requestId) ?? new Uint8Array(),
      maxBytes: 1 << 20,
    };
    const committed = log.committed.bind(log);
    let asked = 0;
    log.committed = async (stream) => {
      asked += 1;
      const at = await committed(stream);
      log.goneUpTo = 20; // right behind the answer
      return at;
    };
    const found = await findPendingRequest(log, { ...search, maxRecords: 10 });
    expect(asked).toBe(2);
    expect(found).toMatchObject([
      { kind: 'event', sequence: 81, index: 1, code: undefined },
      { kind: 'rejection', sequence: 82, index: 2, code: 'invalid_event', uuid: undefined },
    ]);
    expect(await findPendingRequest(log, { ...search, maxRecords: 1 })).toHaveLength(1);
  });
});
