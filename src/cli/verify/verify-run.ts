/**
 * One run: sync latency, a calm minute's part for the time to SQL, kills under load, comparison, a full disk.
 *
 * Every fourth kill comes while the server starts, when it reads the tail of its log. How long the load runs before the
 * others is drawn around a mean that follows from the time that is left, so that a slow machine gets as many kills.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { RandomIds } from '../../event/id-source.ts';
import { CommandFailure } from '../command-failure.ts';
import type { Environment } from '../server-address.ts';
import { Comparison } from './comparison.ts';
import { tryDiskFull, type DiskFullResult } from './disk-full.ts';
import { EventSeries } from './event-series.ts';
import { Load, type LoadTotals } from './load.ts';
import { Problems } from './problems.ts';
import type { Progress } from './progress.ts';
import { Samples } from './samples.ts';
import { SentEvents } from './sent-events.ts';
import { ServerFailure, VerifiedServer, type ServerSettings } from './server-process.ts';
import { feed, untilLoaded } from './stored-rows.ts';
import { measureSyncLatency, type SyncLatency } from './sync-latency.ts';
import { measureVisibility } from './visibility.ts';

/** Of the wanted time. */
const SYNC_SHARE = 0.02;
const CALM_SHARE = 0.12;
/** What comparison and full disk take. */
const END_SHARE = 0.2;
const MIN_LOAD_MS = 200;
const MAX_LOAD_MS = 20_000;
const KILL_WHILE_STARTING_EVERY = 4;
const SETTLE_DEADLINE_MS = 60_000;
const PROGRESS_EVERY_MS = 100;
const SECRET_BYTES = 24;
const SEED_BYTES = 16;
/** Timestamps are a little in the past, one millisecond apart. */
const FIRST_EVENT_AGE_MS = 86_400_000;

export interface VerifyPlan {
  /** The run's own; it must be empty. */
  readonly folder: string;
  readonly seconds: number;
  readonly kills: number;
  readonly env: Environment;
}

export interface VerifyResult {
  readonly problems: Problems;
  readonly kills: number;
  readonly killsWhileStarting: number;
  readonly sent: number;
  readonly totals: LoadTotals;
  /** Rows of `events`; undefined when it did not come to the comparison. */
  readonly rows: number | undefined;
  /** Of the time under load. */
  readonly acknowledgedPerSecond: number;
  readonly sync: SyncLatency;
  readonly restartMs: Samples;
  readonly visibleMs: Samples;
  readonly diskFull: DiskFullResult;
  readonly seconds: number;
}

/** @throws CommandFailure when `signal` ends it. What the server does wrong is in the result. */
export async function runVerify(plan: VerifyPlan, progress: Progress, signal: AbortSignal): Promise<VerifyResult> {
  const run = new VerifyRun(plan, progress, signal);
  return run.toEnd();
}

class VerifyRun {
  readonly #plan: VerifyPlan;
  readonly #progress: Progress;
  readonly #signal: AbortSignal;
  readonly #settings: ServerSettings;
  readonly #series = newSeries();
  readonly #sent = new SentEvents();
  readonly #problems = new Problems();
  readonly #load: Load;
  readonly #restartMs = new Samples();
  readonly #startMs = Date.now();
  #visibleMs = new Samples();
  /** The one that was started last. */
  #server: VerifiedServer | undefined;
  #kills = 0;
  #killsWhileStarting = 0;
  #loadMs = 0;
  #acknowledgedUnderLoad = 0;
  #rows: number | undefined;
  #diskFull: DiskFullResult = { kind: 'not_tried', reason: 'it did not come to that' };

