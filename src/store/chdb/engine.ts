/**
 * The engine inside the child process: opens the folder, migrates it, keeps the sessions, runs what is asked.
 *
 * Sessions: one for the loader's inserts and look-ups, one that is always free to stop the others, and a few
 * for readers, opened when first needed; readers that find none wait in order.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { passKillPoint } from '../../config/kill-point.ts';
import { migrationsFrom, prepareStatements, readVersionSql, recordSql, schemaVersion } from '../migrations.ts';
import { database, findUuidsSql, insertSql, internalDatabase } from '../schema.ts';
import { readUserSql, treeFault } from '../user-sql.ts';
import { isTransient, queryFault } from './engine-faults.ts';
import { MAX_ANSWER_BYTES, MAX_QUERY_TEXT_BYTES } from './engine-limits.ts';
import { EngineError, EngineSession } from './engine-session.ts';
import type { ChildOptions, ChildReply, ChildRequest } from './messages.ts';
import { syncTableFolders } from './sync-folders.ts';

const LOCK_RETRY_MS = 200;
const NEWLINE = 0x0a;

export class FatalStart extends Error {
  override readonly name = 'FatalStart';
  readonly reason: 'in_use' | 'newer_version' | 'failed';

  constructor(reason: 'in_use' | 'newer_version' | 'failed', message: string) {
    super(message);
    this.reason = reason;
  }
}

type QueryMessage = Extract<ChildRequest, { kind: 'query' }>;
type Send = (reply: ChildReply) => void;

export class Engine {
  readonly #options: ChildOptions;
  readonly #connectionArgs: readonly string[];
  readonly #writer: EngineSession;
  /** Opened when first needed. */
  #admin: Promise<EngineSession> | undefined;
  readonly #idleReaders: EngineSession[] = [];
  #openReaders = 0;
  readonly #waiting: ((reader: EngineSession) => void)[] = [];
  readonly #cancelled = new Set<number>();
  readonly #running = new Set<number>();

  private constructor(options: ChildOptions, connectionArgs: readonly string[], writer: EngineSession) {
    this.#options = options;
    this.#connectionArgs = connectionArgs;
    this.#writer = writer;
  }

  /** @throws FatalStart */
  static async open(options: ChildOptions): Promise<Engine> {
    const args = [
      `--max_server_memory_usage=${options.memoryBytes}`,
      '--mark_cache_size=67108864',
      '--index_mark_cache_size=16777216',
      '--primary_index_cache_size=67108864',
      '--query_condition_cache_size=16777216',
      '--compiled_expression_cache_size=33554432',
      '--asynchronous_metrics_update_period_s=60', // this and the next: less waking up when idle
      '--memory_worker_period_ms=250',
    ];
    const writer = await openWhenFree(options, args);
    try {
      await migrate(writer);
    } catch (error) {
      if (error instanceof FatalStart) throw error;
      throw new FatalStart('failed', error instanceof Error ? error.message : String(error));
    }
    syncTableFolders(options.dir);
    const engine = new Engine(options, args, writer);
    await prepare(writer);
    return engine;
  }

  async handle(request: Exclude<ChildRequest, { kind: 'close' }>, send: Send): Promise<void> {
    switch (request.kind) {
      case 'insert':
        return this.#onWriter(request.id, send, async () => {
          passKillPoint('store.before_insert');
          await this.#writer.run(insertSql(request.blockKind, request.file, request.token));
          passKillPoint('store.inserted');
          send({ kind: 'done', id: request.id });
          passKillPoint('store.answered');
        });
      case 'find':
        return this.#onWriter(request.id, send, async () => {
          const found = await this.#writer.run(`${findUuidsSql(request.file)}\n${ownSuffix({ timeoutMs: 60_000 })}`);
          const uuids = rowsOf(found).map((row) => ({
            projectId: Number(row[0]),
            uuid: String(row[1]),
            stream: String(row[2]),
            sequence: Number(row[3]),
          }));
          send({ kind: 'found', id: request.id, uuids });
        });
      case 'query':
        return this.#query(request, send);
      case 'cancel':
        return this.#cancel(request.id);
      default:
        throw new TypeError('a request that its type rules out', { cause: request satisfies never });
    }
  }

  close(): void {
    for (const session of [this.#writer, ...this.#idleReaders]) session.close();
    // The process ends next: what is still being opened goes with it.
  }

  async #onWriter(id: number, send: Send, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      send({ kind: 'failed', id, isTransient: isTransient(error), message: message.slice(0, 2000) });
    }
  }

  async #query(request: QueryMessage, send: Send): Promise<void> {
    const { id } = request;
    this.#running.add(id);
    const reader = request.isInternal ? this.#writer : await this.#takeReader();
    try {
      if (this.#cancelled.has(id)) throw new EngineError(394, 'cancelled while it waited');
      if (request.projectId === undefined) await this.#runOwn(request, reader, send);
      else await this.#runUser(request, request.projectId, reader, send);
    } catch (error) {
      send({ ...queryFault(error, request.sql, request.timeoutMs), id });
    } finally {
      this.#running.delete(id);
      this.#cancelled.delete(id);
      if (!request.isInternal) this.#giveBack(reader);
    }
  }

  async #runOwn(request: QueryMessage, session: EngineSession, send: Send): Promise<void> {
    const { id, sql, maxRows, timeoutMs } = request;
    if (/^\s*(select|with)\b/i.test(sql)) {
      const suffix = ownSuffix({ timeoutMs, tag: tagOf(id), maxRows });
      sendRows(await session.run(`${sql}\n${suffix}`, request.parameters), request, send);
    } else {
      await session.run(sql, request.parameters);
      send({ kind: 'rows', id, columns: [], types: [], rowsJson: '[]', rowCount: 0, hasMore: false });
    }
  }

  async #runUser(request: QueryMessage, projectId: number, session: EngineSession, send: Send): Promise<void> {
    const { id, maxRows, timeoutMs } = request;
    const refuse = (message: string): void => send({ kind: 'fault', id, reason: 'refused', message });
    const read = readUserSql(request.sql);
    if ('fault' in read) return refuse(read.fault);
    const parameters = request.parameters;
    let ast: string;
    try {
      // No FORMAT or SETTINGS here: EXPLAIN would take them for the user's.
      ast = Buffer.from(await session.run(`EXPLAIN AST ${read.text}`, parameters, 'TSVRaw')).toString('utf8');
    } catch (error) {
      const shift = 'EXPLAIN AST '.length;
      if (!(error instanceof EngineError)) throw error;
      throw new EngineError(
        error.code,
        error.message.replace(/position (\d+)/, (_, at: string) => `position ${Math.max(Number(at) - shift, 1)}`),
      );
    }
    const fault = treeFault(ast);
    if (fault !== undefined) return refuse(fault);
    const filter = `project_id = ${projectId}`;
    const suffix = ownSuffix({ timeoutMs, tag: tagOf(id), maxRows });
    // Filters must not be merged, with each other or with those that a join makes at run time: a user's condition would
    // be tried on rows that the project's filter shuts out, and could tell of them by failing (throwIf).
    const confined =
      `, additional_table_filters = {'${database}.events': '${filter}', '${database}.rejections': '${filter}', ` +
      `'${internalDatabase}.ledger': '${filter}'}, ` +
      `query_plan_merge_filters = 0, enable_join_runtime_filters = 0, allow_introspection_functions = 0, ` +
      `max_memory_usage = ${Math.floor(this.#options.memoryBytes * 0.6)}, ` +
      `max_bytes_before_external_group_by = ${Math.floor(this.#options.memoryBytes * 0.25)}, ` +
      `max_bytes_before_external_sort = ${Math.floor(this.#options.memoryBytes * 0.25)}, readonly = 1`;
    sendRows(await session.run(`${read.text}\n${suffix}${confined}`, parameters), request, send);
  }

  async #cancel(id: number): Promise<void> {
    if (!this.#running.has(id)) return;
    this.#cancelled.add(id);
    this.#admin ??= this.#openSession();
    const admin = await this.#admin;
    await admin.run(`KILL QUERY WHERE Settings['log_comment'] = '${tagOf(id)}' ASYNC`);
  }

  async #takeReader(): Promise<EngineSession> {
    const idle = this.#idleReaders.pop();
    if (idle !== undefined) return idle;
    if (this.#openReaders < this.#options.readers) {
      this.#openReaders += 1;
      try {
        return await this.#openSession();
      } catch (error) {
        this.#openReaders -= 1;
        throw error;
      }
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async #openSession(): Promise<EngineSession> {
    const opened = EngineSession.open(this.#options.dir, this.#connectionArgs);
    await prepare(opened);
    return opened;
  }

  #giveBack(reader: EngineSession): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#idleReaders.push(reader);
    else next(reader);
  }
}

