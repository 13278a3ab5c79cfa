/**
 * Every setting, once: its names, kind, default and help. Parsing, `--print-config` and docs/settings.md come from
 * this table. A setting that is not here does not exist.
 *
 * Source: interface.md 1; the bounds from protocol.md 6, interface.md 4 and style.md's group commit.
 */
import type { SettingKind } from './setting-kinds.ts';
import {
  durationMs,
  engineUrl,
  ingestPath,
  oneOf,
  optionalPath,
  personalApiKey,
  plainText,
  projectApiKey,
  proxies,
  someOf,
  wholeNumber,
} from './setting-kinds.ts';

const MIB = 1024 * 1024;
/** Sizes beyond this are a slip of the keyboard, and Buffers end near it. */
const MAX_SIZE_BYTES = 4096 * MIB;

export const roles = ['capture', 'loader', 'query'] as const;
export type Role = (typeof roles)[number];

export interface Setting<T> {
  /** The flag without its dashes; undefined: only environment and file. */
  readonly flag: string | undefined;
  readonly fileKey: string;
  readonly env: `HEDGEROW_${string}`;
  readonly kind: SettingKind<T>;
  /** As one would write it; undefined = not set. */
  readonly defaultText: string | undefined;
  /** Masked wherever it is shown. */
  readonly isSecret: boolean;
  readonly help: string;
}

/** `name` is flag and file key; the environment variable follows from it. */
function setting<T>(name: string, kind: SettingKind<T>, defaultText: string, help: string): Setting<T> {
  return { flag: name, fileKey: name, env: envOf(name), kind, defaultText, isSecret: false, help };
}

/** No flag: a command line is seen by everybody on the machine. */
function secret<T>(name: string, kind: SettingKind<T | undefined>, help: string): Setting<T | undefined> {
  return { flag: undefined, fileKey: name, env: envOf(name), kind, defaultText: undefined, isSecret: true, help };
}

function envOf(name: string): `HEDGEROW_${string}` {
  return `HEDGEROW_${name.toUpperCase().replaceAll('-', '_')}`;
}

function bytes(min: number): SettingKind<number> {
  return wholeNumber({ min, max: MAX_SIZE_BYTES, unit: 'bytes' });
}

