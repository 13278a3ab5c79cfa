/** What the loader tells whoever counts. Called once a block; cheap, and never throws. */
export interface LoaderStats {
  /** A block is in the store, synced. Replays after a crash are counted apart, so these add up. */
  loaded(block: LoadedBlock): void;
  /** The store was away or refused; the block will be tried again. */
  retrying(reason: string, attempt: number): void;
}

/** What is durable and not yet loaded, over all streams. */
export interface LoaderLag {
  readonly records: number;
  /** How long ago the oldest of them was received, ms; 0 when there is none. One not read yet: since the look before. */
  readonly oldestMs: number;
}

export interface LoadedBlock {
  readonly stream: string;
  /** Events that are new in the store. */
  readonly stored: number;
  /** Events whose uuid was there, or came earlier in the same block: not stored again. */
  readonly duplicates: number;
  /** Events that an earlier run had stored, before it could say so. */
  readonly replayed: number;
  readonly rejections: number;
  /** Events whose properties needed repair, or could be kept as raw text alone because the engine refused the row. */
  readonly repaired: number;
  readonly rawOnly: number;
  readonly durationMs: number;
}

export const noStats: LoaderStats = { loaded: () => undefined, retrying: () => undefined };
