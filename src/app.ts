/**
 * The composition root: opens the engines, starts the parts, waits for a signal, drains, closes in reverse.
 *
 * Order    data folder -> registry -> limits -> log writer -> log readers -> store -> loader -> listener -> first keys.
 *          Nothing is served before all of it is open; a later part that fails closes the earlier ones again.
 * Stop     SIGTERM or SIGINT: readiness false, listener closed after `drainDelayMs`, answers finished, log synced, loader
 *          and store closed; at most STOP_DEADLINE_MS. A second signal ends the process at once.
 */
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { FailedAttempts } from './admission/failed-attempts.ts';
import { FairShares } from './admission/fair-shares.ts';
import type { KeyLookup } from './admission/key-lookup.ts';
import type { RateGate } from './admission/rate-gate.ts';
import { RESTORING } from './backup/restore.ts';
import { LoaderGate } from './backup/loader-gate.ts';
import type { Backups } from './backup/backups.ts';
import { openBackups } from './backup-engines.ts';
import { Capture } from './capture/capture.ts';
import { CaptureV1, MAX_V1_BODY_BYTES, V1_INFLATED_LIMIT_BYTES } from './capture/capture-v1.ts';
import type { Config } from './config/config.ts';
import { systemClock } from './event/clock.ts';
import { RandomIds } from './event/id-source.ts';
import type { ProjectId } from './event/ids.ts';
import { HttpServer } from './http/server.ts';
import { SideAnswers } from './http/side-answers.ts';
import { StaticLibrary } from './http/static-library.ts';
import { readTls, type TlsCredentials } from './http/tls.ts';
import { countedAddressOf, trustOf } from './http/trusted-proxies.ts';
import { type Limits, SYNC_MS } from './limits/limits.ts';
import { MemoryLimits } from './limits/memory/memory-limits.ts';
import { LedgerBook } from './loader/ledger-book.ts';
import { LedgerCheck } from './loader/ledger-check.ts';
import { startLoader, type Loader } from './loader/loader.ts';
import { metricStats } from './loader/metric-stats.ts';
import { PendingEvents } from './loader/pending-events.ts';
import { PendingTally } from './loader/pending-tally.ts';
import { SegmentLogReader } from './log/segments/segment-log-reader.ts';
import { SegmentLogWriter } from './log/segments/segment-log-writer.ts';
import { Privacy } from './normalize/privacy.ts';
import type { PrivacyLookup } from './normalize/privacy-policy.ts';
import { ReadApi } from './query/read-api.ts';
import { defaultReadLimits } from './query/store-reads.ts';
import { outliveFailedCommits } from './registry/lmdb/commit-failures.ts';
import { openLmdbRegistry } from './registry/lmdb/lmdb-registry.ts';
import { LocalKey } from './registry/local-key.ts';
import type { FirstProject, Registry } from './registry/registry.ts';
import { seedFirstProject } from './registry/seed.ts';
import { StartFailure, startFailure } from './start-failure.ts';
import { openChdbStore } from './store/chdb/chdb-store.ts';
import { RejectionRetention } from './store/rejection-retention.ts';
import type { Store } from './store/store.ts';
import { cachedReading } from './telemetry/cached-reading.ts';
import { openLogLines, type LogLines } from './telemetry/log-lines.ts';
import { Metrics } from './telemetry/metrics.ts';

export interface RunningApp {
  readonly url: string;
  /** Set on the first start only. */
  readonly firstKeys: { readonly server: string; readonly public: string; readonly personal: string } | undefined;
  readonly projectName: string;
  readonly stopped: Promise<{ readonly exitCode: number }>;
  stop(): Promise<void>;
}

const STOP_DEADLINE_MS = 9_000;
const LOCAL_KEY_BYTES = 32;
/** Bodies that are being read, over all connections. */
export const MAX_READING_BYTES = 256 << 20;

/** However often somebody asks for /metrics. */
const DISK_READING_MS = 1_000;

