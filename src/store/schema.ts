/**
 * The tables, and how a block becomes rows of them.
 *
 * `SELECT *` shows the columns of interface.md 4 alone. What Hedgerow keeps beside them (project, raw text, origin) are
 * MATERIALIZED columns: they answer by name, `*` leaves them out, and our inserts fill them
 * (`insert_allow_materialized_columns`). There are no partitions: a client chooses timestamps, and a block that spans a
 * hundred years would make a part a month. Tables that only Hedgerow reads lie in a database of their own, so that every
 * name without a dot in a user's SQL is one that a user may read.
 */
import type { BlockKind } from './store.ts';

export const database = 'hedgerow';
export const internalDatabase = 'hedgerow_internal';

/** Tables and views that a user's SQL may name. */
export const readableTables = ['events', 'rejections', 'persons', 'ledger'] as const;

/**
 * 256 paths become columns of their own, the rest share one: a client that invents keys costs speed, not memory.
 */
export const propertiesType = 'JSON(max_dynamic_paths=256)';

/** DateTime64(6) holds 1900 to 2299; instants outside become its ends. */
export const minStoredMs = Date.UTC(1900, 0, 1);
export const maxStoredMs = Date.UTC(2299, 11, 31, 23, 59, 59, 999);

/** `properties_state`: what `properties` holds next to `properties_raw`. */
export const propertiesStates = ['exact', 'repaired', 'raw_only'] as const;

/** Fixed for good: person ids are UUID v5 of `<project>:<distinct_id>` in it. */
export const personNamespace = '6f1d4a0e-5c57-5b0c-9d2e-3a0f8c1b7e42';

const instant = "DateTime64(6, 'UTC')";

/** What an event's row begins and ends with, whichever way its properties go in. */
const eventHead = [
  ['uuid', 'UUID'],
  ['event', 'String'],
  ['distinct_id', 'String'],
  ['timestamp', instant],
  ['received_at', instant],
  ['sent_at', `Nullable(${instant})`],
  ['ip', 'String'],
  ['authenticated', 'Bool'],
  ['request_id', 'UUID'],
  ['lib', 'String'],
  ['lib_version', 'String'],
  ['project_id', 'UInt32'],
  ['properties_raw', 'String'],
] as const;
const eventTail = [
  ['stream', 'String'],
  ['sequence', 'UInt64'],
  ['request_index', 'UInt32'],
  ['is_cookieless', 'Bool'],
  ['is_historical', 'Bool'],
] as const;

/** Columns of a block's row, in order; `EventRows` writes them. `mode`: 1 leaves `properties` empty. */
export const eventInput = [...eventHead, ['repaired', 'String'], ['mode', 'UInt8'], ...eventTail] as const;

/** Columns of a block whose properties are taken apart already, in order; `EventColumns` writes them. */
export const eventColumnsInput = [...eventHead, ...eventTail, ['properties', propertiesType]] as const;

/** As `eventInput`; `RejectionRows` writes them. */
export const rejectionInput = [
  ['request_id', 'UUID'],
  ['index', 'UInt32'],
  ['received_at', instant],
  ['code', 'String'],
  ['detail', 'String'],
  ['uuid', 'Nullable(UUID)'],
  ['raw', 'String'],
  ['project_id', 'UInt32'],
  ['ip', 'String'],
  ['authenticated', 'Bool'],
  ['stream', 'String'],
  ['sequence', 'UInt64'],
  ['sent_at', `Nullable(${instant})`],
  ['is_historical', 'Bool'],
] as const;

/** As `eventInput`; `DuplicateRows` writes them. */
export const duplicateInput = [
  ['project_id', 'UInt32'],
  ['uuid', 'UUID'],
  ['request_id', 'UUID'],
  ['request_index', 'UInt32'],
  ['received_at', instant],
  ['stream', 'String'],
  ['sequence', 'UInt64'],
] as const;