async function openWhenFree(options: ChildOptions, args: readonly string[]): Promise<EngineSession> {
  const attempts = Math.ceil(options.lockWaitMs / LOCK_RETRY_MS);
  for (let attempt = 1; ; attempt++) {
    try {
      return EngineSession.open(options.dir, args);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      // The engine tells the reason on stderr only; a held lock is by far the most likely, so it is waited for first.
      if (attempt >= attempts) throw new FatalStart('in_use', message);
      await sleep(LOCK_RETRY_MS);
    }
  }
}

async function prepare(session: EngineSession): Promise<void> {
  await session.run(`USE ${database}`);
  await session.run(`SET max_query_size = ${MAX_QUERY_TEXT_BYTES}`);
}

async function migrate(session: EngineSession): Promise<void> {
  for (const statement of prepareStatements) await session.run(statement);
  const version = Number(rowsOf(await session.run(readVersionSql))[0]?.[0] ?? 0);
  const left = migrationsFrom(version);
  if ('newerVersion' in left) {
    throw new FatalStart(
      'newer_version',
      `The store has schema version ${left.newerVersion}; this Hedgerow knows versions up to ${schemaVersion}. ` +
        'A newer Hedgerow wrote it: start that one again.',
    );
  }
  for (const migration of left) {
    passKillPoint('migration.before');
    for (const statement of migration.statements) {
      await session.run(statement);
      passKillPoint('migration.between_statements');
    }
    passKillPoint('migration.before_note');
    await session.run(recordSql(migration));
    passKillPoint('migration.after');
  }
}

