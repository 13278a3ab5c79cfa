import { asEpochMs, asProjectId, type EpochMs, type ProjectId } from '../event/ids.ts';
import { countsBytes, fixedBytes, oldestRecordVersion, recordFlags, recordKinds, recordVersion } from './layout.ts';

export type RecordKind = keyof typeof recordKinds;
const kindOf = new Map<number | undefined, RecordKind>([
  [recordKinds.event, 'event'],
  [recordKinds.rejection, 'rejection'],
  [recordKinds.tally, 'tally'],
]);

/** The record was written by a newer Hedgerow, or is no record. */
export class UnreadableRecord extends Error {
  override readonly name = 'UnreadableRecord';
}

/**
 * Reads records where they lie, one after the other, without an object for each: call `next` until it answers false.
 * Every position is an offset into `bytes`; it holds until the next call.
 *
 * @throws UnreadableRecord from `next` for an unknown kind or version, or lengths that do not add up.
 */
export class RecordView {
  readonly bytes: Buffer;
  #position = 0;
  kind: RecordKind = 'event';
  version = 0;
  /** The record itself, without its length prefix: `bytes[start, end)`. */
  start = 0;
  end = 0;
  flags = 0;
  /** event: name; rejection: code. */
  firstStart = 0;
  firstEnd = 0;
  /** event: distinct_id; rejection: detail. */
  secondStart = 0;
  secondEnd = 0;
  ipStart = 0;
  ipEnd = 0;
  libStart = 0;
  libEnd = 0;
  libVersionStart = 0;
  libVersionEnd = 0;
  /** event: properties, with braces; rejection: the event as sent. */
  lastStart = 0;
  lastEnd = 0;

  /** @param bytes layout of `EncodedRecords.bytes` */
  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  next(): boolean {
    const { bytes } = this;
    if (this.#position >= bytes.length) return false;
    const start = this.#position + 4;
    const end = start + bytes.readUInt32LE(this.#position);
    this.#position = end;
    this.start = start;
    this.end = end;
    if (end > bytes.length || end - start < fixedBytes) throw new UnreadableRecord('a record is shorter than its head');
    const kind = kindOf.get(bytes[start]);
    const version = bytes[start + 1] ?? 0;
    if (kind === undefined || version < oldestRecordVersion || version > recordVersion) {
      throw new UnreadableRecord(
        `record of kind ${bytes[start]}, version ${version}: this version of Hedgerow reads up to version ${recordVersion}. ` +
          'It was written by a newer one; start that one again.',
      );
    }
    this.kind = kind;
    this.version = version;
    this.flags = bytes.readUInt16LE(start + 2);
    this.firstStart = start + fixedBytes + (this.hasCounts ? countsBytes : 0);
    if (this.firstStart > end) throw new UnreadableRecord('a record is shorter than its head');
    this.firstEnd = this.secondStart = this.firstStart + bytes.readUInt32LE(start + 68);
    this.secondEnd = this.ipStart = this.secondStart + bytes.readUInt32LE(start + 72);
    this.ipEnd = this.libStart = this.ipStart + bytes.readUInt16LE(start + 76);
    this.libEnd = this.libVersionStart = this.libStart + bytes.readUInt16LE(start + 78);
    this.libVersionEnd = this.lastStart = this.libVersionStart + bytes.readUInt16LE(start + 80);
    this.lastEnd = this.lastStart + bytes.readUInt32LE(start + 82);
    if (this.lastEnd !== end) throw new UnreadableRecord('a record’s lengths do not add up');
    return true;
  }

  /** Whether it is the first record of its request, in version 2 or later. */
  get hasCounts(): boolean {
    return this.version > 1 && (this.flags & recordFlags.hasCounts) !== 0;
  }
  /** Events that its request was decoded to, `dropped` included. Only with `hasCounts`. */
  get received(): number {
    return this.bytes.readUInt32LE(this.start + fixedBytes);
  }
  /** Events of its request that were dropped and are in no record. Only with `hasCounts`. */
  get dropped(): number {
    return this.bytes.readUInt32LE(this.start + fixedBytes + 4);
  }
  get projectId(): ProjectId {
    return asProjectId(this.bytes.readUInt32LE(this.start + 4));
  }
  /** Position of the event's 16 uuid bytes. For a rejection they count only with `recordFlags.hasUuid`. */
  get uuidAt(): number {
    return this.start + 8;
  }
  get requestIdAt(): number {
    return this.start + 24;
  }
  get index(): number {
    return this.bytes.readUInt32LE(this.start + 40);
  }
  get timestampMs(): EpochMs {
    return asEpochMs(this.bytes.readDoubleLE(this.start + 44));
  }
  get receivedAtMs(): EpochMs {
    return asEpochMs(this.bytes.readDoubleLE(this.start + 52));
  }
  get sentAtMs(): EpochMs | undefined {
    return (this.flags & recordFlags.hasSentAt) === 0 ? undefined : asEpochMs(this.bytes.readDoubleLE(this.start + 60));
  }
}