/** As `eventInput`; `LedgerRows` writes them. */
export const ledgerInput = [
  ['project_id', 'UInt32'],
  ['minute', "DateTime('UTC')"],
  ['stream', 'String'],
  ['epoch', 'UInt32'],
  ['received', 'UInt64'],
  ['accepted', 'UInt64'],
  ['stored', 'UInt64'],
  ['duplicate', 'UInt64'],
  ['rejected_by_code', 'Map(String, UInt64)'],
  ['first_sequence', 'UInt64'],
  ['reached', 'Tuple(UInt64, UUID)'],
] as const;

/** Our own table settings: a block is synced when its insert returns, and an insert of a known token does nothing. */
const durable = 'non_replicated_deduplication_window = 1000, fsync_after_insert = 1, fsync_part_directory = 1';

/**
 * A wide part of a `JSON` column is hundreds of files, each synced: half of what loading costs. So blocks stay compact
 * (one file), and merges make them wide once they are large enough that reading a column by itself pays.
 */
const compactUpTo = 'min_bytes_for_wide_part = 67108864';

export const createStatements: readonly string[] = [
  `CREATE TABLE IF NOT EXISTS ${database}.events (
    uuid UUID,
    event LowCardinality(String),
    distinct_id String,
    person_id UUID,
    timestamp ${instant} CODEC(Delta, ZSTD(1)),
    received_at ${instant} CODEC(Delta, ZSTD(1)),
    sent_at Nullable(${instant}),
    properties ${propertiesType},
    ip String,
    authenticated Bool,
    request_id UUID,
    lib LowCardinality(String),
    lib_version LowCardinality(String),
    project_id UInt32 MATERIALIZED 0,
    properties_raw String MATERIALIZED '' CODEC(ZSTD(1)),
    properties_state Enum8('exact' = 0, 'repaired' = 1, 'raw_only' = 2) MATERIALIZED 'exact',
    stream LowCardinality(String) MATERIALIZED '',
    sequence UInt64 MATERIALIZED 0 CODEC(Delta, ZSTD(1)),
    request_index UInt32 MATERIALIZED 0,
    is_cookieless Bool MATERIALIZED false,
    is_historical Bool MATERIALIZED false,
    INDEX by_request request_id TYPE bloom_filter(0.01) GRANULARITY 1,
    PROJECTION by_uuid (SELECT project_id, uuid, timestamp, stream, sequence ORDER BY project_id, uuid)
  ) ENGINE = MergeTree ORDER BY (project_id, timestamp) SETTINGS ${compactUpTo}, ${durable}`,
  `CREATE TABLE IF NOT EXISTS ${database}.rejections (
    request_id UUID,
    \`index\` UInt32,
    received_at ${instant} CODEC(Delta, ZSTD(1)),
    code LowCardinality(String),
    detail String,
    event String,
    distinct_id String,
    uuid Nullable(UUID),
    raw String CODEC(ZSTD(1)),
    project_id UInt32 MATERIALIZED 0,
    ip String MATERIALIZED '',
    authenticated Bool MATERIALIZED false,
    stream LowCardinality(String) MATERIALIZED '',
    sequence UInt64 MATERIALIZED 0 CODEC(Delta, ZSTD(1))
  ) ENGINE = MergeTree ORDER BY (project_id, received_at) SETTINGS ${durable}`,
  // Copies of events that were there already. A replay writes a row again, under the same key: read with FINAL.
  `CREATE TABLE IF NOT EXISTS ${internalDatabase}.duplicates (
    project_id UInt32,
    uuid UUID,
    request_id UUID,
    request_index UInt32,
    received_at ${instant},
    stream LowCardinality(String),
    sequence UInt64,
    INDEX by_request request_id TYPE bloom_filter(0.01) GRANULARITY 1
  ) ENGINE = ReplacingMergeTree ORDER BY (project_id, uuid, stream, sequence) SETTINGS ${durable}`,
  `CREATE VIEW IF NOT EXISTS ${database}.persons AS
    SELECT person_id AS id, groupUniqArray(1000)(distinct_id) AS distinct_ids, CAST('{}', 'JSON') AS properties,
      min(received_at) AS created_at
    FROM ${database}.events GROUP BY person_id`,
];

/**
 * Version 2. Two kinds of rows in one table, so that one insert brings both and one read sees both as of one moment:
 * counts of a project's minute (`stream` empty), and, under project 0, how far a stream has been counted. Rows of one key
 * are merged when the engine likes: sum them when reading.
 *
 * `by_received` finds the rows of the last minutes when they are counted again (loader/ledger-check.ts).
 */
