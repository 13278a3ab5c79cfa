import type { Clock, Timers } from '../../event/clock.ts';
import type { IdSource } from '../../event/id-source.ts';
import type { StreamId } from '../log.ts';
import type { Disk } from './disk.ts';

const MIB = 1 << 20;

export const DEFAULT_SEGMENT_BYTES = 32 * MIB;
export const DEFAULT_MAX_QUEUE_BYTES = 210 * MIB;
export const DEFAULT_MAX_QUEUE_AGE_MS = 10_000;
export const DEFAULT_RESERVE_BYTES = 128 * MIB;

export interface SegmentLogWriterSettings {
  /** Holds a folder for each stream. */
  readonly dir: string;
  readonly clock: Clock;
  readonly timers?: Timers | undefined;
  readonly ids: IdSource;
  /** Which stream to write; a free one of `dir`, or a new one, when undefined. */
  readonly stream?: StreamId | undefined;
  /** Size of a segment file, bytes, a multiple of 4096 from 64 KiB. Default 32 MiB. */
  readonly segmentBytes?: number | undefined;
  /** Appends that wait, bytes. Default 210 MiB. */
  readonly maxQueueBytes?: number | undefined;
  /** How long an append may wait before its write begins. Default 10 s. */
  readonly maxQueueAgeMs?: number | undefined;
  /** Left free on the volume, bytes: below it nothing is let in. Default 128 MiB. */
  readonly reserveBytes?: number | undefined;
  /** How long committed segments are kept, ms. Default 0: until the next look. */
  readonly retentionMs?: number | undefined;
  /** How often to look for room, and for appends that waited too long, ms. Default 1000. */
  readonly retryMs?: number | undefined;
  /** How often to look for committed segments to let go of, ms. Default 5000. */
  readonly tidyMs?: number | undefined;
  readonly disk?: Disk | undefined;
  /** Called after each group that became durable, before the receipts are seen. Must not throw. */
  readonly onDurable?: (() => void) | undefined;
  /** Called for each group that became durable. Must not throw. */
  readonly onGroup?: ((group: WrittenGroup) => void) | undefined;
  /** Told of what failed underneath, for the log. Must not throw. */
  readonly onFault?: ((fault: LogFault) => void) | undefined;
}

/** One synced write, and what shared it. */
export interface WrittenGroup {
  readonly frames: number;
  readonly bytes: number;
  /** The write and its sync, ms. */
  readonly writeMs: number;
}

/** What failed; the outcome for clients is in the refusals. `reserve`: nothing yet, but the room left is too little. */
export interface LogFault {
  readonly during: 'write' | 'new_segment' | 'spare' | 'watermark' | 'tidy' | 'reserve';
  readonly code: 'disk_full' | 'log_unavailable';
  readonly cause: unknown;
}
