/**
 * A store that behaves as badly as its port allows (src/store/store.ts), by seed.
 *
 * Block     In or out as a whole, under its token; visible before it is synced, synced before the answer.
 * Failure   A call that throws has ended: its block is in by then, or never will be by that call. (Were it to arrive later, it
 *           could meet the loader's next try under another token, and be stored twice.)
 * Process   Dies in the midst of calls, which then throw StoreUnavailable, whatever became of their blocks; is away for a
 *           while and comes back. What was not synced survives its death mostly, and a power cut seldom.
 * Refusal   A block with a poisoned event is refused, until that event comes alone and as raw text.
 * Lookups   Take a time of their own, and answer as of the moment of their end. What they find is synced by then: the loader
 *           goes past what it finds, whoever brought it there.
 */
import { asProjectId } from '../../src/event/ids.ts';
import {
  BlockRefused,
  StoreUnavailable,
  type Block,
  type LedgerReach,
  type OriginRange,
  type QueryFault,
  type Store,
  type StoredRejection,
  type StoredUuid,
  type UuidKeyBlock,
} from '../../src/store/store.ts';
import type { SeededRandom } from '../harness/random.ts';
import type { SimulatedProcess, VirtualTime } from '../harness/virtual-time.ts';
import { rowsOf, type Row } from './block-rows.ts';

export const POISON = 'poison';
const TOKEN_WINDOW = 1000;
/** Of a call that takes long. */
const SLOW_FACTOR = 100;

export interface StoreFaults {
  /** Chance that a call fails: half before it did anything, half behind it. */
  readonly failureRate: number;
  /** Chance that the engine dies in a call. */
  readonly deathRate: number;
}

/** A promise of the port, broken on purpose. */
export interface StoreMutation {
  /** The answer comes before the block is synced. */
  readonly acknowledgesEarly?: boolean;
  /** A token is forgotten at once, and look-ups find nothing. */
  readonly forgets?: boolean;
  /** A block that was not synced may survive in part. */
  readonly tears?: boolean;
  /** Look-ups find what is not synced, such as the block of a process that was killed before its sync. */
  readonly findsUnsynced?: boolean;
}

export type Table = 'events' | 'rejections' | 'duplicates' | 'ledger';

interface Part {
  readonly table: Table;
  rows: readonly Row[];
  readonly token: string;
  isSynced: boolean;
}

export const calmStore: StoreFaults = { failureRate: 0, deathRate: 0 };

/** What lies on the machine's disk. */
export class MemoryDatabase {
  readonly random: SeededRandom;
  readonly mutation: StoreMutation;
  parts: Part[] = [];

  constructor(random: SeededRandom, mutation: StoreMutation = {}) {
    this.random = random;
    this.mutation = mutation;
  }

  /** @returns undefined when the token is known */
  add(block: Block): Part | undefined {
    const table = block.kind === 'event_columns' ? 'events' : block.kind;
    const isKnown = this.parts
      .filter((part) => part.table === table)
      .slice(-TOKEN_WINDOW)
      .some((part) => part.token === block.deduplicationToken);
    if (isKnown && this.mutation.forgets !== true) return undefined;
    const part: Part = { table, rows: rowsOf(block), token: block.deduplicationToken, isSynced: false };
    this.parts.push(part);
    return part;
  }

  *rows(table: Table, which: 'visible' | 'synced' = 'visible'): Generator<Row> {
    for (const part of this.parts) {
      if (part.table === table && (which === 'visible' || part.isSynced)) yield* part.rows;
    }
  }

  /** What is not synced is lost or kept, each block by itself. */
  lose(chance: number): void {
    const { random } = this;
    this.parts = this.parts.filter((part) => part.isSynced || !random.chance(chance));
    for (const part of this.parts) {
      if (!part.isSynced && this.mutation.tears === true) part.rows = part.rows.filter(() => random.chance(0.5));
      part.isSynced = true; // read from the medium from now on
    }
  }
}

/** The engine as one process sees it. */
export class MemoryStore implements Store {
  readonly #database: MemoryDatabase;
  readonly #time: VirtualTime;
  readonly #owner: SimulatedProcess;
  readonly #faults: StoreFaults;
  /** Counts its deaths: a call that began before one fails. */
  #life = 0;
  #awayUntilMs = 0;

  constructor(
    database: MemoryDatabase,
    parts: { readonly time: VirtualTime; readonly owner: SimulatedProcess; readonly faults: StoreFaults },
  ) {
    this.#database = database;
    this.#time = parts.time;
    this.#owner = parts.owner;
    this.#faults = parts.faults;
  }

