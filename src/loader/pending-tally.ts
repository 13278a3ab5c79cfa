/**
 * Counts what is durable and not yet in the ledger.
 *
 * Bounds   A backlog is read once: what was read is kept as counts, a piece of up to READ_BYTES each, and let go of as the
 *          ledger comes to it. One call reads at most MAX_CALL_BYTES; those that follow go on from there.
 * Order    One call at a time: they share the reader and the pieces.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { LogReader, ReadRecords, StreamId } from '../log/log.ts';
import { RecordView } from '../record/record-view.ts';
import { LedgerTally } from './ledger-tally.ts';

const READ_BYTES = 4 << 20;
const MAX_CALL_BYTES = 512 << 20;

/**
 *   tally   the counts
 *   passed  the log has let go of a record that was asked for: the ledger has it by now
 *   behind  there is more than one call reads; the next comes further
 */
export type PendingCount =
  { readonly kind: 'tally'; readonly tally: LedgerTally } | { readonly kind: 'passed' } | { readonly kind: 'behind' };

/** Counts of the records `[first, next)` of a stream. */
interface Piece {
  readonly first: number;
  readonly next: number;
  readonly tally: LedgerTally;
}

export class PendingTally {
  readonly #reader: LogReader;
  readonly #maxCallBytes: number;
  readonly #pieces = new Map<StreamId, Piece[]>();
  #turn: Promise<unknown> = Promise.resolve();

  /** @param reader for these counts alone */
  constructor(reader: LogReader, maxCallBytes = MAX_CALL_BYTES) {
    this.#reader = reader;
    this.#maxCallBytes = maxCallBytes;
  }

  /** First record of each stream that its consumer has not committed. */
  committed(): Promise<ReadonlyMap<StreamId, number>> {
    return this.#alone(async () => {
      const found = new Map<StreamId, number>();
      for (const stream of await this.#reader.streams()) {
        found.set(stream, (await this.#reader.committed(stream)).sequence);
      }
      return found;
    });
  }

  /**
   * From the given record of each stream to its durable end.
   *
   * @throws LogDamaged, UnreadableRecord
   */
  since(starts: ReadonlyMap<StreamId, number>): Promise<PendingCount> {
    return this.#alone(async () => {
      const sum = new LedgerTally();
      let leftBytes = this.#maxCallBytes;
      for (const [stream, start] of starts) {
        const end = (await this.#reader.durableEnd(stream)).sequence;
        const pieces = (this.#pieces.get(stream) ?? []).filter((piece) => piece.next > start);
        this.#pieces.set(stream, pieces);
        const [oldest] = pieces;
        // What the ledger has come to in the midst of is counted again, from there.
        let at = start;
        if (oldest !== undefined && oldest.first < start) pieces.shift();
        let upTo = pieces[0]?.first ?? end;
        const fresh: Piece[] = [];
        for (let index = 0; ; upTo = pieces[index]?.first ?? end) {
          while (at < upTo) {
            if (leftBytes <= 0) {
              this.#pieces.set(stream, inOrder(pieces, fresh));
              return { kind: 'behind' };
            }
            const read = await this.#read(stream, at);
            if (read === undefined) return { kind: 'passed' };
            const piece = pieceOf(read, at, upTo);
            fresh.push(piece);
            leftBytes -= read.bytes.length;
            at = piece.next;
            await nextTurn(); // capture shares this thread
          }
          const known = pieces[index];
          if (known === undefined) break;
          at = known.next;
          index += 1;
        }
        const all = inOrder(pieces, fresh);
        this.#pieces.set(stream, all);
        for (const { tally } of all) sum.add(tally);
      }
      return { kind: 'tally', tally: sum };
    });
  }

  async #read(stream: StreamId, sequence: number): Promise<ReadRecords | undefined> {
    try {
      return await this.#reader.read({ stream, sequence }, READ_BYTES);
    } catch (error) {
      // The log's own word for a record that was committed meanwhile.
      if (error instanceof RangeError) return undefined;
      throw error;
    }
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}

function inOrder(known: readonly Piece[], fresh: readonly Piece[]): Piece[] {
  return [...known, ...fresh].toSorted((a, b) => a.first - b.first);
}

/** Counts the records of `read` that lie in `[first, end)`. */
function pieceOf(read: ReadRecords, first: number, end: number): Piece {
  const tally = new LedgerTally();
  const view = new RecordView(read.bytes);
  let sequence = read.firstSequence;
  for (; sequence < end && view.next(); sequence++) if (sequence >= first) tally.count(view);
  // A gap that a repair left has no records, and ends behind itself.
  return { first, next: Math.max(first + 1, read.count === 0 ? read.nextSequence : sequence), tally };
}
