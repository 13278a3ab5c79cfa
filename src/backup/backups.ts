/**
 * Makes backups of the data folder that this process serves, one at a time.
 *
 * Guarantees
 *   G1  What was acknowledged before it began is in it: in the store's part, or in the log's, which the next start loads.
 *   G2  Log and store are of one moment: the loader is held while the log is copied and the store's parts are frozen, so
 *       the log begins where the store ends. Capture is not held.
 *   G3  A backup has its name only when all of it is on the medium, each file's SHA-256 in its manifest.
 * Order    hold the loader -> copy the log -> freeze the store -> copy the registry -> let the loader go -> link or copy
 *          the parts, hash and sync everything -> manifest -> rename. The registry comes last: it knows every project
 *          that the log names.
 * Failure  What was begun is removed, and the reason is kept for whoever asks. A process that dies leaves a folder named
 *          `<name>.partial-…` beside the target, and a snapshot, which the next start removes.
 */
import { lstat, mkdir, mkdtemp, open, readdir, readlink, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import type { Clock } from '../event/clock.ts';
import type { EpochMs } from '../event/ids.ts';
import { doFileWork, type FileTask } from './file-work.ts';
import type { LoaderGate } from './loader-gate.ts';
import {
  BACKUP_FORMAT,
  bytesOf,
  MANIFEST_FILE,
  pendingOf,
  type BackupFile,
  type BackupLink,
  type Manifest,
  type StoreCounts,
} from './manifest.ts';
import type { BackupParts, HeldFile } from './parts.ts';

/** How long the loader may take over what it has in hand. */
const HOLD_MS = 30_000;

export interface BackupSummary {
  readonly files: number;
  readonly bytes: number;
  readonly counts: StoreCounts;
  /** Acknowledged and not in the store yet: the backup's log brings them. */
  readonly pending: number;
}

export type BackupState =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'running';
      readonly dir: string;
      readonly beganAtMs: EpochMs;
      readonly step: 'log and store' | 'files';
      readonly doneFiles: number;
      readonly totalFiles: number;
    }
  | { readonly kind: 'done'; readonly dir: string; readonly beganAtMs: EpochMs; readonly summary: BackupSummary }
  | { readonly kind: 'failed'; readonly dir: string; readonly beganAtMs: EpochMs; readonly reason: string };

export interface BackupNeeds {
  readonly gate: LoaderGate;
  readonly parts: BackupParts;
  readonly clock: Clock;
  readonly dataDir: string;
  readonly hedgerowVersion: string;
  readonly schemaVersion: number;
  readonly onDone: (dir: string, summary: BackupSummary) => void;
  readonly onFailed: (dir: string, error: unknown) => void;
}

export class Backups {
  readonly #needs: BackupNeeds;
  readonly #stopping = new AbortController();
  #state: BackupState = { kind: 'none' };
  #running: Promise<void> | undefined;

  private constructor(needs: BackupNeeds) {
    this.#needs = needs;
  }

  static async open(needs: BackupNeeds): Promise<Backups> {
    await needs.parts.clearSnapshots();
    return new Backups(needs);
  }

  /** Of the newest backup. */
  state(): BackupState {
    return this.#state;
  }

  /** @returns undefined when it has begun; else what `dir` must be */
  async begin(dir: string): Promise<string | undefined> {
    if (this.#running !== undefined) {
      return this.#state.kind === 'running' && this.#state.dir === dir
        ? undefined
        : 'given again later: another backup is under way';
    }
    const expected = await targetProblem(dir, this.#needs.dataDir);
    if (expected !== undefined || this.#running !== undefined) return expected;
    const beganAtMs = this.#needs.clock.nowMs();
    this.#state = { kind: 'running', dir, beganAtMs, step: 'log and store', doneFiles: 0, totalFiles: 0 };
    this.#running = this.#run(dir, beganAtMs).finally(() => {
      this.#running = undefined;
    });
    return undefined;
  }

  /** Ends a backup that is under way; nothing of it is left. Idempotent. */
  async close(): Promise<void> {
    this.#stopping.abort(new Error('the server was stopped'));
    await this.#running;
  }

