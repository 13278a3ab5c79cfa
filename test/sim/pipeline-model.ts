/**
 * What the simulation knows of the pipeline from outside: what was sent, what was answered, what the log gave to its
 * reader, and what the store has. Each promise is a check here.
 *
 *   S1  Every event of a request that was answered 200 is in the store exactly once, whatever died meanwhile.
 *   S2  Nothing appears that was not sent, in another project, or changed. What was refused each time it was sent never
 *       appears; what got no answer may.
 *   S3  A 200 is made from a receipt.
 *   S4  A record stays what it is: reading a sequence number again gives the same, and numbers have no gap.
 *   S5  Of copies in one stream the first is stored; each other one is noted as a duplicate.
 *   S6  `committed` never runs ahead of what the store has synced: rows, rejections, duplicates and ledger.
 *   S7  received = accepted + rejected, accepted = stored + duplicate, and they are what the log held.
 *   S8  What waits for the log stays within its bound.
 */
import { crc32 } from 'node:zlib';
import { formatUuid } from '../../src/event/uuid.ts';
import type { LogOffset, ReadRecords, RecordBatch } from '../../src/log/log.ts';
import { RecordView } from '../../src/record/record-view.ts';
import { reachOf, type MemoryDatabase } from './memory-database.ts';
import type { Row } from './block-rows.ts';

export interface SentEvent {
  /** In its properties, as `n`: tells it from every other. */
  readonly marker: number;
  readonly projectId: number;
  /** Undefined: the server gives it one for each request. */
  readonly uuid: string | undefined;
  readonly distinctId: string;
  /** `bad`: without a distinct_id, so rejected and kept as such. `dropped`: a `$performance_event`, counted alone. */
  readonly kind: 'good' | 'bad' | 'dropped';
  readonly text: string;
  readonly deliveries: Delivery[];
}

/** `unknown`: not answered, or not yet. `doubtful`: refused by the gap of docs/decisions/0003. */
export type DeliveryFate = 'unknown' | 'kept' | 'refused' | 'doubtful';

/** One request as it reached a server. */
export interface Delivery {
  readonly requestId: string;
  readonly events: readonly SentEvent[];
  fate: DeliveryFate;
}

interface Seen {
  readonly crc: number;
  readonly kind: 'event' | 'rejection' | 'tally';
  readonly projectId: number;
  readonly uuid: string;
  readonly requestId: string;
  readonly index: number;
  readonly first: string;
  readonly second: string;
  readonly last: string;
  readonly received: number;
  readonly dropped: number;
}

function keyOf(projectId: unknown, uuid: unknown): string {
  return `${String(projectId)}:${String(uuid)}`;
}

function placeOf(stream: unknown, sequence: unknown): string {
  return `${String(stream)}:${String(sequence)}`;
}

function check(isSo: boolean, broken: () => string): void {
  if (!isSo) throw new Error(broken());
}

export class PipelineModel {
  readonly #database: MemoryDatabase;
  readonly sent = new Map<number, SentEvent>();
  readonly #deliveries = new Map<string, Delivery>();
  readonly #receipts = new Set<string>();
  /** Records by stream, from 0; what was let go of before it was read leaves no hole, since all is read. */
  readonly #streams = new Map<string, Seen[]>();
  readonly #committed = new Map<string, number>();
  readonly counts = { stored: 0, duplicates: 0, rejections: 0, refused: 0, unknown: 0, acknowledged: 0 };

  constructor(database: MemoryDatabase) {
    this.#database = database;
  }

  deliver(requestId: string, events: readonly SentEvent[]): Delivery {
    const delivery: Delivery = { requestId, events, fate: 'unknown' };
    this.#deliveries.set(requestId, delivery);
    for (const event of events) event.deliveries.push(delivery);
    return delivery;
  }

  noteReceipt(batch: RecordBatch): void {
    const view = new RecordView(batch.bytes);
    while (view.next()) this.#receipts.add(formatUuid(view.bytes, view.requestIdAt));
  }

  /** S3 */
  answered(delivery: Delivery, fate: DeliveryFate): void {
    // Nothing but `$performance_event`s: from nobody we know they are acknowledged and not even counted (protocol.md 3.8).
    if (fate === 'kept' && delivery.events.some(({ kind }) => kind !== 'dropped')) {
      check(
        this.#receipts.has(delivery.requestId),
        () => `S3: ${delivery.requestId} was acknowledged without a receipt`,
      );
    }
    delivery.fate = fate;
  }

  /** S4 */
  noteRead(read: ReadRecords, from: LogOffset): void {
    check(
      read.firstSequence === from.sequence,
      () => `S4: ${read.stream} gave ${read.firstSequence} for ${from.sequence}`,
    );
    const seen = this.#seenOf(read.stream);
    check(read.firstSequence <= seen.length, () => `S4: ${read.stream} leaps from ${seen.length} to ${from.sequence}`);
    const view = new RecordView(read.bytes);
    let sequence = read.firstSequence;
    for (; view.next(); sequence++) {
      const record = seenIn(view);
      const before = seen[sequence];
      if (before === undefined) seen.push(record);
      else check(before.crc === record.crc, () => `S4: ${placeOf(read.stream, sequence)} has changed`);
    }
    check(sequence === read.nextSequence, () => `S4: ${read.count} records were promised`);
  }

