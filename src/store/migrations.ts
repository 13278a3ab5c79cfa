import {
  boundedMergeStatements,
  createStatements,
  database,
  internalDatabase,
  ledgerStatements,
  retryStatements,
} from './schema.ts';

export interface Migration {
  /** From 1, without gaps. */
  readonly version: number;
  readonly title: string;
  /** Each may run again: a crash can come between a statement and the note that the migration is done. */
  readonly statements: readonly string[];
}

/** Run in order; one that was released is never changed, a later one mends it. */
export const migrations: readonly Migration[] = [
  { version: 1, title: 'events, rejections, duplicates, persons', statements: createStatements },
  { version: 2, title: 'ledger', statements: ledgerStatements },
  { version: 3, title: 'rejections sent again', statements: retryStatements },
  { version: 4, title: 'merges within bounds', statements: boundedMergeStatements },
];

export const schemaVersion = migrations.length;

/** Before any migration. */
export const prepareStatements: readonly string[] = [
  `CREATE DATABASE IF NOT EXISTS ${database}`,
  `CREATE DATABASE IF NOT EXISTS ${internalDatabase}`,
  `CREATE TABLE IF NOT EXISTS ${internalDatabase}.schema_version
    (version UInt32, title String, applied_at DateTime DEFAULT now()) ENGINE = MergeTree ORDER BY version
    SETTINGS fsync_after_insert = 1, fsync_part_directory = 1`,
];

export const readVersionSql = `SELECT max(version) FROM ${internalDatabase}.schema_version`;

/** Notes that `migration` is done. */
export function recordSql(migration: Migration): string {
  return `INSERT INTO ${internalDatabase}.schema_version (version, title) VALUES (${migration.version}, '${migration.title}')`;
}

/** What is left to do from `version`, or why nothing may be done. */
export function migrationsFrom(version: number): readonly Migration[] | { readonly newerVersion: number } {
  return version > schemaVersion
    ? { newerVersion: version }
    : migrations.filter((migration) => migration.version > version);
}