export const ledgerStatements: readonly string[] = [
  `CREATE TABLE IF NOT EXISTS ${internalDatabase}.ledger (
    project_id UInt32,
    minute DateTime('UTC') CODEC(Delta, ZSTD(1)),
    stream LowCardinality(String),
    epoch UInt32,
    received SimpleAggregateFunction(sum, UInt64),
    accepted SimpleAggregateFunction(sum, UInt64),
    stored SimpleAggregateFunction(sum, UInt64),
    duplicate SimpleAggregateFunction(sum, UInt64),
    rejected_by_code SimpleAggregateFunction(sumMap, Map(String, UInt64)),
    first_sequence SimpleAggregateFunction(min, UInt64),
    reached SimpleAggregateFunction(max, Tuple(UInt64, UUID))
  ) ENGINE = AggregatingMergeTree ORDER BY (project_id, minute, stream, epoch) SETTINGS ${durable}`,
  `CREATE VIEW IF NOT EXISTS ${database}.ledger AS
    SELECT minute, received, accepted, stored, duplicate, arraySum(mapValues(rejected_by_code)) AS rejected,
      rejected_by_code
    FROM (SELECT minute, sum(received) AS received, sum(accepted) AS accepted, sum(stored) AS stored,
      sum(duplicate) AS duplicate, sumMap(rejected_by_code) AS rejected_by_code
      FROM ${internalDatabase}.ledger GROUP BY minute)`,
  `ALTER TABLE ${database}.rejections ADD INDEX IF NOT EXISTS by_request request_id TYPE bloom_filter(0.01) GRANULARITY 1`,
  `ALTER TABLE ${database}.events ADD INDEX IF NOT EXISTS by_received received_at TYPE minmax GRANULARITY 1`,
];

/**
 * What sending a rejected event again needs to know of its request, and a note of each that was sent. A note names the
 * rejection and the request that stored it; one with a nil `request_id` says of `retry_request_id` alone that it is a
 * retry, whose own rejections are copies of older ones.
 */
export const retryStatements: readonly string[] = [
  `ALTER TABLE ${database}.rejections
    ADD COLUMN IF NOT EXISTS sent_at Nullable(${instant}) MATERIALIZED NULL,
    ADD COLUMN IF NOT EXISTS is_historical Bool MATERIALIZED false`,
  `CREATE TABLE IF NOT EXISTS ${internalDatabase}.retried (
    project_id UInt32,
    request_id UUID,
    \`index\` UInt32,
    received_at DateTime64(3, 'UTC'),
    retry_request_id UUID,
    retried_at DateTime64(3, 'UTC')
  ) ENGINE = ReplacingMergeTree ORDER BY (project_id, request_id, \`index\`, received_at, retry_request_id)
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`,
];

/** SHA-1 of namespace and name, its version and variant bits set; a UUID is two little-endian halves inside the engine. */
function uuidV5Sql(name: string): string {
  const digest = `SHA1(concat(unhex('${personNamespace.replaceAll('-', '')}'), ${name}))`;
  const high = `reinterpretAsUInt64(reverse(substring(${digest}, 1, 8)))`;
  const low = `reinterpretAsUInt64(reverse(substring(${digest}, 9, 8)))`;
  const versioned = `bitOr(bitAnd(${high}, 0xffffffffffff0fff), 0x5000)`;
  const varied = `bitOr(bitAnd(${low}, 0x3fffffffffffffff), 0x8000000000000000)`;
  return `reinterpretAsUUID(concat(reinterpretAsFixedString(${versioned}), reinterpretAsFixedString(${varied})))`;
}

export const personIdSql = uuidV5Sql("concat(toString(project_id), ':', distinct_id)");

