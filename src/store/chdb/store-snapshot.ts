/**
 * The store as of one moment. The engine's FREEZE gives each part, which never changes, a second name below `shadow/`; so
 * it takes milliseconds, whatever the size. What may change, the tables' definitions and what is still to be done to
 * parts, is a few small files, copied at once.
 *
 * Left out  `deduplication_logs`: the loader asks for uuids and for the ledger's reach, and needs no token. Deduplication
 *           tokens only spare it that work.
 */
import { cp, copyFile, lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { database, internalDatabase } from '../schema.ts';
import type { Store } from '../store.ts';

/** No hyphen: the engine writes other characters than letters, digits and underscores in another way. */
const PREFIX = 'hedgerow_backup_';
const TIMEOUT_MS = 60_000;
const KEPT_FILES = /^(?:format_version\.txt|mutation_\d+\.txt|.*\.sql)$/;

export interface FrozenCounts {
  readonly events: number;
  readonly rejections: number;
  readonly ledger: {
    readonly received: number;
    readonly accepted: number;
    readonly stored: number;
    readonly duplicate: number;
    readonly rejected: number;
  };
}

export interface FrozenStore {
  readonly counts: FrozenCounts;
  readonly files: readonly { readonly from: string; readonly path: string }[];
  release(): Promise<void>;
}

export interface FreezeSettings {
  readonly store: Store;
  /** As `ChdbStoreOptions.dir`. */
  readonly dir: string;
  /** Where the tables' definitions go; the parts belong beside them, at `FrozenStore.files`' paths. */
  readonly to: string;
  /** Names the snapshot: letters, digits, underscores. */
  readonly name: string;
}

/** Nothing may be inserted meanwhile. @throws Error in the engine's words */
export async function freezeChdb({ store, dir, to, name }: FreezeSettings): Promise<FrozenStore> {
  const engine = join(dir, 'engine');
  const shadow = join(engine, 'shadow', `${PREFIX}${name}`);
  const release = (): Promise<void> => rm(shadow, { recursive: true, force: true });
  try {
    const tables = z.array(z.tuple([z.string(), z.string()])).parse(
      await rows(
        store,
        `SELECT database, name FROM system.tables
          WHERE database IN ('${database}', '${internalDatabase}') AND engine LIKE '%MergeTree'`,
      ),
    );
    for (const [inDatabase, table] of tables) {
      await rows(store, `ALTER TABLE ${inDatabase}.${table} FREEZE WITH NAME '${PREFIX}${name}'`);
    }
    const counts = await countStore(store);
    await copyDefinitions(engine, join(to, 'engine'));
    const files = await partFiles(join(shadow, 'store'), 'engine/store');
    if (files.length === 0 && counts.events > 0) throw new Error(`the engine froze nothing in ${shadow}`);
    return { counts, files, release };
  } catch (error) {
    await release();
    throw error;
  }
}

/** Also of processes that died. */
export async function clearFrozen(dir: string): Promise<void> {
  const shadow = join(dir, 'engine', 'shadow');
  for (const name of await readdir(shadow).catch(() => [])) {
    if (name.startsWith(PREFIX)) await rm(join(shadow, name), { recursive: true, force: true });
  }
}

export async function countStore(store: Store): Promise<FrozenCounts> {
  const [[events, rejections] = [0, 0]] = z
    .array(z.tuple([z.number(), z.number()]))
    .parse(
      await rows(
        store,
        `SELECT (SELECT count() FROM ${database}.events), (SELECT count() FROM ${database}.rejections)`,
      ),
    );
  const number = z.number();
  const [[received, accepted, stored, duplicate, rejected] = [0, 0, 0, 0, 0]] = z
    .array(z.tuple([number, number, number, number, number]))
    .parse(
      await rows(
        store,
        `SELECT sum(received), sum(accepted), sum(stored), sum(duplicate), sum(arraySum(mapValues(rejected_by_code)))
          FROM ${internalDatabase}.ledger`,
      ),
    );
  return { events, rejections, ledger: { received, accepted, stored, duplicate, rejected } };
}

async function rows(store: Store, sql: string): Promise<unknown> {
  const limits = { timeoutMs: TIMEOUT_MS, maxRows: 10_000 };
  const answer = await store.query({ sql, parameters: {}, limits, signal: undefined });
  if (answer.kind === 'fault') throw new Error(`the store answered: ${answer.message}`);
  return JSON.parse(answer.rowsJson);
}

/** `metadata/` and `data/` as they are, and of `store/` what is no part. */
async function copyDefinitions(engine: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true, mode: 0o700 });
  for (const name of ['metadata', 'data']) {
    await cp(join(engine, name), join(to, name), { recursive: true, verbatimSymlinks: true });
  }
  for (const prefix of await readdir(join(engine, 'store'))) {
    for (const id of await readdir(join(engine, 'store', prefix))) {
      const folder = join(engine, 'store', prefix, id);
      const target = join(to, 'store', prefix, id);
      await mkdir(target, { recursive: true, mode: 0o700 });
      for (const file of await readdir(folder)) {
        if (!KEPT_FILES.test(file)) continue;
        await copyFile(join(folder, file), join(target, file)).catch((error: unknown) => {
          // Done and removed meanwhile: the parts that were frozen before are to be changed again, or were.
          if (!(file.startsWith('mutation_') && error instanceof Error && 'code' in error && error.code === 'ENOENT'))
            throw error;
        });
      }
    }
  }
}

async function partFiles(folder: string, path: string): Promise<{ from: string; path: string }[]> {
  const found: { from: string; path: string }[] = [];
  const walk = async (at: string, below: string): Promise<void> => {
    for (const name of await readdir(at)) {
      const from = join(at, name);
      if ((await lstat(from)).isDirectory()) await walk(from, `${below}/${name}`);
      else found.push({ from, path: `${below}/${name}` });
    }
  };
  // Nothing was ever stored: there is no part to freeze.
  const hasParts = await lstat(folder).then(
    () => true,
    () => false,
  );
  if (hasParts) await walk(folder, path);
  return found;
}
