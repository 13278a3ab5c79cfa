/**
 * The composition root: opens the engines, starts the parts, waits for a signal, drains, closes in reverse.
 *
 * Order    data folder -> registry -> log writer -> log readers -> store -> loader -> listener -> first keys. Nothing is
 *          served before all of it is open; a later part that fails closes the earlier ones again.
 * Stop     SIGTERM or SIGINT: readiness false, listener closed after `drainDelayMs`, answers finished, log synced, loader
 *          and store closed; at most STOP_DEADLINE_MS. A second signal ends the process at once.
 */
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { KeyLookup } from './admission/key-lookup.ts';
import { Capture } from './capture/capture.ts';
import { CaptureV1, MAX_V1_BODY_BYTES, V1_INFLATED_LIMIT_BYTES } from './capture/capture-v1.ts';
import type { Config } from './config/config.ts';
import { systemClock } from './event/clock.ts';
import { RandomIds } from './event/id-source.ts';
import { HttpServer } from './http/server.ts';
import { SideAnswers } from './http/side-answers.ts';
import { StaticLibrary } from './http/static-library.ts';
import { trustOf } from './http/trusted-proxies.ts';
import { startLoader, type Loader } from './loader/loader.ts';
import { metricStats } from './loader/metric-stats.ts';
import { PendingEvents } from './loader/pending-events.ts';
import { SegmentLogReader } from './log/segments/segment-log-reader.ts';
import { SegmentLogWriter } from './log/segments/segment-log-writer.ts';
import { ReadApi } from './query/read-api.ts';
import { defaultReadLimits } from './query/store-reads.ts';
import { openLmdbRegistry } from './registry/lmdb/lmdb-registry.ts';
import { LocalKey } from './registry/local-key.ts';
import type { FirstProject } from './registry/registry.ts';
import { seedFirstProject } from './registry/seed.ts';
import { StartFailure } from './start-failure.ts';
import { openChdbStore } from './store/chdb/chdb-store.ts';
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
  const dataDir = resolve(config.dataDir);
  makeFolder(dataDir);
  metrics.watch({ diskFreeBytes: cachedReading({ clock, maxAgeMs: DISK_READING_MS }, () => freeBytesOf(dataDir)) });

  const opened = await openLmdbRegistry({ dir: join(dataDir, 'registry'), clock, ids });
  parts.add(() => opened.close());
  const localSecret = `phx_local_${ids.secret(LOCAL_KEY_BYTES)}`;
  const registry = new LocalKey(opened, localSecret);

  const logDir = join(dataDir, 'log');
  // The writer first: a reader recovers streams that nobody writes, and would hold this one's lock for that moment.
  let pokeReader = (): void => undefined;
  const capture = config.roles.has('capture')
    ? await openCapture({ config, logDir, registry, log, metrics, parts, onDurable: () => pokeReader() })
    : undefined;

  const hasReads = config.roles.has('query') || config.roles.has('loader');
  const reader = hasReads ? await SegmentLogReader.open({ dir: logDir }) : undefined;
  if (reader !== undefined) {
    pokeReader = () => reader.poke();
    parts.add(() => reader.close());
  }

  const store = hasReads ? await openStore(config, dataDir, log) : undefined;
  if (store !== undefined) parts.add(() => store.close());

  let loader: Loader | undefined;
  if (config.roles.has('loader') && reader !== undefined && store !== undefined) {
    const running = startLoader({ reader, store, clock, stats: metricStats(metrics, log) });
    loader = running;
    parts.add(() => running.stop());
    metrics.watch({ loaderLag: () => running.lag() });
  }

  // A reader of its own: the loader holds on to what it read while it waits for the store.
  const pendingReader = config.roles.has('query') ? await SegmentLogReader.open({ dir: logDir }) : undefined;
  if (pendingReader !== undefined) parts.add(() => pendingReader.close());
  const reads =
    pendingReader !== undefined && store !== undefined
      ? new ReadApi({
          store,
          registry,
          pendingLookup: new PendingEvents(pendingReader),
          clock,
          limits: {
            ...defaultReadLimits,
            timeoutMs: config.querySeconds * 1000,
            maxRows: config.queryMaxRows,
            maxRunning: config.queryConcurrency,
          },
        })
      : undefined;

  const server = new HttpServer({
    capture: capture?.v0,
    captureV1: capture?.v1,
    reads,
    metrics,
    log,
    clock,
    ids,
    limits: {
      maxBodyBytes: config.maxBodyBytes,
      stallTimeoutMs: config.bodyTimeoutMs,
      maxTotalBytes: Math.max(MAX_READING_BYTES, 2 * config.maxBodyBytes),
    },
    sides: new SideAnswers(StaticLibrary.open()),
    ingestPath: config.ingestPath,
    isTrustedProxy: trustOf(config.trustedProxies),
  });
  const port = await server.listen(config.port, config.host);
  parts.add(() => server.close());
  // Only now, when nothing can fail any more: the keys of a first start are shown once.
  const first = await seedFirstProject(opened, config.seeds);
  server.serve();
  const url = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`;
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

async function openCapture(needs: {
  readonly config: Config;
  readonly logDir: string;
  readonly registry: KeyLookup;
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
  const shared = { log: writer, keys: needs.registry, ids, clock: systemClock, metrics };
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

/** The system's error codes in the words of somebody who wants to start a server. */
function startFailure(error: unknown, config: Config): Error {
  if (!(error instanceof Error)) return new StartFailure(String(error));
  const code = 'code' in error ? String(error.code) : '';
  const where = resolve(config.dataDir);
  switch (code) {
    case 'EADDRINUSE':
      return new StartFailure(
        `Port ${config.port} on ${config.host} is in use by another program. Stop it, or choose another with --port (0 takes any free one).`,
      );
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new StartFailure(
        `This machine has no address ${config.host}. Choose one of its own with --host, or 0.0.0.0 for all.`,
      );
    case 'ENOENT':
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new StartFailure(
        `The data folder ${where} (or port ${config.port}) cannot be used: ${error.message}. Make the folder writable for this user, or choose another with --data-dir.`,
      );
    case 'ENOTDIR':
    case 'EEXIST':
      return new StartFailure(`The data folder ${where} is no folder. Choose another with --data-dir.`);
    case 'ENOSPC':
      return new StartFailure(
        `The disk of the data folder ${where} is full. Make room, or choose another with --data-dir.`,
      );
    default:
      return new StartFailure(error.message);
  }
}
