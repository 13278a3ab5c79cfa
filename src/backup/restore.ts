/**
 * Puts a backup into an empty data folder.
 *
 * Guarantees
 *   G1  Nothing is placed before every file of the backup has been read and has its SHA-256.
 *   G2  What was placed is read again, its store opened and counted, its log walked; then it gets its names. A folder in
 *       which that did not come to its end holds `restoring`, and no server starts on it.
 *   G3  The backup is only read.
 * Order    manifest -> verify -> copy to `restoring/` -> replay -> check -> rename -> remove `restoring/`.
 * Failure  RestoreRefused names the file or the number that is wrong; nothing is left in the data folder.
 */
import { mkdir, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { listTree, makeFolder, syncFolder } from './backups.ts';
import { doFileWork, FileWorkFailed } from './file-work.ts';
import {
  BACKUP_FORMAT,
  bytesOf,
  MANIFEST_FILE,
  manifestSchema,
  type BackupFile,
  type CopiedStream,
  type Manifest,
  type StoreCounts,
} from './manifest.ts';

/** While a data folder has it, what lies beside it is not whole. */
export const RESTORING = 'restoring';
const PLACES = ['store', 'log', 'registry'] as const;

/** One sentence for a person. */
export class RestoreRefused extends Error {
  override readonly name = 'RestoreRefused';
}

export interface RestoreParts {
  /** Opens the store below `dir`, migrates it, counts, closes. */
  countStore(dir: string): Promise<StoreCounts>;
  /** Walks each stream below `dir`. @throws Error that says what is damaged */
  checkLog(dir: string): Promise<readonly CopiedStream[]>;
  /** Adds to the log below `to` what that of the data folder `from` has beyond it, up to `untilMs`. */
  replayLog(from: string, to: string, untilMs: number | undefined): Promise<ReplayedLog>;
}

export interface ReplayedLog {
  /** Records that were added. */
  readonly records: number;
}

export interface RestoreNeeds {
  readonly backup: string;
  readonly dataDir: string;
  /** The data folder whose retained log goes on where the backup ends. */
  readonly replay: { readonly from: string; readonly untilMs: number | undefined } | undefined;
  readonly schemaVersion: number;
  readonly parts: RestoreParts;
  readonly onStep: (step: 'verifying' | 'copying' | 'checking', doneFiles: number, totalFiles: number) => void;
  readonly signal: AbortSignal;
}

export interface Restored {
  readonly manifest: Manifest;
  readonly bytes: number;
  readonly replayed: ReplayedLog | undefined;
}

/** @throws RestoreRefused */
export async function restoreBackup(needs: RestoreNeeds): Promise<Restored> {
  const { backup, dataDir } = needs;
  const manifest = await readManifest(backup, needs.schemaVersion);
  await assertEmpty(dataDir);
  await verifyFiles(needs, manifest);
  const restoring = join(dataDir, RESTORING);
  try {
    await makeFolder(dataDir);
    await rm(restoring, { recursive: true, force: true });
    await placeFiles(needs, manifest, restoring);
    const replayed =
      needs.replay === undefined
        ? undefined
        : await needs.parts.replayLog(needs.replay.from, join(restoring, 'log'), needs.replay.untilMs);
    await checkPlaced(needs, manifest, { restoring, replayed });
    for (const place of PLACES) await rename(join(restoring, place), join(dataDir, place));
    await syncFolder(dataDir);
    await rm(restoring, { recursive: true });
    await syncFolder(dataDir);
    return { manifest, bytes: bytesOf(manifest), replayed };
  } catch (error) {
    await rm(restoring, { recursive: true, force: true }).catch(() => undefined);
    for (const place of PLACES) await rm(join(dataDir, place), { recursive: true, force: true }).catch(() => undefined);
    throw asRefusal(error);
  }
}

async function readManifest(backup: string, schemaVersion: number): Promise<Manifest> {
  const path = join(backup, MANIFEST_FILE);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')))
      throw error;
    throw new RestoreRefused(`${backup} is no backup, or not a whole one: it has no ${MANIFEST_FILE}.`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new RestoreRefused(`${path} is damaged: it is no JSON. Restore another backup.`);
  }
  if (typeof value === 'object' && value !== null && 'format' in value && Number(value.format) > BACKUP_FORMAT) {
    throw new RestoreRefused(
      `The backup has format ${String(value.format)}; this Hedgerow reads up to ${BACKUP_FORMAT}. Use the release that made it, or a later one.`,
    );
  }
  const parsed = manifestSchema.safeParse(value);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new RestoreRefused(
      `${path} is damaged at ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}. Restore another backup.`,
    );
  }
  if (parsed.data.schemaVersion > schemaVersion) {
    throw new RestoreRefused(
      `The backup was made by Hedgerow ${parsed.data.hedgerowVersion}, whose store (schema ${parsed.data.schemaVersion}) this release does not know (it knows up to ${schemaVersion}). Use that release, or a later one.`,
    );
  }
  return parsed.data;
}

async function assertEmpty(dataDir: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(dataDir);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : '';
    if (code === 'ENOENT') return;
    if (code === 'ENOTDIR') throw new RestoreRefused(`${dataDir} is a file; a data folder is needed.`);
    throw error;
  }
  const others = names.filter((name) => name !== RESTORING && name !== 'lost+found');
  if (others.length === 0) return;
  throw new RestoreRefused(
    `The data folder ${dataDir} is not empty (it holds ${others.slice(0, 3).join(', ')}). A backup is restored into an empty one: choose another with --data-dir, or move this one away.`,
  );
}

