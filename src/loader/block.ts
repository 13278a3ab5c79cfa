/**
 * One block: up to MAX_BLOCK_BYTES of a stream's records, and the fate of each.
 *
 * A record's fate is decided before anything is inserted, and again at each attempt, since an attempt may have gone in
 * without an answer:
 *   tally (a request of which nothing is kept)       -> nothing but the ledger
 *   rejection                                        -> rejections, unless it is there
 *   event whose uuid came earlier in the block       -> duplicates
 *   event whose uuid is stored, from this very record -> replayed: nothing to do
 *   event whose uuid is stored, from another record  -> duplicates
 *   any other event                                  -> events, its properties taken apart where we can
 *
 * What became of all of them is counted for the ledger, which is written last.
 */
import { Impossible } from '../errors.ts';
import { nextTurn, type Timers } from '../event/clock.ts';
import { formatUuid } from '../event/uuid.ts';
import { recordFlags } from '../record/layout.ts';
import { RecordView } from '../record/record-view.ts';
import { repairJson } from '../store/json-repair.ts';
import { EventColumns } from '../store/event-columns.ts';
import {
  DuplicateRows,
  EventRows,
  LedgerRows,
  RejectionRows,
  UuidKeys,
  type PropertiesMode,
} from '../store/row-binary.ts';
import type { ReadRecords } from '../log/log.ts';
import type { BlockKind, StoredRejection, StoredUuid } from '../store/store.ts';
import { LedgerTally } from './ledger-tally.ts';

export const MAX_BLOCK_BYTES = 16 << 20;
export const MAX_BLOCK_RECORDS = 40_000;

/** `loadText`: to load, with its properties as text, for the engine to parse; `writeRows` decides it. */
export const fates = {
  load: 0,
  duplicate: 1,
  replayed: 2,
  rejection: 3,
  storedRejection: 4,
  loadText: 5,
  tally: 6,
} as const;

/** Buffers that every block uses again. */
export class BlockBuffers {
  readonly keys = new UuidKeys();
  readonly eventColumns = new EventColumns();
  readonly events = new EventRows();
  readonly rejections = new RejectionRows();
  readonly duplicates = new DuplicateRows();
  readonly ledger = new LedgerRows();
}

/** Records `[firstSequence, firstSequence + count)` of a stream. */
export interface BlockRange {
  readonly bytes: Uint8Array;
  readonly firstSequence: number;
  readonly count: number;
}

/** Cuts what was read into blocks. @throws UnreadableRecord */
export function* blocksOf(bytes: Uint8Array, firstSequence: number): Generator<BlockRange> {
  const view = new RecordView(bytes);
  let from = 0;
  let end = 0;
  let first = firstSequence;
  let count = 0;
  while (view.next()) {
    if (count > 0 && (count === MAX_BLOCK_RECORDS || view.end - from > MAX_BLOCK_BYTES)) {
      yield { bytes: bytes.subarray(from, end), firstSequence: first, count };
      from = end;
      first += count;
      count = 0;
    }
    end = view.end;
    count += 1;
  }
  if (count > 0) yield { bytes: bytes.subarray(from, end), firstSequence: first, count };
}

/** Project and uuid of the event that `view` stands on; as text for a map. */
function keyOf(view: RecordView): string {
  return view.bytes.toString('latin1', view.start + 4, view.start + 24);
}

/** The keys to look up. A uuid that comes twice is looked up once. */
export function collectKeys(range: BlockRange, fate: Uint8Array, keys: UuidKeys): void {
  const view = new RecordView(range.bytes);
  const seen = new Set<string>();
  keys.reset();
  for (let i = 0; view.next(); i++) {
    if (view.kind === 'rejection') {
      fate[i] = fates.rejection;
      continue;
    }
    if (view.kind === 'tally') {
      fate[i] = fates.tally;
      continue;
    }
    const key = keyOf(view);
    if (seen.has(key)) {
      fate[i] = fates.duplicate;
    } else {
      seen.add(key);
      fate[i] = fates.load;
      keys.add(view);
    }
  }
}