  constructor(plan: VerifyPlan, progress: Progress, signal: AbortSignal) {
    this.#plan = plan;
    this.#progress = progress;
    this.#signal = signal;
    const secret = new RandomIds();
    this.#settings = {
      dataDir: join(plan.folder, 'data'),
      logPath: join(plan.folder, 'server.log'),
      env: plan.env,
      signal,
      keys: {
        server: `phc_${secret.secret(SECRET_BYTES)}`,
        public: `phc_${secret.secret(SECRET_BYTES)}`,
        personal: `phx_${secret.secret(SECRET_BYTES)}`,
      },
    };
    this.#load = new Load({ series: this.#series, sent: this.#sent, problems: this.#problems, random: Math.random });
  }

  async toEnd(): Promise<VerifyResult> {
    this.#progress.show('measuring synced writes');
    const sync = await measureSyncLatency(this.#plan.folder, this.#plan.seconds * 1000 * SYNC_SHARE);
    try {
      await this.#killAll(await this.#calm());
      await this.#compare();
      await this.#fillDisk();
    } catch (error) {
      this.#assertGoesOn();
      if (!(error instanceof ServerFailure) && !(error instanceof CommandFailure)) throw error;
      this.#problems.add('server', { detail: error.message });
    } finally {
      this.#load.stop();
      this.#load.close();
      await this.#server?.killGroup();
    }
    this.#assertGoesOn();
    return {
      problems: this.#problems,
      kills: this.#kills,
      killsWhileStarting: this.#killsWhileStarting,
      sent: this.#sent.count,
      totals: this.#load.totals(),
      rows: this.#rows,
      acknowledgedPerSecond: this.#loadMs === 0 ? 0 : (this.#acknowledgedUnderLoad * 1000) / this.#loadMs,
      sync,
      restartMs: this.#restartMs,
      visibleMs: this.#visibleMs,
      diskFull: this.#diskFull,
      seconds: (Date.now() - this.#startMs) / 1000,
    };
  }

  /** @returns the server, still running */
  async #calm(): Promise<VerifiedServer> {
    const durationMs = this.#plan.seconds * 1000 * CALM_SHARE;
    const server = await this.#start('starting the server');
    await this.#watched('measuring the time from 200 to SQL', async () => {
      this.#visibleMs = await measureVisibility(this.#load, server, durationMs);
    });
    return server;
  }

  async #killAll(first: VerifiedServer): Promise<void> {
    const endMs = this.#startMs + this.#plan.seconds * 1000 * (1 - END_SHARE);
    let running: VerifiedServer | undefined = first;
    while (this.#kills < this.#plan.kills) {
      this.#assertGoesOn();
      const phase = `kill ${this.#kills + 1} of ${this.#plan.kills}`;
      if (this.#kills % KILL_WHILE_STARTING_EVERY === KILL_WHILE_STARTING_EVERY - 1) {
        await this.#killWhileStarting(phase);
        continue;
      }
      const server: VerifiedServer = running ?? (await this.#start(`${phase}, starting`));
      running = undefined;
      const restartMs = this.#restartMs.quantile(0.5) ?? 0;
      const meanMs = (endMs - Date.now()) / (this.#plan.kills - this.#kills) - restartMs;
      const durationMs = Math.min(MAX_LOAD_MS, Math.max(MIN_LOAD_MS, meanMs * 2 * Math.random()));
      await this.#watched(`${phase}, under load`, () => this.#loadAndKill(server, durationMs));
    }
  }

  async #loadAndKill(server: VerifiedServer, durationMs: number): Promise<void> {
    const before = this.#sent.countOf('acknowledged');
    const startedMs = performance.now();
    const loading = this.#load.run(server);
    const wasThere = await server.killLater(durationMs);
    this.#load.stop();
    this.#loadMs += performance.now() - startedMs;
    await Promise.all([this.#kill(server), loading]);
    this.#acknowledgedUnderLoad += this.#sent.countOf('acknowledged') - before;
    this.#assertGoesOn();
    if (!wasThere) throw new ServerFailure('the server ended by itself under load');
  }

  async #killWhileStarting(phase: string): Promise<void> {
    this.#progress.show(`${phase}, while it starts`);
    const server = this.#spawn();
    await this.#sleep((this.#restartMs.quantile(0.5) ?? 0) * Math.random());
    this.#killsWhileStarting++;
    await this.#kill(server);
  }

  async #compare(): Promise<void> {
    const server = await this.#start('starting for the comparison');
    try {
      await this.#watched('sending what got no answer again', () => this.#load.settle(server, SETTLE_DEADLINE_MS));
      const onLag = (lag: number): void => this.#progress.show('waiting for the store', `${grouped(lag)} events to go`);
      const isLoaded = await untilLoaded(server, this.#load, { signal: this.#signal, onLag });
      this.#assertGoesOn();
      if (!isLoaded) this.#problems.add('server', { detail: 'the store did not go on loading what was acknowledged' });
      const comparison = new Comparison(this.#series, this.#sent, this.#problems);
      await feed(server, comparison, (rows) => this.#progress.show('comparing by SQL', `${grouped(rows)} events`));
      comparison.finish();
      this.#rows = comparison.rows;
    } finally {
      await server.stop();
    }
  }

  async #fillDisk(): Promise<void> {
    this.#assertGoesOn();
    this.#progress.show('filling a small disk');
    const { dataDir: _, ...server } = this.#settings;
    this.#diskFull = await tryDiskFull({
      folder: join(this.#plan.folder, 'disk-full'),
      series: newSeries(),
      server,
      problems: this.#problems,
    });
  }

  async #start(phase: string): Promise<VerifiedServer> {
    this.#assertGoesOn();
    this.#progress.show(phase);
    const startedMs = performance.now();
    const server = this.#spawn();
    await server.untilReady();
    if (this.#kills > 0) this.#restartMs.add(performance.now() - startedMs);
    return server;
  }

  #spawn(): VerifiedServer {
    const server = VerifiedServer.spawn(this.#settings);
    this.#server = server;
    return server;
  }

  async #kill(server: VerifiedServer): Promise<void> {
    this.#kills++;
    await server.killGroup();
  }

  /** Shows how far the load came while `work` goes on. */
  async #watched(phase: string, work: () => Promise<unknown>): Promise<void> {
    const show = (): void => {
      const { acknowledged } = this.#load.totals();
      this.#progress.show(phase, `${grouped(acknowledged)} events acknowledged`);
    };
    const timer = setInterval(show, PROGRESS_EVERY_MS);
    show();
    try {
      await work();
    } finally {
      clearInterval(timer);
    }
  }

  async #sleep(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#signal }).catch(() => undefined);
  }

  #assertGoesOn(): void {
    if (this.#signal.aborted) throw new CommandFailure('Stopped before the end; nothing was proved.');
  }
}

function newSeries(): EventSeries {
  return new EventSeries(Buffer.from(new RandomIds().secret(SEED_BYTES), 'base64url'), Date.now() - FIRST_EVENT_AGE_MS);
}

function grouped(count: number): string {
  return count.toLocaleString('en-US');
}