async function verifyFiles({ backup, onStep, signal }: RestoreNeeds, { files, links }: Manifest): Promise<void> {
  const tree = await listTree(backup);
  const there = new Set(tree.files);
  const gone = files.filter(({ path }) => !there.has(path));
  if (gone.length > 0) {
    throw new RestoreRefused(
      `The backup is damaged: ${join(backup, gone[0]?.path ?? '')} is missing${gone.length > 1 ? `, and ${gone.length - 1} more` : ''}. Restore another backup.`,
    );
  }
  for (const { path, to } of links) {
    const found = tree.links.find((each) => each.path === path);
    if (found?.to !== to) {
      throw new RestoreRefused(
        `The backup is damaged: the link ${join(backup, path)} is missing or another. Restore another backup.`,
      );
    }
  }
  const tasks = files.map(({ path }) => ({ from: join(backup, path), to: undefined, how: 'copy' }) as const);
  const results = await doFileWork(
    { tasks, folders: [], foldersToSync: [] },
    ({ doneFiles }) => onStep('verifying', doneFiles, files.length),
    signal,
  );
  compare(files, results, (path) => `The backup is damaged: ${join(backup, path)}`);
}

function compare(
  files: readonly BackupFile[],
  results: readonly { readonly bytes: number; readonly sha256: string }[],
  said: (path: string) => string,
): void {
  for (const [index, file] of files.entries()) {
    const found = results[index];
    if (found?.bytes === file.bytes && found.sha256 === file.sha256) continue;
    const what =
      found?.bytes === file.bytes
        ? 'has another SHA-256 than its manifest says'
        : `has ${found?.bytes} bytes instead of ${file.bytes}`;
    throw new RestoreRefused(`${said(file.path)} ${what}. Nothing was restored.`);
  }
}

async function placeFiles(needs: RestoreNeeds, { files, links }: Manifest, restoring: string): Promise<void> {
  const { backup, onStep, signal } = needs;
  const tasks = files.map(
    ({ path }) => ({ from: join(backup, path), to: join(restoring, path), how: 'copy' }) as const, // its own bytes from now on
  );
  const folders = new Set<string>();
  for (const { path } of [...files, ...links]) {
    for (let at = dirname(join(restoring, path)); at.length >= restoring.length; at = dirname(at)) folders.add(at);
  }
  for (const place of PLACES) folders.add(join(restoring, place));
  const byDepth = [...folders].toSorted((a, b) => a.length - b.length);
  for (const folder of byDepth) await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const { path, to } of links) await symlink(to, join(restoring, path));
  const results = await doFileWork(
    { tasks, folders: [], foldersToSync: byDepth.toReversed() },
    ({ doneFiles }) => onStep('copying', doneFiles, files.length),
    signal,
  );
  compare(files, results, (path) => `${join(restoring, path)} was written, and`);
}

async function checkPlaced(
  { parts, onStep, schemaVersion }: RestoreNeeds,
  manifest: Manifest,
  { restoring, replayed }: { readonly restoring: string; readonly replayed: ReplayedLog | undefined },
): Promise<void> {
  const { files, streams, counts } = manifest;
  onStep('checking', files.length, files.length);
  const found = await parts.checkLog(join(restoring, 'log'));
  for (const stream of streams) {
    const placed = found.find((each) => each.stream === stream.stream);
    const isAsSaid =
      placed?.committed === stream.committed &&
      (placed.end === stream.end || (replayed !== undefined && placed.end >= stream.end));
    if (isAsSaid) continue;
    throw new RestoreRefused(
      `The log of the backup does not hold what its manifest says: stream ${stream.stream} should hold records ${stream.committed} to ${stream.end}.`,
    );
  }
  const placed = await parts.countStore(join(restoring, 'store'));
  const wrong = differences(counts, placed);
  if (wrong !== undefined)
    throw new RestoreRefused(`The restored store does not hold what the manifest says: ${wrong}.`);
  const { received, accepted, rejected, stored, duplicate } = placed.ledger;
  if (received !== accepted + rejected || accepted !== stored + duplicate) {
    throw new RestoreRefused(
      `The ledger of the backup is not balanced (schema ${schemaVersion}): received ${received}, accepted ${accepted}, rejected ${rejected}, stored ${stored}, duplicate ${duplicate}.`,
    );
  }
}

function differences(expected: StoreCounts, found: StoreCounts): string | undefined {
  const pairs: (readonly [string, number, number])[] = [
    ['events', expected.events, found.events],
    ['rejections', expected.rejections, found.rejections],
    ['received in the ledger', expected.ledger.received, found.ledger.received],
    ['accepted in the ledger', expected.ledger.accepted, found.ledger.accepted],
    ['stored in the ledger', expected.ledger.stored, found.ledger.stored],
    ['duplicate in the ledger', expected.ledger.duplicate, found.ledger.duplicate],
    ['rejected in the ledger', expected.ledger.rejected, found.ledger.rejected],
  ];
  const wrong = pairs.find(([, a, b]) => a !== b);
  return wrong === undefined ? undefined : `${wrong[2]} ${wrong[0]} instead of ${wrong[1]}`;
}

function asRefusal(error: unknown): unknown {
  if (error instanceof FileWorkFailed) {
    return new RestoreRefused(`The disk refused: ${error.message}. Nothing was restored.`);
  }
  return error;
}