  async insert(block: Block): Promise<void> {
    const { random, mutation } = this.#database;
    const copy: Block = { ...block, rows: Uint8Array.from(block.rows) };
    await this.#call(`insert ${block.kind}`, 5);
    const rows = rowsOf(copy);
    const isPoisoned = rows.some((row) => String(row['properties_raw']).includes(POISON));
    const isAlone = copy.kind === 'events' && rows.length === 1 && rows[0]?.['mode'] === 1;
    if (isPoisoned && !isAlone) throw new BlockRefused('the engine cannot parse it');
    const part = this.#database.add(copy);
    if (mutation.acknowledgesEarly !== true) await this.#call('sync', 20);
    else
      this.#time.after(
        random.below(200),
        () => {
          if (part !== undefined) part.isSynced = true;
        },
        { what: 'late sync', owner: this.#owner },
      );
    if (part !== undefined && mutation.acknowledgesEarly !== true) part.isSynced = true;
    // A known token: the block that bears it is in, and is synced by now as well.
    if (part === undefined) this.#syncToken(copy.deduplicationToken);
    await this.#call('answer', 2);
  }

  async findUuids(keys: UuidKeyBlock): Promise<readonly StoredUuid[]> {
    const bytes = Buffer.from(keys.rows);
    await this.#lookUp('look up uuids');
    if (this.#database.mutation.forgets === true) return [];
    const wanted = new Set<string>();
    for (let at = 0; at < bytes.length; at += 20) wanted.add(bytes.toString('latin1', at, at + 20));
    const found: StoredUuid[] = [];
    for (const row of this.#database.rows('events')) {
      const key = keyBytes(Number(row['project_id']), String(row['uuid']));
      if (!wanted.has(key)) continue;
      found.push({
        projectId: asProjectId(Number(row['project_id'])),
        uuid: String(row['uuid']),
        stream: String(row['stream']),
        sequence: Number(row['sequence']),
      });
    }
    return found;
  }

  async findRejections(range: OriginRange): Promise<readonly StoredRejection[]> {
    await this.#lookUp('look up rejections');
    const found: StoredRejection[] = [];
    for (const row of this.#database.rows('rejections')) {
      const sequence = Number(row['sequence']);
      if (row['stream'] !== range.stream || sequence < range.first || sequence >= range.next) continue;
      found.push({ sequence, requestId: String(row['request_id']), index: Number(row['index']) });
    }
    return found;
  }

  async findReach(stream: string): Promise<LedgerReach | undefined> {
    await this.#lookUp('look up reach');
    return reachOf(this.#database.rows('ledger'), stream);
  }

  query(): Promise<QueryFault> {
    return Promise.resolve({ kind: 'fault', reason: 'unavailable', message: 'It has no SQL.' });
  }

  queryProject(): Promise<QueryFault> {
    return this.query();
  }

  isReady(): boolean {
    return this.#time.clock.monotonicMs() >= this.#awayUntilMs;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #lookUp(what: string): Promise<void> {
    await this.#call(what, 5);
    if (this.#database.mutation.findsUnsynced === true) return;
    for (const part of this.#database.parts) part.isSynced = true;
  }

  #syncToken(token: string): void {
    for (const part of this.#database.parts) if (part.token === token) part.isSynced = true;
  }

  /** Takes up to `ms`; may fail, and so may the engine. */
  async #call(what: string, ms: number): Promise<void> {
    const { random } = this.#database;
    const life = this.#life;
    if (!this.isReady()) {
      await this.#later(what, 1);
      throw new StoreUnavailable('the engine is away');
    }
    const slowness = random.chance(this.#faults.failureRate) ? SLOW_FACTOR : 1;
    await this.#later(what, ms * slowness * random.next());
    if (life === this.#life && random.chance(this.#faults.deathRate)) {
      this.#life += 1;
      this.#awayUntilMs = this.#time.clock.monotonicMs() + random.below(3000);
      this.#database.lose(0.3);
      this.#time.note('the store dies', this.#owner.name);
    }
    if (life !== this.#life) throw new StoreUnavailable('the engine died');
    if (random.chance(this.#faults.failureRate)) throw new StoreUnavailable('no answer');
  }

  #later(what: string, ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#time.after(ms, resolve, { what: `store: ${what}`, owner: this.#owner });
    });
  }
}

/** How far the ledger's rows have counted `stream`. */
export function reachOf(rows: Iterable<Row>, stream: string): LedgerReach | undefined {
  let reach: LedgerReach | undefined;
  for (const row of rows) {
    if (row['project_id'] !== 0 || row['stream'] !== stream) continue;
    const [next, lastRequestId] = row['reached'] as readonly [number, string];
    const epoch = Number(row['epoch']);
    const isFurther = reach === undefined || epoch > reach.epoch || (epoch === reach.epoch && next > reach.next);
    if (isFurther) reach = { epoch, next, lastRequestId };
  }
  return reach;
}

/** As `UuidKeys` writes one. */
function keyBytes(projectId: number, uuid: string): string {
  const hex = uuid.replaceAll('-', '');
  const half = (from: number): string =>
    Buffer.from(hex.slice(from, from + 16), 'hex')
      .reverse()
      .toString('latin1');
  const project = Buffer.alloc(4);
  project.writeUInt32LE(projectId);
  return project.toString('latin1') + half(0) + half(16);
}
