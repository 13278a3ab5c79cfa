/** What a backup is made of, in its own words: each engine brings its part (app.ts hands them over). */
import type { CopiedStream, StoreCounts } from './manifest.ts';

/** The store as of one moment, held until `release`. */
export interface StoreSnapshot {
  readonly counts: StoreCounts;
  /** What never changes any more: to be linked or copied to the same place below the backup's `store/`. */
  readonly files: readonly HeldFile[];
  release(): Promise<void>;
}

export interface HeldFile {
  /** Absolute. */
  readonly from: string;
  /** Below `store/`, with `/`. */
  readonly path: string;
}

export interface BackupParts {
  /** Copies what the store has not yet of each stream into the folder `to`; nothing may be committed meanwhile. */
  copyLog(to: string, signal: AbortSignal): Promise<readonly CopiedStream[]>;
  copyRegistry(to: string): Promise<void>;
  /** Writes what may change (the tables' definitions) to `to` at once. */
  freezeStore(to: string): Promise<StoreSnapshot>;
  /** Snapshots that a process which died has left: they keep deleted parts on the disk. */
  clearSnapshots(): Promise<void>;
}