/** What is open, in the order it was opened. */
class OpenParts {
  readonly #closers: (() => Promise<void> | void)[] = [];

  add(close: () => Promise<void> | void): void {
    this.#closers.push(close);
  }

  async closeAll(): Promise<void> {
    for (const close of this.#closers.toReversed()) await close();
    this.#closers.length = 0;
  }
}

/** @throws StartFailure with one sentence for the person who starts it */
export async function startApp(config: Config): Promise<RunningApp> {
  process.umask(0o077); // what is written here, the engine's files too, is for this user alone, whoever made the folder
  const log = openLogLines(config.logLevel);
  const parts = new OpenParts();
  try {
    return await openAll(config, log, parts);
  } catch (error) {
    await parts.closeAll();
    throw startFailure(error, config);
  }
}

async function openAll(config: Config, log: LogLines, parts: OpenParts): Promise<RunningApp> {
  const clock = systemClock;
  const ids = new RandomIds();
  const metrics = new Metrics();
  const tls = openTls(config, log);
  const dataDir = resolve(config.dataDir);
  makeFolder(dataDir);
  if (existsSync(join(dataDir, RESTORING))) {
    throw new StartFailure(`A restore into ${dataDir} did not come to its end. Empty the folder, and restore again.`);
  }
  metrics.watch({ diskFreeBytes: cachedReading({ clock, maxAgeMs: DISK_READING_MS }, () => freeBytesOf(dataDir)) });

  outliveFailedCommits();
  const opened = await openLmdbRegistry({ dir: join(dataDir, 'registry'), clock, ids });
  parts.add(() => opened.close());
  const localSecret = `phx_local_${ids.secret(LOCAL_KEY_BYTES)}`;
  const registry = new LocalKey(opened, localSecret);

  const limits = openLimits(opened, log, parts);
  metrics.watch({ limitUse: () => limits.mostUsed() });

  const logDir = join(dataDir, 'log');
  // The writer first: a reader recovers streams that nobody writes, and would hold this one's lock for that moment.
  let pokeReader = (): void => undefined;
  const capture = config.roles.has('capture')
    ? await openCapture({ config, logDir, registry, gate: limits, log, metrics, parts, onDurable: () => pokeReader() })
    : undefined;

  const hasReads = config.roles.has('query') || config.roles.has('loader');
  const retentionMs = config.logRetentionMs;
  const reader = hasReads ? await SegmentLogReader.open({ dir: logDir, retentionMs }) : undefined;
  if (reader !== undefined) {
    pokeReader = () => reader.poke();
    parts.add(() => reader.close());
  }

  const store = hasReads ? await openStore(config, dataDir, log) : undefined;
  if (store !== undefined) parts.add(() => store.close());

  const ledger = store === undefined ? undefined : await openLedger({ logDir, store, log, metrics, parts });
  let loader: Loader | undefined;
  let backups: Backups | undefined;
  if (config.roles.has('loader') && reader !== undefined && store !== undefined) {
    const gate = new LoaderGate(reader);
    const running = startLoader({
      reader: gate,
      store,
      clock,
      stats: metricStats(metrics, log),
      onLedger: (minuteSeconds) => ledger?.check.noteChanged(minuteSeconds),
    });
    loader = running;
    parts.add(() => running.stop());
    metrics.watch({ loaderLag: () => running.lag() });
    keepRejectionsBounded({ config, store, log, metrics, parts });
    backups = await openBackups({ dataDir, store, gate, log });
  }

  // A reader of its own: the loader holds on to what it read while it waits for the store.
  const pendingReader = config.roles.has('query') ? await SegmentLogReader.open({ dir: logDir }) : undefined;
  if (pendingReader !== undefined) parts.add(() => pendingReader.close());
  const pendingEvents =
    pendingReader === undefined || reader === undefined
      ? undefined
      : new PendingEvents({
          streams: () => pendingReader.streams(),
          durableEnd: (stream) => pendingReader.durableEnd(stream),
          read: (from, maxBytes) => pendingReader.read(from, maxBytes),
          // The loader's own: any other reader knows it as it was when it first asked, and would search all since.
          committed: (stream) => reader.committed(stream),
        });
  const reads =
    pendingEvents !== undefined && store !== undefined && ledger !== undefined
      ? new ReadApi({
          store,
          registry,
          pendingLookup: pendingEvents,
          pendingRequests: pendingEvents,
          ledger: { book: ledger.book, findingsOf: (project) => ledger.check.findingsOf(project) },
          clock,
          projectLimits: limits,
          limits: {
            ...defaultReadLimits,
            timeoutMs: config.querySeconds * 1000,
            maxRows: config.queryMaxRows,
            maxRunning: config.queryConcurrency,
          },
        })
      : undefined;

  const server = new HttpServer(
    {
      capture: capture?.v0,
      captureV1: capture?.v1,
      reads,
      backups: backups === undefined ? undefined : { backups, registry },
      metrics,
      log,
      clock,
      ids,
      limits: {
        maxBodyBytes: config.maxBodyBytes,
        stallTimeoutMs: config.bodyTimeoutMs,
        maxTotalBytes: Math.max(MAX_READING_BYTES, 2 * config.maxBodyBytes),
      },
      maxConnections: config.maxConnections,
      ledgerAlarm: () => ledger?.check.alarm(),
      sides: new SideAnswers(StaticLibrary.open()),
      ingestPath: config.ingestPath,
      isTrustedProxy: trustOf(config.trustedProxies),
      failedAttempts: new FailedAttempts(clock),
      countedAddress: countedAddressOf(config.trustedProxies),
    },
    tls,
  );
  const port = await server.listen(config.port, config.host);
  parts.add(() => server.close());
  parts.add(() => backups?.close());
  // Only now, when nothing can fail any more: the keys of a first start are shown once.
  const first = await seedFirstProject(opened, config.seeds);
  server.serve();
  if (tls !== undefined) renewTlsOnHangup({ config, log, parts, server });
  const url = `${tls === undefined ? 'http' : 'https'}://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`;
  const addressFile = join(dataDir, 'server.json');
  if (reads !== undefined) {
    rmSync(addressFile, { force: true });
    writeFileSync(addressFile, JSON.stringify({ url, key: localSecret, pid: process.pid }), { mode: 0o600 });
    parts.add(() => {
      rmSync(addressFile, { force: true });
    });
  }
  log.info({ url, roles: [...config.roles] }, 'listening');
  return run({ config, log, parts, server, loader, url, first, projectName: registry.projects()[0]?.name ?? '' });
}

/** @throws StartFailure when the port was to speak TLS and cannot */
function openTls({ tlsCert: certPath, tlsKey: keyPath }: Config, log: LogLines): TlsCredentials | undefined {
  if (certPath === undefined || keyPath === undefined) return undefined;
  const read = readTls({ certPath, keyPath }, systemClock.nowMs());
  if (read.kind === 'problem') throw new StartFailure(read.problem);
  if (read.warning !== undefined) log.warn({ certPath, validUntil: read.validUntil }, read.warning);
  return read;
}

/** A certificate is renewed every few weeks; SIGHUP is how its programs tell servers so. */
function renewTlsOnHangup(running: {
  readonly config: Config;
  readonly log: LogLines;
  readonly parts: OpenParts;
  readonly server: HttpServer;
}): void {
  const { config, log, parts, server } = running;
  const renew = (): void => {
    try {
      const tls = openTls(config, log);
      if (tls === undefined) return;
      server.renewTls(tls);
      log.info({ validUntil: tls.validUntil }, 'the certificate was read again; new connections are shown it');
    } catch (error) {
      log.error({ err: error }, 'the new certificate cannot be used; the old one stays');
    }
  };
  process.on('SIGHUP', renew);
  parts.add(() => {
    process.removeListener('SIGHUP', renew);
  });
}

/** In every role: who reads wants to see what is used. */
function openLimits(registry: Registry, log: LogLines, parts: OpenParts): Limits {
  const limits = new MemoryLimits({
    registry,
    clock: systemClock,
    onFault: (error) => {
      log.error({ err: error }, 'the counts of the quotas could not be written; counting goes on, and they will be');
    },
  });
  const timer = setInterval(() => void limits.sync(), SYNC_MS);
  parts.add(async () => {
    clearInterval(timer);
    await limits.close();
  });
  return limits;
}

async function openStore(config: Config, dataDir: string, log: LogLines): Promise<Store> {
  return openChdbStore({
    dir: join(dataDir, 'store'),
    memoryBytes: config.storeMaxMemoryBytes,
    readers: config.queryConcurrency,
    onChildLost: (reason) => {
      log.error({ reason }, 'the store’s process ended; it is started again, and capture goes on');
    },
  });
}

/** Beside the loader, which alone writes rejections: one process of those on a data folder. */
/** Reads the ledger, and checks it from now on. */
async function openLedger(needs: {
  readonly logDir: string;
  readonly store: Store;
  readonly log: LogLines;
  readonly metrics: Metrics;
  readonly parts: OpenParts;
}): Promise<{ readonly book: LedgerBook; readonly check: LedgerCheck }> {
  const { store, log, metrics, parts } = needs;
  // A reader of its own: what is pending is counted from where the ledger ends.
  const reader = await SegmentLogReader.open({ dir: needs.logDir });
  parts.add(() => reader.close());
  const book = new LedgerBook(new PendingTally(reader));
  const check = new LedgerCheck({ book, store, clock: systemClock, log });
  check.start();
  parts.add(() => check.stop());
  metrics.watch({ ledgerImbalanceEvents: () => check.imbalanceEvents });
  return { book, check };
}

function keepRejectionsBounded(needs: {
  readonly config: Config;
  readonly store: Store;
  readonly log: LogLines;
  readonly metrics: Metrics;
  readonly parts: OpenParts;
}): void {
  const { config, store, log, metrics, parts } = needs;
  const retention = new RejectionRetention({
    store,
    clock: systemClock,
    maxAgeDays: config.rejectionsMaxDays,
    maxBytes: config.rejectionsMaxBytes,
    onDeleted: (bound, events) => {
      metrics.rejectionsDeleted.add(bound, events);
      log.info({ bound, events }, 'the oldest rejected events were deleted');
    },
    onFault: (error) => {
      log.warn({ err: error }, 'the rejected events could not be looked through for old ones; it is tried again');
    },
  });
  retention.start();
  metrics.watch({ rejectionsKept: () => retention.kept() });
  parts.add(() => retention.stop());
}

async function openCapture(needs: {
  readonly config: Config;
  readonly logDir: string;
  readonly registry: KeyLookup & PrivacyLookup;
  readonly gate: RateGate;
  readonly log: LogLines;
  readonly metrics: Metrics;
  readonly parts: OpenParts;
  readonly onDurable: () => void;
}): Promise<{ readonly v0: Capture; readonly v1: CaptureV1 }> {
  const { config, log, metrics, parts } = needs;
  const ids = new RandomIds();
  const writer = await SegmentLogWriter.open({
    dir: needs.logDir,
    clock: systemClock,
    ids,
    segmentBytes: config.segmentBytes,
    maxQueueBytes: config.maxQueueBytes,
    maxQueueAgeMs: config.maxQueueAgeMs,
    reserveBytes: config.reserveBytes,
    retentionMs: config.logRetentionMs,
    onDurable: needs.onDurable,
    onGroup: (group) => {
      metrics.logGroupFrames.observe(group.frames);
      metrics.logGroupBytes.observe(group.bytes);
      metrics.logWriteSeconds.observe(group.writeMs / 1000);
    },
    onFault: (fault) => {
      metrics.logFaults.addPair([fault.during, fault.code]);
      log.error({ during: fault.during, code: fault.code, err: fault.cause }, 'the event log could not be written');
    },
  });
  parts.add(() => writer.close());
  metrics.watch({
    queue: () => ({ bytes: writer.queuedBytes, limitBytes: writer.maxQueueBytes, oldestMs: writer.oldestWaitMs() }),
  });
  const privacy = new Privacy(needs.registry);
  // Half of the queue: beyond that the log refuses everybody (LogWriter.readiness), which one alone must not bring about.
  const shares = new FairShares<ProjectId>(writer.maxQueueBytes / 2);
  const shared = {
    log: writer,
    shares,
    keys: needs.registry,
    gate: needs.gate,
    privacy,
    ids,
    clock: systemClock,
    metrics,
  };
  const { maxEventBytes, maxAiEventBytes, maxInflatedBytes } = config;
  return {
    v0: new Capture({ ...shared, limits: { maxEventBytes, maxAiEventBytes, maxInflatedBytes } }),
    v1: new CaptureV1({
      ...shared,
      limits: {
        maxEventBytes,
        maxAiEventBytes,
        maxBodyBytes: Math.min(MAX_V1_BODY_BYTES, config.maxBodyBytes),
        inflatedLimitBytes: Math.min(V1_INFLATED_LIMIT_BYTES, maxInflatedBytes),
      },
    }),
  };
}

interface Running {
  readonly config: Config;
  readonly log: LogLines;
  readonly parts: OpenParts;
  readonly server: HttpServer;
  readonly loader: Loader | undefined;
  readonly url: string;
  readonly first: FirstProject | undefined;
  readonly projectName: string;
}

/** From here on only a signal, `stop`, or the loader's own failure ends it. */
function run({ config, log, parts, server, loader, url, first, projectName }: Running): RunningApp {
  const stopped = resolvers<{ readonly exitCode: number }>();
  let stopping: Promise<void> | undefined;

  const stop = (exitCode: number): Promise<void> => {
    stopping ??= (async () => {
      server.drain();
      if (config.drainDelayMs > 0) await sleep(config.drainDelayMs);
      const deadline = setTimeout(() => {
        log.warn({ deadlineMs: STOP_DEADLINE_MS }, 'some requests did not end in time; their connections are cut');
        server.closeAllConnections();
      }, STOP_DEADLINE_MS - 2_000);
      deadline.unref();
      await parts.closeAll();
      clearTimeout(deadline);
      for (const signal of ['SIGTERM', 'SIGINT'] as const) process.removeListener(signal, onSignal);
      log.info({}, 'stopped');
      stopped.resolve({ exitCode });
    })();
    return stopping;
  };
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stopping !== undefined) process.exit(1);
    log.info({ signal }, 'stopping: finishing what was accepted');
    void stop(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, onSignal);
  loader?.done.catch((error: unknown) => {
    log.error({ err: error }, 'the loader cannot go on; the server stops. Acknowledged events stay in the log');
    void stop(1);
  });

  return {
    url,
    firstKeys:
      first === undefined
        ? undefined
        : { server: first.serverKey.key, public: first.publicKey.key, personal: first.personalSecret },
    projectName,
    stopped: stopped.promise,
    stop: () => stop(0),
  };
}

function resolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

/** What this user may still write there. */
async function freeBytesOf(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

/** One level after the other: Node's own recursive way loops for ever where a parent refuses (`/proc/x`). */
function makeFolder(path: string): void {
  if (existsSync(path)) {
    if (!statSync(path).isDirectory()) throw Object.assign(new Error(`${path} is a file`), { code: 'ENOTDIR' });
    return;
  }
  makeFolder(dirname(path));
  mkdirSync(path, { mode: 0o700 });
}
