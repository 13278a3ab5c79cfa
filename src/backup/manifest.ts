/**
 * What a backup says of itself: `manifest.json`, the last file that is written.
 *
 * Layout of a backup
 *   manifest.json     this
 *   log/              a folder a stream: what the store had not yet, as segments
 *   registry/         projects, keys (personal ones as hashes), limits
 *   store/engine/     the store's parts and its tables
 */
import { z } from 'zod';

export const MANIFEST_FILE = 'manifest.json';
/** The one that is written; older ones are read. */
export const BACKUP_FORMAT = 1;

const count = z.number().int().nonnegative();

/** Of every project. `stored` and `duplicate` as the ledger counts them, `events` as they lie in the store. */
const counts = z.strictObject({
  events: count,
  rejections: count,
  ledger: z.strictObject({ received: count, accepted: count, stored: count, duplicate: count, rejected: count }),
});
export type StoreCounts = z.infer<typeof counts>;

/** `[committed, end)` is what the backup's log brings and its store has not. */
const stream = z.strictObject({ stream: z.string().regex(/^[A-Za-z0-9-]{1,64}$/), committed: count, end: count });
export type CopiedStream = z.infer<typeof stream>;

/** A path below the backup's folder, with `/`, that leads nowhere else. */
const path = z
  .string()
  .max(4096)
  .refine((text) => isInside(text), 'a path inside the backup');

const file = z.strictObject({
  path,
  bytes: count,
  /** Hexadecimal. */
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
export type BackupFile = z.infer<typeof file>;

/** A symbolic link of the engine's; `to` is relative to the link's own folder. */
const link = z.strictObject({ path, to: z.string().max(4096) }).refine(({ path: from, to }) => {
  const parts = from.split('/').slice(0, -1);
  for (const part of to.split('/')) {
    if (part === '..') {
      if (parts.pop() === undefined) return false;
    } else parts.push(part);
  }
  return isInside(parts.join('/'));
}, 'a link inside the backup');
export type BackupLink = z.infer<typeof link>;

export const manifestSchema = z.strictObject({
  format: z.literal(BACKUP_FORMAT),
  hedgerowVersion: z.string(),
  schemaVersion: count,
  /** What was acknowledged before this is in it. ISO 8601. */
  beganAt: z.iso.datetime(),
  finishedAt: z.iso.datetime(),
  counts,
  streams: z.array(stream),
  files: z.array(file),
  links: z.array(link),
});
export type Manifest = z.infer<typeof manifestSchema>;

function isInside(text: string): boolean {
  return (
    !text.startsWith('/') &&
    !/[\\\0]/.test(text) &&
    text.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
  );
}

/** Records that the backup's log brings. */
export function pendingOf(manifest: Pick<Manifest, 'streams'>): number {
  return manifest.streams.reduce((sum, { committed, end }) => sum + Math.max(0, end - committed), 0);
}

export function bytesOf(manifest: Pick<Manifest, 'files'>): number {
  return manifest.files.reduce((sum, { bytes }) => sum + bytes, 0);
}