/** Marks what the store already holds. */
export function markStored(
  range: BlockRange,
  fate: Uint8Array,
  stream: string,
  found: { readonly uuids: readonly StoredUuid[]; readonly rejections: readonly StoredRejection[] },
): void {
  if (found.uuids.length === 0 && found.rejections.length === 0) return;
  const stored = new Map(found.uuids.map((each) => [`${each.projectId}:${each.uuid}`, each]));
  const rejections = new Map(found.rejections.map((each) => [each.sequence, each]));
  const view = new RecordView(range.bytes);
  for (let i = 0; view.next(); i++) {
    const sequence = range.firstSequence + i;
    if (fate[i] === fates.rejection) {
      const rejection = rejections.get(sequence);
      if (rejection?.index !== view.index) continue;
      if (rejection.requestId === formatUuid(view.bytes, view.requestIdAt)) fate[i] = fates.storedRejection;
    } else if (fate[i] === fates.load) {
      const origin = stored.get(`${view.projectId}:${formatUuid(view.bytes, view.uuidAt)}`);
      if (origin === undefined) continue;
      fate[i] = origin.stream === stream && origin.sequence === sequence ? fates.replayed : fates.duplicate;
    }
  }
}

/** Records of a block by their place in it: `[first, end)`. */
export interface Part {
  readonly first: number;
  readonly end: number;
}

/** Notes that the rows of `part` for `table` are in. Duplicates may be written again: their table replaces them. */
export function markDone(fate: Uint8Array, part: Part, kind: BlockKind): void {
  switch (kind) {
    case 'event_columns':
      return change(fate, part, { from: fates.load, to: fates.replayed });
    case 'events':
      return change(fate, part, { from: fates.loadText, to: fates.replayed });
    case 'rejections':
      return change(fate, part, { from: fates.rejection, to: fates.storedRejection });
    case 'duplicates':
    case 'ledger':
      return;
    default:
      throw new Impossible(kind);
  }
}

/** The engine would not have them taken apart: what is left of `part` goes in as text. */
export function markText(fate: Uint8Array, part: Part): void {
  change(fate, part, { from: fates.load, to: fates.loadText });
}

interface FateChange {
  readonly from: number;
  readonly to: number;
}

function change(fate: Uint8Array, part: Part, { from, to }: FateChange): void {
  for (let i = part.first; i < part.end; i++) if (fate[i] === from) fate[i] = to;
}

/** What the loader has counted of a stream and not yet written into the ledger: records `[first, next)`. */
export interface Uncounted {
  /** Of the stream's ledger (store/store.ts). */
  readonly epoch: number;
  readonly first: number;
  next: number;
  readonly tally: LedgerTally;
  /** Of the record `next - 1`. */
  readonly lastRequestId: Uint8Array;
}

/**
 * Counts the records of `range` that have not been counted yet.
 *
 * @param fate once all of it is in: an event that is neither `replayed` nor `duplicate` by then counts as neither, and shows
 */
export function countBlock(range: BlockRange, fate: Uint8Array, uncounted: Uncounted): void {
  const view = new RecordView(range.bytes);
  for (let i = 0; view.next(); i++) {
    if (range.firstSequence + i < uncounted.next) continue;
    const cell = uncounted.tally.count(view);
    if (fate[i] === fates.duplicate) cell.duplicate += 1;
    else if (fate[i] === fates.replayed) cell.stored += 1;
    if (i === range.count - 1) view.bytes.copy(uncounted.lastRequestId, 0, view.requestIdAt, view.requestIdAt + 16);
  }
  uncounted.next = Math.max(uncounted.next, range.firstSequence + range.count);
}

/** @returns when the earliest minute begins that they count in, seconds since 1970 */
export function writeLedger(stream: string, uncounted: Uncounted, rows: LedgerRows): number {
  const { epoch, first, next, lastRequestId } = uncounted;
  rows.reset();
  let earliest = Number.MAX_SAFE_INTEGER;
  for (const { projectId, minuteSeconds, cell } of uncounted.tally.cells()) {
    rows.addCounts(projectId, minuteSeconds, cell);
    earliest = Math.min(earliest, minuteSeconds);
  }
  rows.addReach({ stream, epoch, first, next, lastRequestId });
  return earliest;
}