function tagOf(id: number): string {
  return `hedgerow-${process.pid}-${id}`;
}

interface SuffixOptions {
  readonly timeoutMs: number;
  readonly tag?: string;
  readonly maxRows?: number;
}

/** Format and settings behind a SELECT. They hold for the whole statement, a UNION included. */
function ownSuffix({ timeoutMs, tag, maxRows }: SuffixOptions): string {
  const format = maxRows === undefined ? 'JSONCompactEachRow' : 'JSONCompactEachRowWithNamesAndTypes';
  const tagged = tag === undefined ? '' : `, log_comment = '${tag}'`;
  const limited =
    maxRows === undefined ? '' : `, max_result_rows = ${Math.floor(maxRows) + 1}, result_overflow_mode = 'break'`;
  return (
    `FORMAT ${format} SETTINGS max_execution_time = ${Math.max(timeoutMs, 1) / 1000}${tagged}${limited}, ` +
    `output_format_json_quote_64bit_integers = 0, ` +
    `output_format_json_quote_decimals = 0, output_format_json_escape_forward_slashes = 0, ` +
    `output_format_json_validate_utf8 = 1, date_time_output_format = 'iso', session_timezone = 'UTC', ` +
    // Properties are of a dynamic type, and people group and sort by them.
    `allow_suspicious_types_in_group_by = 1, allow_suspicious_types_in_order_by = 1`
  );
}

function rowsOf(answer: Uint8Array): unknown[][] {
  const lines = Buffer.from(answer).toString('utf8').split('\n');
  return lines.filter((line) => line !== '').map((line): unknown[] => asArray(JSON.parse(line)));
}

function asArray(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw new TypeError('the engine answered with something else than rows');
  return value;
}

/** The engine's lines are names, types, then a row each; a newline within a value is escaped. */
function sendRows(answer: Uint8Array, request: QueryMessage, send: Send): void {
  const { id, maxRows } = request;
  if (answer.byteLength > MAX_ANSWER_BYTES) {
    const message = `The answer is larger than ${MAX_ANSWER_BYTES} bytes; ask for fewer rows or columns.`;
    send({ kind: 'fault', id, reason: 'memory', message });
    return;
  }
  const bytes = Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength);
  const namesEnd = bytes.indexOf(NEWLINE);
  const typesEnd = bytes.indexOf(NEWLINE, namesEnd + 1);
  const columns = asArray(JSON.parse(bytes.toString('utf8', 0, namesEnd))).map(String);
  const types = asArray(JSON.parse(bytes.toString('utf8', namesEnd + 1, typesEnd))).map(String);
  let rowCount = 0;
  let at = typesEnd + 1;
  let hasMore = false;
  while (at < bytes.length) {
    if (rowCount === maxRows) {
      hasMore = true;
      break;
    }
    const lineEnd = bytes.indexOf(NEWLINE, at);
    rowCount += 1;
    if (lineEnd < 0) {
      at = bytes.length + 1;
      break;
    }
    bytes[lineEnd] = 0x2c;
    at = lineEnd + 1;
  }
  const rowsJson = rowCount === 0 ? '[]' : `[${bytes.toString('utf8', typesEnd + 1, at - 1)}]`;
  send({ kind: 'rows', id, columns, types, rowsJson, rowCount, hasMore });
}