  async #run(dir: string, beganAtMs: EpochMs): Promise<void> {
    let staging: string | undefined;
    try {
      staging = await mkdtemp(`${dir}.partial-`);
      const summary = await this.#make(staging, dir, beganAtMs);
      this.#state = { kind: 'done', dir, beganAtMs, summary };
      this.#needs.onDone(dir, summary);
    } catch (error) {
      if (staging !== undefined) await rm(staging, { recursive: true, force: true }).catch(() => undefined);
      const reason = error instanceof Error ? error.message : String(error);
      this.#state = { kind: 'failed', dir, beganAtMs, reason };
      this.#needs.onFailed(dir, error);
    }
  }

  async #make(staging: string, dir: string, beganAtMs: EpochMs): Promise<BackupSummary> {
    const { gate, parts, clock } = this.#needs;
    const { signal } = this.#stopping;
    const store = join(staging, 'store');
    const release = await gate.hold(HOLD_MS, signal);
    let snapshot: Awaited<ReturnType<BackupParts['freezeStore']>> | undefined;
    try {
      let streams: Manifest['streams'];
      try {
        signal.throwIfAborted();
        streams = [...(await parts.copyLog(join(staging, 'log'), signal))];
        signal.throwIfAborted();
        snapshot = await parts.freezeStore(store);
        await parts.copyRegistry(join(staging, 'registry'));
      } finally {
        release();
      }
      const { files, links } = await this.#copyFiles({ staging, store, dir, beganAtMs, held: snapshot.files });
      const { hedgerowVersion, schemaVersion } = this.#needs;
      const manifest: Manifest = {
        format: BACKUP_FORMAT,
        hedgerowVersion,
        schemaVersion,
        beganAt: new Date(beganAtMs).toISOString(),
        finishedAt: new Date(clock.nowMs()).toISOString(),
        counts: snapshot.counts,
        streams,
        files,
        links,
      };
      signal.throwIfAborted();
      await writeSynced(join(staging, MANIFEST_FILE), `${JSON.stringify(manifest, undefined, 1)}\n`);
      await syncFolder(staging);
      await rename(staging, dir);
      await syncFolder(dirname(dir));
      return { files: files.length, bytes: bytesOf(manifest), counts: snapshot.counts, pending: pendingOf(manifest) };
    } finally {
      await snapshot?.release();
    }
  }

  async #copyFiles(from: {
    readonly staging: string;
    readonly store: string;
    readonly dir: string;
    readonly beganAtMs: EpochMs;
    readonly held: readonly HeldFile[];
  }): Promise<{ files: BackupFile[]; links: BackupLink[] }> {
    const { staging, store, dir, beganAtMs, held } = from;
    const there = await listTree(staging);
    const tasks: FileTask[] = [
      ...there.files.map((path) => ({ from: undefined, to: join(staging, path), how: 'copy' }) as const),
      ...held.map((file) => ({ from: file.from, to: join(store, file.path), how: 'link' }) as const),
    ];
    const folders = [...new Set(held.map((file) => dirname(join(store, file.path))))];
    const known = new Set([...there.folders.map((path) => join(staging, path)), ...folders]);
    // With those between: a folder is found again after a power cut only when the one that holds it was synced.
    for (const folder of folders) {
      for (let at = folder; at.startsWith(store + sep); at = dirname(at)) known.add(at);
    }
    const foldersToSync = [...known].toSorted((a, b) => b.length - a.length);
    const told = { kind: 'running', dir, beganAtMs, step: 'files', totalFiles: tasks.length } as const;
    this.#state = { ...told, doneFiles: 0 };
    const results = await doFileWork(
      { tasks, folders, foldersToSync },
      ({ doneFiles }) => {
        this.#state = { ...told, doneFiles };
      },
      this.#stopping.signal,
    );
    const files = tasks.map(({ to = '' }, index) => {
      const { bytes = 0, sha256 = '' } = results[index] ?? {};
      return { path: relative(staging, to).replaceAll(sep, '/'), bytes, sha256 };
    });
    return { files, links: there.links };
  }
}

/** @returns what `dir` must be, when it cannot take a backup; it is made when the backup is whole */
async function targetProblem(dir: string, dataDir: string): Promise<string | undefined> {
  if (!isAbsolute(dir) || resolve(dir) !== dir) return 'an absolute path on the machine of the server';
  const fromData = relative(resolve(dataDir), dir);
  if (!fromData.startsWith('..') && !isAbsolute(fromData)) return 'a path outside the data folder';
  try {
    if (!(await lstat(dirname(dir))).isDirectory()) return 'a path in a folder';
    const entries = await readdir(dir).catch((error: unknown) => {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
      throw error;
    });
    return entries.length === 0 ? undefined : `a new or empty folder; ${basename(dir)} holds something`;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return `a path that the server can write to, in a folder that exists (${reason})`;
  }
}

interface Tree {
  /** Relative, with `/`. */
  readonly files: string[];
  readonly folders: string[];
  readonly links: BackupLink[];
}

export async function listTree(root: string): Promise<Tree> {
  const tree: Tree = { files: [], folders: [''], links: [] };
  const walk = async (below: string): Promise<void> => {
    for (const entry of (await readdir(join(root, below), { withFileTypes: true })).toSorted(byName)) {
      const path = below === '' ? entry.name : `${below}/${entry.name}`;
      if (entry.isDirectory()) {
        tree.folders.push(path);
        await walk(path);
      } else if (entry.isSymbolicLink()) {
        tree.links.push({ path, to: (await readlink(join(root, path))).replaceAll(sep, '/') });
      } else tree.files.push(path);
    }
  };
  await walk('');
  return tree;
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}

async function writeSynced(path: string, text: string): Promise<void> {
  await writeFile(path, text, { mode: 0o600, flush: true });
}

export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** With its parents, each new name synced. */
export async function makeFolder(path: string): Promise<void> {
  const made = await mkdir(path, { recursive: true, mode: 0o700 });
  if (made !== undefined) await syncFolder(dirname(made));
}