  /** S6; before the commit is made. */
  noteCommit(upTo: LogOffset): void {
    const { stream, sequence: end } = upTo;
    const seen = this.#seenOf(stream);
    check(end <= seen.length, () => `S6: ${stream} is committed to ${end}, and was read to ${seen.length}`);
    const from = this.#committed.get(stream) ?? 0;
    if (end <= from) return;
    this.#committed.set(stream, end);
    const events = new Set<string>();
    for (const row of this.#database.rows('events', 'synced')) events.add(keyOf(row['project_id'], row['uuid']));
    const rejections = new Set<string>();
    for (const row of this.#database.rows('rejections', 'synced'))
      rejections.add(placeOf(row['stream'], row['sequence']));
    for (let sequence = from; sequence < end; sequence++) {
      const record = seen[sequence];
      const place = placeOf(stream, sequence);
      if (record?.kind === 'event') {
        check(events.has(keyOf(record.projectId, record.uuid)), () => `S6: ${place} is committed and not synced`);
      } else if (record?.kind === 'rejection') {
        check(rejections.has(place), () => `S6: the rejection ${place} is committed and not synced`);
      }
    }
    const reach = reachOf(this.#database.rows('ledger', 'synced'), stream);
    check(
      (reach?.next ?? 0) >= end,
      () => `S6: the ledger has counted ${stream} to ${reach?.next}, committed is ${end}`,
    );
    check(reach?.epoch === 1, () => `S4: the ledger took ${stream} for another log`);
  }

  /** What must hold at any moment: of what can be seen, nothing is double or made up. */
  checkVisible(): void {
    const uuids = new Set<string>();
    for (const row of this.#database.rows('events')) {
      const key = keyOf(row['project_id'], row['uuid']);
      check(!uuids.has(key), () => `S1: ${key} is stored twice`);
      uuids.add(key);
      const copy = `${String(row['request_id'])}:${markerOf(String(row['properties_raw']))}`;
      check(!uuids.has(copy), () => `S1: ${copy} is stored twice`);
      uuids.add(copy);
      this.#checkOrigin(row, 'event');
    }
    const rejections = new Set<string>();
    for (const row of this.#database.rows('rejections')) {
      const key = `${String(row['request_id'])}:${String(row['index'])}`;
      check(!rejections.has(key), () => `S1: the rejection ${key} is stored twice`);
      rejections.add(key);
      this.#checkOrigin(row, 'rejection');
    }
  }

  /** Once the loader has caught up. */
  checkEnd(): void {
    this.checkVisible();
    const stored = new Map<string, Row>();
    const markers = new Set<number>();
    for (const row of this.#database.rows('events')) {
      stored.set(keyOf(row['project_id'], row['uuid']), row);
      markers.add(markerOf(String(row['properties_raw'])));
    }
    const rejected = new Set<string>();
    for (const row of this.#database.rows('rejections'))
      rejected.add(`${String(row['request_id'])}:${String(row['index'])}`);
    for (const delivery of this.#deliveries.values()) {
      this.#tally(delivery);
      if (delivery.fate !== 'kept') continue;
      for (const [index, event] of delivery.events.entries()) {
        if (event.kind === 'dropped') continue;
        if (event.kind === 'bad') {
          check(rejected.has(`${delivery.requestId}:${index}`), () => `S1: the rejection of ${event.marker} is lost`);
        } else {
          const isThere =
            event.uuid === undefined ? markers.has(event.marker) : stored.has(keyOf(event.projectId, event.uuid));
          check(isThere, () => `S1: event ${event.marker} of ${delivery.requestId} was acknowledged and is not stored`);
        }
      }
    }
    this.#checkFirstCopies(stored);
    this.#checkLedger();
    this.counts.stored = stored.size;
    this.counts.rejections = rejected.size;
  }

  #tally({ fate, events }: Delivery): void {
    if (fate === 'kept') this.counts.acknowledged += events.length;
    else if (fate === 'unknown') this.counts.unknown += events.length;
    else this.counts.refused += events.length;
  }

  /** S2 */
  #checkOrigin(row: Row, kind: 'event' | 'rejection'): void {
    const place = placeOf(row['stream'], row['sequence']);
    const record = this.#streams.get(String(row['stream']))?.[Number(row['sequence'])];
    check(record !== undefined, () => `S2: the store has ${place}, which nobody read`);
    if (record === undefined) return;
    const isSame =
      record.kind === kind &&
      record.projectId === row['project_id'] &&
      record.requestId === row['request_id'] &&
      record.last === row[kind === 'event' ? 'properties_raw' : 'raw'] &&
      (kind !== 'event' ||
        (record.uuid === row['uuid'] && record.first === row['event'] && record.second === row['distinct_id']));
    check(isSame, () => `S2: ${place} is another record in the store than in the log`);
    const delivery = this.#deliveries.get(record.requestId);
    check(delivery !== undefined, () => `S2: nobody sent the request of ${place}`);
    check(delivery?.fate !== 'refused', () => `S2: ${place} was refused, request ${record.requestId}`);
    const event = delivery?.events.find(({ marker }) => marker === markerOf(record.last));
    check(event !== undefined, () => `S2: nobody sent ${place}`);
    if (event === undefined) return;
    check(event.projectId === record.projectId, () => `S2: ${place} of project ${event.projectId} is in another`);
    if (kind === 'rejection') return;
    check(event.uuid === undefined || event.uuid === record.uuid, () => `S2: ${place} has another uuid`);
    check(event.distinctId === record.second && event.kind === 'good', () => `S2: ${place} is not as it was sent`);
  }

  /** S5 */
  #checkFirstCopies(stored: ReadonlyMap<string, Row>): void {
    const noted = new Set<string>();
    for (const row of this.#database.rows('duplicates')) {
      noted.add(`${keyOf(row['project_id'], row['uuid'])}@${placeOf(row['stream'], row['sequence'])}`);
    }
    for (const [stream, seen] of this.#streams) {
      const first = new Map<string, number>();
      for (const [sequence, record] of seen.entries()) {
        if (record.kind !== 'event') continue;
        const key = keyOf(record.projectId, record.uuid);
        const row = stored.get(key);
        if (!first.has(key)) first.set(key, sequence);
        const isStored = row?.['stream'] === stream && row['sequence'] === sequence;
        if (row?.['stream'] === stream) {
          check(
            Number(row['sequence']) === first.get(key),
            () => `S5: ${key} is stored from ${String(row['sequence'])}`,
          );
        }
        if (isStored) continue;
        this.counts.duplicates += 1;
        check(
          noted.has(`${key}@${placeOf(stream, sequence)}`),
          () => `S5: ${placeOf(stream, sequence)} is no duplicate`,
        );
      }
    }
  }

  /** S7 */
  #checkLedger(): void {
    const expected = new Map<number, Map<string, number>>();
    const add = (projectId: number, name: string, by: number): void => {
      const counts = expected.get(projectId) ?? new Map<string, number>();
      expected.set(projectId, counts);
      counts.set(name, (counts.get(name) ?? 0) + by);
    };
    for (const seen of this.#streams.values()) {
      for (const record of seen) {
        add(record.projectId, 'received', record.received);
        add(record.projectId, 'rejected', record.dropped + (record.kind === 'rejection' ? 1 : 0));
        if (record.kind === 'event') add(record.projectId, 'accepted', 1);
      }
    }
    for (const row of this.#database.rows('events')) add(Number(row['project_id']), 'stored', 1);
    const found = new Map<number, Map<string, number>>();
    for (const row of this.#database.rows('ledger')) {
      const projectId = Number(row['project_id']);
      if (projectId === 0) continue;
      const counts = found.get(projectId) ?? new Map<string, number>();
      found.set(projectId, counts);
      for (const name of ['received', 'accepted', 'stored', 'duplicate']) {
        counts.set(name, (counts.get(name) ?? 0) + Number(row[name]));
      }
      for (const events of Object.values(row['rejected_by_code'] as Readonly<Record<string, number>>)) {
        counts.set('rejected', (counts.get('rejected') ?? 0) + events);
      }
    }
    for (const [projectId, counts] of expected) {
      const count = (name: string): number => found.get(projectId)?.get(name) ?? 0;
      for (const [name, number] of counts) {
        check(count(name) === number, () => `S7: ${count(name)} ${name} in project ${projectId}, there are ${number}`);
      }
      const isBalanced =
        count('received') === count('accepted') + count('rejected') &&
        count('accepted') === count('stored') + count('duplicate');
      check(
        isBalanced,
        () => `S7: project ${projectId} does not balance: ${JSON.stringify([...(found.get(projectId) ?? [])])}`,
      );
    }
  }

  #seenOf(stream: string): Seen[] {
    const seen = this.#streams.get(stream) ?? [];
    this.#streams.set(stream, seen);
    return seen;
  }
}

function seenIn(view: RecordView): Seen {
  const { bytes } = view;
  return {
    crc: crc32(bytes.subarray(view.start, view.end)),
    kind: view.kind,
    projectId: view.projectId,
    uuid: formatUuid(bytes, view.uuidAt),
    requestId: formatUuid(bytes, view.requestIdAt),
    index: view.index,
    first: bytes.toString('utf8', view.firstStart, view.firstEnd),
    second: bytes.toString('utf8', view.secondStart, view.secondEnd),
    last: bytes.toString('utf8', view.lastStart, view.lastEnd),
    received: view.hasCounts ? view.received : 0,
    dropped: view.hasCounts ? view.dropped : 0,
  };
}

function markerOf(json: string): number {
  return Number(/"n":(\d+)/.exec(json)?.[1] ?? -1);
}
