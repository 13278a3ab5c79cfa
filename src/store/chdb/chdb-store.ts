/**
 * The store on chDB: the parent's side. The engine runs in a child process, so that neither a slow query nor a native
 * crash touches capture.
 *
 * Guarantees
 *   C1  `insert` resolves only after the engine answered that the block is in and synced.
 *   C2  When the child dies, what was in flight ends with StoreUnavailable (or a fault of that name), and a new child is
 *       started, at once and then at growing intervals, until `close`.
 *   C3  The child ends with this process, however that ends.
 * Bounds   MAX_WAITING_QUERIES queries; beyond, `unavailable` at once. One file a block in `incoming/`, gone when the
 *          call has ended; the rest is cleared at start.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { killPointEnv } from '../../config/kill-point.ts';
import { asProjectId, type ProjectId } from '../../event/ids.ts';
import { database, internalDatabase } from '../schema.ts';
import {
  BlockRefused,
  StoreFromNewerVersion,
  StoreInUse,
  StoreUnavailable,
  type Block,
  type LedgerReach,
  type OriginRange,
  type QueryAnswer,
  type QueryFault,
  type QueryRequest,
  type Store,
  type StoredRejection,
  type StoredUuid,
  type UuidKeyBlock,
} from '../store.ts';
import { childReply, type ChildOptions, type ChildReply, type ChildRequest } from './messages.ts';

const DEFAULT_MEMORY_BYTES = 1_000_000_000;
const DEFAULT_READERS = 4;
/** A child that was killed holds its lock until the kernel has taken it apart. */
const DEFAULT_LOCK_WAIT_MS = 10_000;
const MAX_WAITING_QUERIES = 256;
const FIRST_RESTART_MS = 50;
const MAX_RESTART_MS = 5000;
const CLOSE_DEADLINE_MS = 5000;
/** The child's own JavaScript does next to nothing: a small young generation, and no threads to collect it. */
const CHILD_FLAGS = ['--max-semi-space-size=1', '--single-threaded-gc', '--v8-pool-size=1'];
const KEPT_STDERR_LENGTH = 2000;

export interface ChdbStoreOptions {
  /** The store's folder; made when it is not there. */
  readonly dir: string;
  /** Memory of the whole engine, queries included; default 1 GB. */
  readonly memoryBytes?: number;
  /** Queries that run at once; others wait. Default 4. */
  readonly readers?: number;
  /** The compiled child; default: the one beside this file, or in `dist/` when this runs from source. */
  readonly childPath?: string;
  /** How long to wait for a folder that another process still holds; default 10 s. */
  readonly lockWaitMs?: number;
  /** The child ended without being asked to; a new one is on its way. For the log. */
  readonly onChildLost?: (reason: string) => void;
}

type RequestBody = ChildRequest extends infer R ? (R extends { id: number } ? Omit<R, 'id'> : never) : never;
type AnswerReply = Extract<ChildReply, { id: number }>;

interface Pending {
  readonly resolve: (reply: AnswerReply) => void;
  readonly reject: (error: StoreUnavailable) => void;
}

/**
 * Resolves when the engine is open and migrated.
 *
 * @throws StoreFromNewerVersion, StoreInUse, or Error with the engine's own words
 */
export async function openChdbStore(options: ChdbStoreOptions): Promise<ChdbStore> {
  const engineDir = join(options.dir, 'engine');
  await mkdir(engineDir, { recursive: true });
  const store = new ChdbStore(options, engineDir);
  await store.start();
  return store;
}

export class ChdbStore implements Store {
  readonly #options: ChdbStoreOptions;
  readonly #childOptions: ChildOptions;
  readonly #incoming: string;
  readonly #pending = new Map<number, Pending>();
  #child: ChildProcess | undefined;
  #isReady = false;
  #closing: Promise<void> | undefined;
  readonly #stopRestarts = new AbortController();
  #nextId = 1;
  #waitingQueries = 0;

