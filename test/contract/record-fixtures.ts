/** Records as capture would write them, without going through capture; and a log that lives in memory. */
import { setTimeout as sleep } from 'node:timers/promises';
import { countsBytes, fixedBytes, recordFlags, recordKinds, recordVersion } from '../../src/record/layout.ts';
import { parseUuid } from '../../src/event/uuid.ts';
import { asStreamId, type LogOffset, type LogReader, type ReadRecords, type StreamId } from '../../src/log/log.ts';

export interface RecordFields {
  readonly kind?: keyof typeof recordKinds;
  readonly version?: 1 | 2;
  /** Makes it the first record of its request. */
  readonly counts?: { readonly received: number; readonly dropped: number };
  readonly projectId?: number;
  readonly uuid?: string;
  readonly requestId?: string;
  readonly index?: number;
  readonly timestampMs?: number;
  readonly receivedAtMs?: number;
  readonly sentAtMs?: number;
  readonly flags?: number;
  /** Event name, or code. */
  readonly first?: string;
  /** distinct_id, or detail. */
  readonly second?: string;
  readonly ip?: string;
  readonly lib?: string;
  readonly libVersion?: string;
  /** Properties, or the event as sent. */
  readonly last?: string;
}

let counter = 0;

export function nextUuid(): string {
  counter += 1;
  return `0190a000-0000-7000-8000-${counter.toString(16).padStart(12, '0')}`;
}

/** One record with its length before it. */
export function recordOf(fields: RecordFields): Buffer {
  const {
    kind = 'event',
    version = recordVersion,
    counts,
    projectId = 1,
    uuid = nextUuid(),
    requestId = nextUuid(),
    index = 0,
    timestampMs = 1_700_000_000_000,
    receivedAtMs = 1_700_000_000_500,
    sentAtMs,
    flags = 0,
    first = 'page viewed',
    second = 'somebody',
    ip = '127.0.0.1',
    lib = 'web',
    libVersion = '1.2.3',
    last = '{"a":1}',
  } = fields;
  const isEvent = kind === 'event';
  const texts = (kind === 'tally' ? [] : [first, second, ip, isEvent ? lib : '', isEvent ? libVersion : '', last]).map(
    (text) => Buffer.from(text),
  );
  const body = Buffer.concat(texts);
  const headBytes = fixedBytes + (counts === undefined ? 0 : countsBytes);
  const out = Buffer.alloc(4 + headBytes + body.length);
  out.writeUInt32LE(headBytes + body.length, 0);
  const head = out.subarray(4);
  head[0] = recordKinds[kind];
  head[1] = version;
  const sentAtFlag = sentAtMs === undefined ? 0 : recordFlags.hasSentAt;
  head.writeUInt16LE(flags | sentAtFlag | (counts === undefined ? 0 : recordFlags.hasCounts), 2);
  head.writeUInt32LE(projectId, 4);
  head.set(parseUuid(uuid) ?? new Uint8Array(16), 8);
  head.set(parseUuid(requestId) ?? new Uint8Array(16), 24);
  head.writeUInt32LE(index, 40);
  head.writeDoubleLE(timestampMs, 44);
  head.writeDoubleLE(receivedAtMs, 52);
  head.writeDoubleLE(sentAtMs ?? 0, 60);
  head.writeUInt32LE(texts[0]?.length ?? 0, 68);
  head.writeUInt32LE(texts[1]?.length ?? 0, 72);
  head.writeUInt16LE(texts[2]?.length ?? 0, 76);
  head.writeUInt16LE(texts[3]?.length ?? 0, 78);
  head.writeUInt16LE(texts[4]?.length ?? 0, 80);
  head.writeUInt32LE(texts[5]?.length ?? 0, 82);
  if (counts !== undefined) {
    head.writeUInt32LE(counts.received, fixedBytes);
    head.writeUInt32LE(counts.dropped, fixedBytes + 4);
  }
  body.copy(head, headBytes);
  return out;
}

/** A log in memory: one batch an `append`. */
export class MemoryLog implements LogReader {
  readonly stream: StreamId = asStreamId('one');
  readonly #batches: { readonly bytes: Buffer; readonly count: number; readonly first: number }[] = [];
  #end = 0;
  #committed = 0;
  readonly commits: number[] = [];

  append(...records: readonly Buffer[]): void {
    this.#batches.push({ bytes: Buffer.concat(records), count: records.length, first: this.#end });
    this.#end += records.length;
  }

  /** As if the process had died before its commit was durable. */
  forgetCommits(): void {
    this.#committed = 0;
  }

  streams(): Promise<readonly StreamId[]> {
    return Promise.resolve([this.stream]);
  }
  committed(stream: StreamId): Promise<LogOffset> {
    return Promise.resolve({ stream, sequence: this.#committed });
  }
  durableEnd(stream: StreamId): Promise<LogOffset> {
    return Promise.resolve({ stream, sequence: this.#end });
  }
  read(from: LogOffset, maxBytes: number): Promise<ReadRecords | undefined> {
    const found = [];
    let bytes = 0;
    for (const batch of this.#batches) {
      if (batch.first + batch.count <= from.sequence) continue;
      if (found.length > 0 && bytes + batch.bytes.length > maxBytes) break;
      found.push(batch);
      bytes += batch.bytes.length;
    }
    const first = found[0];
    if (first === undefined) return Promise.resolve(undefined);
    const count = found.reduce((sum, batch) => sum + batch.count, 0);
    return Promise.resolve({
      stream: from.stream,
      firstSequence: first.first,
      nextSequence: first.first + count,
      bytes: Buffer.concat(found.map((batch) => batch.bytes)),
      count,
    });
  }
  waitForMore(_timeoutMs: number, signal: AbortSignal): Promise<void> {
    return sleep(20, undefined, { signal }).catch(() => undefined);
  }
  commit(upTo: LogOffset): Promise<void> {
    this.#committed = upTo.sequence;
    this.commits.push(upTo.sequence);
    return Promise.resolve();
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}