export interface WriteOptions {
  readonly stream: string;
  readonly part: Part;
  /** Keep the properties as raw text alone: the engine refused the row. */
  readonly rawOnly: boolean;
  readonly timers: Timers;
}

const parse: PropertiesMode = { kind: 'parse' };
const rawOnly: PropertiesMode = { kind: 'raw_only' };

/** How many records are written before whoever shares the thread gets a turn; a few milliseconds. */
const RECORDS_A_TURN = 1000;

/** Writes the rows of `part`, each for its table. @returns how many were repaired */
export async function writeRows(
  range: BlockRange,
  fate: Uint8Array,
  buffers: BlockBuffers,
  options: WriteOptions,
): Promise<number> {
  const { eventColumns, events, rejections, duplicates } = buffers;
  const { stream, part } = options;
  eventColumns.reset();
  events.reset();
  rejections.reset();
  duplicates.reset();
  const view = new RecordView(range.bytes);
  const escapes = new SurrogateEscapes(view.bytes);
  let repaired = 0;
  for (let i = 0; i < part.end && view.next(); i++) {
    if (i < part.first) continue;
    if ((i - part.first + 1) % RECORDS_A_TURN === 0) await nextTurn(options.timers);
    const origin = { stream, sequence: range.firstSequence + i };
    if (fate[i] === fates.rejection) {
      rejections.add(view, origin);
    } else if (fate[i] === fates.duplicate) {
      duplicates.add(view, origin);
    } else if (fate[i] === fates.load || fate[i] === fates.loadText) {
      let mode = options.rawOnly ? rawOnly : parse;
      const isSuspect =
        (view.flags & recordFlags.hasLongInteger) !== 0 || escapes.anyWithin(view.lastStart, view.lastEnd);
      if (isSuspect && !options.rawOnly) {
        const text = repairJson(view.bytes, view.lastStart, view.lastEnd);
        if (text !== undefined) {
          mode = { kind: 'repaired', text };
          repaired += 1;
        }
      }
      if (mode.kind === 'parse' && fate[i] === fates.load && eventColumns.add(view, origin)) continue;
      fate[i] = fates.loadText;
      events.add(view, origin, mode);
    }
  }
  return repaired;
}

/** Finds `\ud…` escapes with one pass over the block, by the runtime's own search, which costs next to nothing. */
class SurrogateEscapes {
  readonly #bytes: Buffer;
  #lower = -1;
  #upper = -1;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Call with rising positions. */
  anyWithin(start: number, end: number): boolean {
    if (this.#lower < start) this.#lower = this.#next('\\ud', start);
    if (this.#upper < start) this.#upper = this.#next('\\uD', start);
    return this.#lower < end || this.#upper < end;
  }

  #next(text: string, from: number): number {
    const at = this.#bytes.indexOf(text, from, 'latin1');
    return at < 0 ? Number.POSITIVE_INFINITY : at;
  }
}

/** Of the record `sequence`; undefined when it is not in `read`. */
export function requestIdAt(read: ReadRecords, sequence: number): string | undefined {
  const view = new RecordView(read.bytes);
  for (let at = read.firstSequence; at <= sequence && view.next(); at++) {
    if (at === sequence) return formatUuid(view.bytes, view.requestIdAt);
  }
  return undefined;
}

/** When the first of some records arrived. */
export function firstReceivedAtMs(bytes: Uint8Array): number {
  const view = new RecordView(bytes);
  view.next();
  return view.receivedAtMs;
}

export function lastReceivedAtMs(bytes: Uint8Array): number {
  const view = new RecordView(bytes);
  let lastMs = 0;
  while (view.next()) lastMs = view.receivedAtMs;
  return lastMs;
}