  /** Use `openChdbStore`. */
  constructor(options: ChdbStoreOptions, engineDir: string) {
    this.#options = options;
    this.#childOptions = {
      dir: engineDir,
      memoryBytes: options.memoryBytes ?? DEFAULT_MEMORY_BYTES,
      readers: options.readers ?? DEFAULT_READERS,
      lockWaitMs: options.lockWaitMs ?? DEFAULT_LOCK_WAIT_MS,
    };
    this.#incoming = join(options.dir, 'incoming');
  }

  async start(): Promise<void> {
    await this.#startChild();
    // Only now, since the lock is ours: another store's blocks may have been on their way before.
    await rm(this.#incoming, { recursive: true, force: true });
    await mkdir(this.#incoming, { recursive: true });
  }

  isReady(): boolean {
    return this.#isReady;
  }

  async insert(block: Block): Promise<void> {
    const { kind: blockKind, deduplicationToken: token } = block;
    const reply = await this.#withFile(block.rows, (file) => this.#ask({ kind: 'insert', blockKind, file, token }));
    if (reply.kind === 'failed') throw blockError(reply);
  }

  async findUuids(keys: UuidKeyBlock): Promise<readonly StoredUuid[]> {
    if (keys.count === 0) return [];
    const reply = await this.#withFile(keys.rows, (file) => this.#ask({ kind: 'find', file }));
    if (reply.kind !== 'found') throw new StoreUnavailable(reply.kind === 'failed' ? reply.message : reply.kind);
    return reply.uuids.map((found) => ({ ...found, projectId: asProjectId(found.projectId) }));
  }

  async findRejections(range: OriginRange): Promise<readonly StoredRejection[]> {
    const reply = await this.#ask({
      kind: 'query',
      sql: `SELECT sequence, request_id, \`index\` FROM ${database}.rejections
        WHERE stream = {stream:String} AND sequence >= {first:UInt64} AND sequence < {next:UInt64}`,
      parameters: { ...range },
      timeoutMs: 60_000,
      maxRows: range.next - range.first,
      projectId: undefined,
      isInternal: true,
    });
    if (reply.kind !== 'rows') throw new StoreUnavailable(reply.kind === 'fault' ? reply.message : reply.kind);
    const rows: unknown = JSON.parse(reply.rowsJson);
    return z
      .array(z.tuple([z.number(), z.string(), z.number()]))
      .parse(rows)
      .map(([sequence, requestId, index]) => ({ sequence, requestId, index }));
  }

  async findReach(stream: string): Promise<LedgerReach | undefined> {
    const reply = await this.#ask({
      kind: 'query',
      sql: `SELECT epoch, reach.1, toString(reach.2) FROM (SELECT epoch, max(reached) AS reach
        FROM ${internalDatabase}.ledger WHERE project_id = 0 AND stream = {stream:String} GROUP BY epoch)
        ORDER BY epoch DESC LIMIT 1`,
      parameters: { stream },
      timeoutMs: 60_000,
      maxRows: 1,
      projectId: undefined,
      isInternal: true,
    });
    if (reply.kind !== 'rows') throw new StoreUnavailable(reply.kind === 'fault' ? reply.message : reply.kind);
    const rows: unknown = JSON.parse(reply.rowsJson);
    const [row] = z.array(z.tuple([z.number(), z.number(), z.string()])).parse(rows);
    return row === undefined ? undefined : { epoch: row[0], next: row[1], lastRequestId: row[2] };
  }

  query(request: QueryRequest): Promise<QueryAnswer | QueryFault> {
    return this.#query(request, undefined);
  }

  queryProject(projectId: ProjectId, request: QueryRequest): Promise<QueryAnswer | QueryFault> {
    return this.#query(request, projectId);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #query(request: QueryRequest, projectId: ProjectId | undefined): Promise<QueryAnswer | QueryFault> {
    const { sql, parameters, limits, signal } = request;
    if (signal?.aborted === true) return fault('timeout', 'The query was stopped before it began.');
    if (this.#waitingQueries >= MAX_WAITING_QUERIES) {
      return fault('unavailable', `${MAX_WAITING_QUERIES} queries already wait; try again in a moment.`);
    }
    this.#waitingQueries += 1;
    const { timeoutMs, maxRows } = limits;
    const id = this.#nextId;
    const cancel = (): void => this.#post({ kind: 'cancel', id });
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      // `#ask` takes `id`: nothing is awaited in between.
      const asked = this.#ask({
        kind: 'query',
        sql,
        parameters: plainParameters(parameters),
        timeoutMs,
        maxRows,
        projectId,
        isInternal: false,
      });
      const reply = await asked;
      if (reply.kind === 'fault') return fault(reply.reason, reply.message);
      if (reply.kind !== 'rows') return fault('unavailable', 'The store answered something else than rows.');
      const { columns, types, rowsJson, rowCount, hasMore } = reply;
      return { kind: 'rows', columns, types, rowsJson, rowCount, hasMore };
    } catch (error) {
      if (error instanceof StoreUnavailable) return fault('unavailable', error.message);
      throw error;
    } finally {
      this.#waitingQueries -= 1;
      signal?.removeEventListener('abort', cancel);
    }
  }

  async #withFile(rows: Uint8Array, ask: (file: string) => Promise<AnswerReply>): Promise<AnswerReply> {
    if (!this.#isReady) throw unavailable();
    const file = join(this.#incoming, `${process.pid}-${this.#nextId}-${rows.length}.block`);
    this.#nextId += 1;
    try {
      await writeFile(file, rows);
    } catch (error) {
      await rm(file, { force: true });
      throw new StoreUnavailable('The block could not be written to the disk.', { cause: error });
    }
    try {
      return await ask(file);
    } finally {
      await rm(file, { force: true });
    }
  }

  #ask(body: RequestBody): Promise<AnswerReply> {
    const id = this.#nextId;
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      if (!this.#isReady || this.#closing !== undefined) {
        reject(unavailable());
        return;
      }
      this.#pending.set(id, { resolve, reject });
      this.#post({ ...body, id });
    });
  }

  #post(request: ChildRequest): void {
    // A channel that has just closed: the child's exit ends what waits for an answer.
    this.#child?.send(request, () => undefined);
  }

  /** @throws as `openChdbStore` */
  #startChild(): Promise<void> {
    const child = spawn(process.execPath, [...CHILD_FLAGS, this.#childPath(), JSON.stringify(this.#childOptions)], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      serialization: 'advanced',
      detached: true, // a group of its own: Ctrl-C is for the parent, which drains first
      // A thread for each session: the readers, the writer, the one that stops the others.
      env: { UV_THREADPOOL_SIZE: String(this.#childOptions.readers + 2), TZ: 'UTC', ...killPointEnv() },
    });
    this.#child = child;
    let said = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-KEPT_STDERR_LENGTH);
    });
    return new Promise((resolve, reject) => {
      let isOpen = false;
      let fatal: Extract<ChildReply, { kind: 'fatal' }> | undefined;
      child.on('message', (message) => {
        const reply = childReply.parse(message);
        if (reply.kind === 'ready') {
          isOpen = true;
          this.#isReady = true;
          resolve();
        } else if (reply.kind === 'fatal') {
          fatal = reply;
        } else {
          this.#pending.get(reply.id)?.resolve(reply);
          this.#pending.delete(reply.id);
        }
      });
      child.on('error', reject);
      child.on('close', (code, signal) => {
        if (this.#child !== child) return;
        this.#isReady = false;
        this.#child = undefined;
        for (const waiting of this.#pending.values()) waiting.reject(unavailable());
        this.#pending.clear();
        if (!isOpen) {
          reject(startError(fatal, said));
        } else if (this.#closing === undefined) {
          this.#options.onChildLost?.(`exit code ${code}, signal ${signal}: ${said.trim()}`);
          void this.#restart();
        }
      });
    });
  }

  async #restart(): Promise<void> {
    let delayMs = FIRST_RESTART_MS;
    while (this.#closing === undefined) {
      try {
        await sleep(delayMs, undefined, { signal: this.#stopRestarts.signal });
        await this.#startChild();
        return;
      } catch (error) {
        if (this.#stopRestarts.signal.aborted) return;
        this.#options.onChildLost?.(error instanceof Error ? error.message : String(error));
        delayMs = Math.min(delayMs * 2, MAX_RESTART_MS);
      }
    }
  }

  async #close(): Promise<void> {
    this.#stopRestarts.abort();
    const deadline = sleep(CLOSE_DEADLINE_MS, undefined, { ref: false });
    await Promise.race([this.#settled(), deadline]);
    const child = this.#child;
    if (child === undefined) return;
    const gone = new Promise<void>((resolve) => child.once('close', () => resolve()));
    this.#post({ kind: 'close' });
    const isGone = await Promise.race([gone.then(() => true), sleep(CLOSE_DEADLINE_MS, false, { ref: false })]);
    if (!isGone) {
      child.kill('SIGKILL'); // all that was answered is synced
      await gone;
    }
  }

  /** Blocks go in; queries that still run are stopped. */
  async #settled(): Promise<void> {
    const all = [...this.#pending].map(
      ([id, waiting]) =>
        new Promise<void>((resolve) => {
          this.#pending.set(id, {
            resolve: (reply) => {
              waiting.resolve(reply);
              resolve();
            },
            reject: (error) => {
              waiting.reject(error);
              resolve();
            },
          });
          this.#post({ kind: 'cancel', id });
        }),
    );
    await Promise.all(all);
  }

  #childPath(): string {
    if (this.#options.childPath !== undefined) return this.#options.childPath;
    const isSource = import.meta.url.endsWith('.ts');
    return fileURLToPath(new URL(isSource ? '../../../dist/store/chdb/child.js' : './child.js', import.meta.url));
  }
}

function fault(reason: QueryFault['reason'], message: string): QueryFault {
  return { kind: 'fault', reason, message };
}

function unavailable(): StoreUnavailable {
  return new StoreUnavailable('The store is starting or stopping; try again in a moment.');
}

function blockError(reply: Extract<ChildReply, { kind: 'failed' }>): Error {
  return reply.isTransient ? new StoreUnavailable(reply.message) : new BlockRefused(reply.message);
}

function startError(fatal: Extract<ChildReply, { kind: 'fatal' }> | undefined, said: string): Error {
  if (fatal?.reason === 'newer_version') return new StoreFromNewerVersion(fatal.message);
  if (fatal?.reason === 'in_use' && /lock/i.test(said)) {
    return new StoreInUse('Another Hedgerow uses this data folder; stop it first, or choose another with --data-dir.');
  }
  return new Error(`The store could not be opened: ${fatal?.message ?? ''} ${said.trim()}`.trim());
}

function plainParameters(
  parameters: QueryRequest['parameters'],
): Extract<ChildRequest, { kind: 'query' }>['parameters'] {
  return Object.fromEntries(
    Object.entries(parameters).map(([name, value]) => [
      name,
      typeof value === 'object' && value !== null ? [...value] : value,
    ]),
  );
}
