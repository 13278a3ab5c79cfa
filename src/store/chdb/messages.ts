/** What the store and its child process say to each other. Blocks travel as files, not as messages. */
import { z } from 'zod';

export const childOptions = z.strictObject({
  /** The engine's own folder. */
  dir: z.string(),
  memoryBytes: z.number(),
  readers: z.number(),
  lockWaitMs: z.number(),
});
export type ChildOptions = z.infer<typeof childOptions>;

const parameter = z.union([
  z.string(),
  z.number(),
  z.bigint(),
  z.boolean(),
  z.null(),
  z.array(z.union([z.string(), z.number()])),
]);

const id = z.number();

export const childRequest = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('insert'),
    id,
    blockKind: z.enum(['event_columns', 'events', 'rejections', 'duplicates', 'ledger']),
    file: z.string(),
    token: z.string(),
  }),
  z.strictObject({ kind: z.literal('find'), id, file: z.string() }),
  z.strictObject({
    kind: z.literal('query'),
    id,
    sql: z.string(),
    parameters: z.record(z.string(), parameter),
    timeoutMs: z.number(),
    maxRows: z.number(),
    /** undefined: our own SQL. */
    projectId: z.number().optional(),
    /** A short look-up of the loader, which must not wait behind users' queries. */
    isInternal: z.boolean(),
  }),
  z.strictObject({ kind: z.literal('cancel'), id }),
  z.strictObject({ kind: z.literal('close') }),
]);
export type ChildRequest = z.infer<typeof childRequest>;

export const faultReasons = ['invalid', 'refused', 'timeout', 'memory', 'unavailable'] as const;

export const childReply = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('ready') }),
  /** The child ends after it. */
  z.strictObject({
    kind: z.literal('fatal'),
    reason: z.enum(['in_use', 'newer_version', 'failed']),
    message: z.string(),
  }),
  z.strictObject({ kind: z.literal('done'), id }),
  z.strictObject({ kind: z.literal('failed'), id, isTransient: z.boolean(), message: z.string() }),
  z.strictObject({
    kind: z.literal('found'),
    id,
    uuids: z.array(
      z.strictObject({ projectId: z.number(), uuid: z.string(), stream: z.string(), sequence: z.number() }),
    ),
  }),
  z.strictObject({
    kind: z.literal('rows'),
    id,
    columns: z.array(z.string()),
    types: z.array(z.string()),
    rowsJson: z.string(),
    rowCount: z.number(),
    hasMore: z.boolean(),
  }),
  z.strictObject({ kind: z.literal('fault'), id, reason: z.enum(faultReasons), message: z.string() }),
]);
export type ChildReply = z.infer<typeof childReply>;
