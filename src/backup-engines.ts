/** The embedded engines' part in backup and restore: what `backup/` asks for in its own words. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Backups, type BackupNeeds } from './backup/backups.ts';
import type { LoaderGate } from './backup/loader-gate.ts';
import type { BackupParts } from './backup/parts.ts';
import type { RestoreParts } from './backup/restore.ts';
import { systemClock } from './event/clock.ts';
import { checkLogCopy, copyLog } from './log/segments/log-copy.ts';
import { replayLog } from './log/segments/log-replay.ts';
import { RecordView } from './record/record-view.ts';
import { copyLmdbRegistry } from './registry/lmdb/registry-copy.ts';
import { openChdbStore } from './store/chdb/chdb-store.ts';
import { clearFrozen, countStore, freezeChdb } from './store/chdb/store-snapshot.ts';
import { schemaVersion } from './store/migrations.ts';
import type { Store } from './store/store.ts';
import type { LogLines } from './telemetry/log-lines.ts';

export interface BackupEngines {
  readonly dataDir: string;
  readonly store: Store;
  readonly gate: LoaderGate;
  readonly log: LogLines;
}

/** For the process that runs the loader. */
export function openBackups({ dataDir, store, gate, log }: BackupEngines): Promise<Backups> {
  const storeDir = join(dataDir, 'store');
  let nextSnapshot = 1;
  const parts: BackupParts = {
    copyLog: (to, signal) => copyLog(join(dataDir, 'log'), to, signal),
    copyRegistry: (to) => copyLmdbRegistry(join(dataDir, 'registry'), to),
    freezeStore: (to) => {
      const name = `${process.pid}_${nextSnapshot}`;
      nextSnapshot += 1;
      return freezeChdb({ store, dir: storeDir, to, name });
    },
    clearSnapshots: () => clearFrozen(storeDir),
  };
  const needs: BackupNeeds = {
    gate,
    parts,
    clock: systemClock,
    dataDir,
    hedgerowVersion: hedgerowVersion(),
    schemaVersion,
    onDone: (dir, { files, bytes }) => log.info({ dir, files, bytes }, 'a backup was made'),
    onFailed: (dir, error) => log.error({ dir, err: error }, 'a backup failed; nothing of it is left'),
  };
  return Backups.open(needs);
}

export { schemaVersion };

/** For a data folder that no server runs on. */
export const restoreParts: RestoreParts = {
  countStore: async (dir) => {
    const store = await openChdbStore({ dir });
    try {
      return await countStore(store);
    } finally {
      await store.close();
    }
  },
  checkLog: (dir) => checkLogCopy(dir),
  replayLog: (from, to, untilMs) =>
    replayLog(join(from, 'log'), to, (bytes: Uint8Array) => wasReceivedBy(bytes, untilMs)),
};

/** The records of one request, which all have one time of arrival. */
function wasReceivedBy(bytes: Uint8Array, untilMs: number | undefined): boolean {
  if (untilMs === undefined) return true;
  const view = new RecordView(bytes);
  return view.next() && view.receivedAtMs <= untilMs;
}

function hedgerowVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest
    ? String(manifest.version)
    : 'unknown';
}