export function sqlText(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

type Input = readonly (readonly [string, string])[];

function fileSql(path: string, input: Input, format: 'RowBinary' | 'Native' = 'RowBinary'): string {
  const structure = input.map(([name, type]) => `\`${name}\` ${type}`).join(', ');
  return `file(${sqlText(path)}, '${format}', ${sqlText(structure)})`;
}

/** One thread and one block: one part, so that the block is in or out as a whole. */
function insertSettings(token: string): string {
  if (!/^[A-Za-z0-9:-]+$/.test(token)) throw new RangeError(`not a deduplication token: ${token}`);
  return (
    `insert_allow_materialized_columns = 1, insert_deduplication_token = '${token}', max_threads = 1, ` +
    'max_insert_threads = 1, type_json_skip_duplicated_paths = 1, input_format_try_infer_dates = 0, ' +
    'input_format_try_infer_datetimes = 0'
  );
}

/** Reads a block from the file at `path`. */
export function insertSql(kind: BlockKind, path: string, token: string): string {
  if (kind === 'duplicates') {
    const names = duplicateInput.map(([name]) => name).join(', ');
    return `INSERT INTO ${internalDatabase}.duplicates (${names}) SETTINGS ${insertSettings(token)}
      SELECT ${names} FROM ${fileSql(path, duplicateInput)}`;
  }
  if (kind === 'ledger') {
    const names = ledgerInput.map(([name]) => name).join(', ');
    return `INSERT INTO ${internalDatabase}.ledger (${names}) SETTINGS ${insertSettings(token)}
      SELECT ${names} FROM ${fileSql(path, ledgerInput)}`;
  }
  if (kind === 'rejections') {
    const names = rejectionInput.map(([name]) => `\`${name}\``).join(', ');
    return `INSERT INTO ${database}.rejections (${names}, event, distinct_id) SETTINGS ${insertSettings(token)}
      SELECT ${names}, JSONExtractString(raw, 'event') AS event, JSONExtractString(raw, 'distinct_id') AS distinct_id
      FROM ${fileSql(path, rejectionInput)}`;
  }
  if (kind === 'event_columns') {
    const names = eventColumnsInput.map(([name]) => name).join(', ');
    return `INSERT INTO ${database}.events (${names}, person_id, properties_state) SETTINGS ${insertSettings(token)}
      SELECT ${names}, ${personIdSql} AS person_id, 'exact' AS properties_state
      FROM ${fileSql(path, eventColumnsInput, 'Native')}`;
  }
  const plain = eventInput.map(([name]) => name).filter((name) => name !== 'repaired' && name !== 'mode');
  return `INSERT INTO ${database}.events (${plain.join(', ')}, person_id, properties, properties_state)
    SETTINGS ${insertSettings(token)}
    SELECT ${plain.join(', ')}, ${personIdSql} AS person_id,
      ifNull(parsed, CAST('{}', '${propertiesType}')) AS properties,
      multiIf(isNull(parsed), 'raw_only', repaired != '', 'repaired', 'exact') AS properties_state
    FROM (SELECT *, accurateCastOrNull(multiIf(mode = 1, '', repaired != '', repaired, properties_raw), '${propertiesType}')
      AS parsed FROM ${fileSql(path, eventInput)})`;
}

/**
 * Events that have one of the uuids of the file at `path`, in one of its projects: a few too many when two projects share
 * a uuid. Two sets of plain values cost half of one of pairs.
 */
export function findUuidsSql(path: string): string {
  const keys = fileSql(path, [
    ['project_id', 'UInt32'],
    ['uuid', 'UUID'],
  ]);
  return `SELECT project_id, uuid, stream, sequence FROM ${database}.events
    WHERE project_id IN (SELECT DISTINCT project_id FROM ${keys}) AND uuid IN (SELECT uuid FROM ${keys})`;
}

/**
 * What a client that invents keys may cost. Each part of such events holds its own list of paths in memory (megabytes), and
 * a merge holds those of all its sources. So merges take few parts at a time, in buckets of shared paths (a fourth of the
 * default's time), and inserts wait a little once parts pile up: the log keeps what waits, and larger blocks follow.
 */
export const boundedMergeStatements: readonly string[] = [
  `ALTER TABLE ${database}.events MODIFY SETTING ${compactUpTo}, max_parts_to_merge_at_once = 16,
    object_shared_data_serialization_version = 'map_with_buckets', parts_to_delay_insert = 100, max_delay_to_insert = 2`,
];