export const settings = {
  host: setting('host', plainText, '127.0.0.1', 'Address to listen on. `0.0.0.0` or `::` lets other machines in.'),
  port: setting(
    'port',
    wholeNumber({ min: 0, max: 65_535 }),
    '8000',
    'Port to listen on. `0` takes any free port and prints it.',
  ),
  dataDir: setting('data-dir', plainText, './hedgerow-data', 'Folder that holds everything: log, store and keys.'),
  roles: setting(
    'role',
    someOf(roles),
    'all',
    'What this process does. On one machine capture may also run in processes of its own on the same data folder; ' +
      'loader and query stay together in one.',
  ),
  logUrl: setting('log-url', engineUrl('segments:', ['kafka:']), 'segments:', 'Engine of the log.'),
  storeUrl: setting('store-url', engineUrl('chdb:', ['clickhouse:', 'clickhouses:']), 'chdb:', 'Engine of the store.'),
  registryUrl: setting(
    'registry-url',
    engineUrl('lmdb:', ['postgres:', 'postgresql:']),
    'lmdb:',
    'Engine of the registry of projects and keys.',
  ),
  limitsUrl: setting(
    'limits-url',
    engineUrl('memory:', ['redis:', 'rediss:', 'valkey:']),
    'memory:',
    'Engine of the rate and quota counters.',
  ),
  logLevel: setting(
    'log-level',
    oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']),
    'info',
    'The least important log lines that are written.',
  ),
  ingestPath: {
    flag: 'ingest-path',
    fileKey: 'ingest-path',
    env: 'HEDGEROW_INGEST_PATH',
    kind: ingestPath,
    defaultText: undefined,
    isSecret: false,
    help:
      'A path, such as `/ingest`, below which capture, config and static files are served a second time, so that one line ' +
      'of a reverse proxy makes them first-party. The reading API, metrics and health are not served below it. See ' +
      'docs/reverse-proxy.md.',
  },
  tlsCert: {
    flag: 'tls-cert',
    fileKey: 'tls-cert',
    env: 'HEDGEROW_TLS_CERT',
    kind: optionalPath,
    defaultText: undefined,
    isSecret: false,
    help:
      'A PEM file with the certificate, and the ones between it and its root: with `tls-key`, the port speaks HTTPS (TLS 1.2 ' +
      'and later) and nothing else. SIGHUP reads both files again; open connections stay.',
  },
  tlsKey: {
    flag: 'tls-key',
    fileKey: 'tls-key',
    env: 'HEDGEROW_TLS_KEY',
    kind: optionalPath,
    defaultText: undefined,
    isSecret: false,
    help: 'A PEM file with the private key of `tls-cert`, without a passphrase.',
  },
  trustedProxies: setting(
    'trusted-proxies',
    proxies,
    'all',
    'Senders whose `X-Forwarded-For` and similar headers are believed. `none` keeps the address of the connection. Failed ' +
      'authentication is counted by the address of the connection, unless it is a proxy that is listed here by name.',
  ),
  drainDelayMs: setting(
    'drain-delay',
    durationMs({ min: 0, max: 600_000 }),
    '0',
    'After SIGTERM: how long the port stays open while readiness says 503, so that a load balancer can look away.',
  ),
  maxBodyBytes: setting('max-body-bytes', bytes(1024), String(20 * MIB), 'Largest request body as sent; more is 413.'),
  maxInflatedBytes: setting(
    'max-inflated-bytes',
    bytes(1024),
    String(100 * MIB),
    'Largest request body once decompressed; more is 413.',
  ),
  maxEventBytes: setting(
    'max-event-bytes',
    bytes(1024),
    '1000000',
    "Largest event, in bytes of its JSON as sent; more is rejected with `event_too_large`, the batch's others are kept.",
  ),
  maxAiEventBytes: setting(
    'max-ai-event-bytes',
    bytes(1024),
    String(8 * MIB),
    'The same for the AI events that PostHog allows more.',
  ),
  maxQueueBytes: setting(
    'max-queue-bytes',
    bytes(MIB),
    String(200 * MIB),
    'Bytes that may wait for the disk; beyond them requests get 503. Keep it at twice `max-inflated-bytes`, so that ' +
      'one request of the largest size never shuts out the next.',
  ),
  maxQueueAgeMs: setting(
    'max-queue-age-ms',
    wholeNumber({ min: 100, max: 600_000, unit: 'milliseconds' }),
    '10000',
    'How long events may wait for a write to the disk to begin; who waited longer gets 503 and is not written.',
  ),
  logRetentionMs: setting(
    'log-retention',
    durationMs({ min: 0, max: 31_536_000_000 }),
    '0',
    'How long the log keeps what the store has already, so that a backup can be brought up to a moment after it (see ' +
      'docs/backup.md). `0`: no longer than needed.',
  ),
  reserveBytes: setting(
    'reserve-bytes',
    wholeNumber({ min: 0, max: 1024 * 1024 * MIB, unit: 'bytes' }),
    String(128 * MIB),
    'Room on the disk of the data folder that is left to the store and everything else; with less, capture answers 503 ' +
      'and reads go on.',
  ),
  maxConnections: setting(
    'max-connections',
    wholeNumber({ min: 1, max: 1_000_000, unit: 'connections' }),
    '10000',
    'Open connections, and requests under way; beyond them 503. The system must allow the process more open files than that.',
  ),
  segmentBytes: setting(
    'segment-bytes',
    bytes(64 * 1024),
    String(32 * MIB),
    'Size of one file of the segment log, allocated ahead of need.',
  ),
  bodyTimeoutMs: setting(
    'body-timeout-ms',
    wholeNumber({ min: 100, max: 600_000, unit: 'milliseconds' }),
    '10000',
    'How long a request body may stall between two pieces; longer is 408.',
  ),
  querySeconds: setting(
    'query-seconds',
    wholeNumber({ min: 1, max: 86_400, unit: 'seconds' }),
    '30',
    'Longest time for one query.',
  ),
  queryMaxRows: setting(
    'query-max-rows',
    wholeNumber({ min: 1, max: 10_000_000, unit: 'rows' }),
    '50000',
    'Most rows in one answer; `hasMore` says that there are others.',
  ),
  queryConcurrency: setting(
    'query-concurrency',
    wholeNumber({ min: 1, max: 1_000, unit: 'queries' }),
    '4',
    'Queries that run at once; others wait.',
  ),
  storeMaxMemoryBytes: setting(
    'store-max-memory-bytes',
    wholeNumber({ min: 64 * MIB, max: 1024 * 1024 * MIB, unit: 'bytes' }),
    '1000000000',
    'Memory for the whole store, all running queries included.',
  ),
  rejectionsMaxDays: setting(
    'rejections-max-days',
    wholeNumber({ min: 1, max: 100_000, unit: 'days' }),
    '30',
    'How long rejected events are kept; older ones are deleted.',
  ),
  rejectionsMaxBytes: setting(
    'rejections-max-bytes',
    wholeNumber({ min: 1024, max: 1024 * 1024 * MIB, unit: 'bytes' }),
    String(1024 * MIB),
    'Most bytes of rejected events that are kept, their texts as sent and before compression; beyond it the oldest are deleted.',
  ),
  projectApiKey: secret(
    'project-api-key',
    projectApiKey,
    'Seeds a project key of kind `server`. Given later, it is added to the oldest project; a revoked key stays revoked.',
  ),
  publicApiKey: secret('public-api-key', projectApiKey, 'The same for a key of kind `public`.'),
  personalApiKey: secret(
    'personal-api-key',
    personalApiKey,
    'Seeds a personal key with all scopes. It is stored as a plain SHA-256: use 32 random bytes, not a word, except in tests.',
  ),
} as const satisfies Readonly<Record<string, Setting<unknown>>>;

export type SettingName = keyof typeof settings;
export const settingNames = Object.keys(settings) as readonly SettingName[];

/** Where the file lies; no setting of the file itself. */
export const configFileSetting = {
  flag: 'config',
  env: 'HEDGEROW_CONFIG',
  help: 'A YAML file whose keys are the names of the flags without dashes in front.',
} as const;

/** Variables with our prefix that belong to others: the client commands' server, and the launcher. */
export const otherVariables = ['HEDGEROW_URL', 'HEDGEROW_SKIP_BUILD'] as const;
