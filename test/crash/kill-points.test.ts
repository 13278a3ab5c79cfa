/**
 * The real process is killed at every named point between socket and store (src/config/kill-point.ts), started again, and
 * what a client has 200s for is compared with SQL: nothing lost, nothing there twice.
 *
 * Short form: each point once, all of them in turn on one data folder. `HEDGEROW_TEST_KILLS=500 npm run crash` goes round
 * until there were that many, at passings chosen by HEDGEROW_TEST_SEED, each round on a new folder.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { expect, it } from 'vitest';
import { KILL_VARIABLE, killPoints, type KillPoint } from '../../src/config/kill-point.ts';
import { SeededRandom } from '../harness/random.ts';
import { until } from '../harness/until.ts';
import { startKillable, type KillableServer } from './killable-server.ts';
import { LedgerClient } from './ledger-client.ts';

const killsWanted = Number(process.env['HEDGEROW_TEST_KILLS'] ?? 0);
const seed = Number(process.env['HEDGEROW_TEST_SEED'] ?? Date.now() % 1_000_000);
const rounds = Math.max(1, Math.ceil(killsWanted / killPoints.length));
const MAX_RESTART_MS = Number(process.env['HEDGEROW_TEST_RESTART_MS'] ?? 10_000);
const HIT_DEADLINE_MS = 30_000;

/** The smallest segments, so that they are made, filled and let go of all the time. */
const args = ['--segment-bytes', '65536', '--query-max-rows', '1000000', '--log-level', 'error'];

/** At which passing, so that there is something to lose: under load, and for the loader not in its first block. */
function passingOf(point: KillPoint, random: SeededRandom | undefined): number {
  const [part] = point.split('.');
  switch (part) {
    case 'request':
    case 'append':
    case 'answer':
      return 30 + (random?.below(60) ?? 0);
    case 'group':
      return 20 + (random?.below(40) ?? 0);
    case 'segment':
      return 3 + (random?.below(3) ?? 0);
    case 'loader':
    case 'store':
      // The offset moves only once in some seconds.
      return (point.includes('commit') || point === 'loader.ledger' ? 1 : 2) + (random?.below(2) ?? 0);
    case 'commit':
    case 'let_go':
      return 1 + (random?.below(2) ?? 0);
    default: // once in a life
      return 1;
  }
}

/** The migration points come first: they are passed only while the store is made. */
const order = [...killPoints].sort((a, b) => Number(b.startsWith('migration.')) - Number(a.startsWith('migration.')));

class Victim {
  readonly client = new LedgerClient();
  readonly #folder = mkdtempSync(join(tmpdir(), 'hedgerow-kill-'));
  readonly #dataDir = join(this.#folder, 'data');
  readonly restartsMs: number[] = [];
  readonly hit: KillPoint[] = [];
  #marks = 0;

  /** Acknowledges some events while there is no store yet. */
  async captureAlone(): Promise<void> {
    const server = startKillable({ dataDir: this.#dataDir, args: [...args, '--role', 'capture'] });
    const url = await this.#untilReady(server);
    const enough = Date.now() + 300;
    await this.client.load(url, 'a life without a store', () => Date.now() > enough);
    server.terminate();
    expect(await server.exited).toMatchObject({ code: 0 });
  }

  async killAt(point: KillPoint, passing: number): Promise<void> {
    if (point === 'start.tail_rewritten') await this.killAt('group.written', 5);
    if (point.startsWith('spare.')) this.#removeSpares(); // else the log goes on for ever with those that it recycles
    this.#marks += 1;
    const mark = join(this.#folder, `mark-${this.#marks}`);
    const env = { [KILL_VARIABLE]: `${point}:${passing}:${mark}` };
    const server = startKillable({ dataDir: this.#dataDir, args, env });
    const isChildAlone = point.startsWith('store.');
    const url = await server.ready;
    this.#noteRestart(server);
    if (url !== undefined) {
      const endMs = Date.now() + HIT_DEADLINE_MS;
      const isDrain = point.startsWith('drain.');
      const isOver = (): boolean => existsSync(mark) || Date.now() > endMs;
      const load = this.client.load(url, point, isDrain ? () => server.hasExited() : isOver);
      if (isDrain) {
        const before = this.client.acknowledged;
        await until(() => this.client.acknowledged > before, { deadlineMs: HIT_DEADLINE_MS, what: 'some answers' });
        server.terminate();
      }
      await load;
      const isSettled = (): boolean => existsSync(mark) || server.hasExited();
      if (isDrain) await until(isSettled, { deadlineMs: HIT_DEADLINE_MS, what: `the drain passes ${point}` });
    }
    if (!existsSync(mark)) {
      server.kill();
      throw new Error(`${point} was not passed ${passing} times; the server said: ${server.output.text}`);
    }
    if (isChildAlone) {
      // Capture must not notice: it goes on, drains and ends as if nothing had happened.
      const before = this.client.acknowledged;
      await this.client.load(url ?? '', `${point}, while the store is away`, () => this.client.acknowledged > before);
      server.terminate();
      expect(await server.exited, server.output.text).toEqual({ code: 0, signal: null });
    } else if (point.startsWith('migration.')) {
      expect(await server.exited).toEqual({ code: 1, signal: null }); // the store's process ended, and the start failed
    } else {
      expect(await server.exited).toEqual({ code: null, signal: 'SIGKILL' });
    }
    this.hit.push(point);
  }

  /** One life that nobody ends. */
  async compare(): Promise<void> {
    const server = startKillable({ dataDir: this.#dataDir, args });
    const url = await this.#untilReady(server);
    const { lost, doubled, unknown, acknowledged } = await this.client.settle({ url });
    expect({ lost, doubled, unknown }).toEqual({ lost: [], doubled: [], unknown: [] });
    expect(acknowledged).toBeGreaterThan(killPoints.length * 8);
    server.terminate();
    expect(await server.exited).toMatchObject({ code: 0 });
  }

  #removeSpares(): void {
    const logDir = join(this.#dataDir, 'log');
    for (const name of readdirSync(logDir, { recursive: true, encoding: 'utf8' })) {
      if (basename(name).startsWith('spare-')) rmSync(join(logDir, name));
    }
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }

  async #untilReady(server: KillableServer): Promise<string> {
    const url = await server.ready;
    if (url === undefined) throw new Error(`the server did not start: ${server.output.text}`);
    this.#noteRestart(server);
    return url;
  }

  #noteRestart(server: KillableServer): void {
    const readyMs = server.readyMs();
    if (readyMs !== undefined) this.restartsMs.push(readyMs);
  }
}

it(
  `killed at each of ${killPoints.length} points, ${rounds} times: nothing is lost, nothing is there twice (seed ${seed})`,
  { timeout: 600_000 * rounds },
  async () => {
    const random = killsWanted === 0 ? undefined : new SeededRandom(seed);
    const restartsMs: number[] = [];
    let acknowledged = 0;
    for (let round = 0; round < rounds; round++) {
      const victim = new Victim();
      await victim.captureAlone();
      for (const point of order) await victim.killAt(point, passingOf(point, random));
      await victim.compare();
      expect(killPoints.filter((point) => !victim.hit.includes(point))).toEqual([]);
      restartsMs.push(...victim.restartsMs);
      acknowledged += victim.client.acknowledged;
      process.stdout.write(
        `round ${round + 1} of ${rounds}: ${acknowledged} events acknowledged so far, 0 lost, 0 doubled\n`,
      );
      victim.remove();
    }
    const slowestMs = Math.max(...restartsMs);
    process.stdout.write(
      `kill points: ${rounds * killPoints.length} kills, ${acknowledged} events acknowledged, 0 lost, 0 doubled; ` +
        `ready after ${median(restartsMs)} ms in the median, ${Math.round(slowestMs)} ms at most\n`,
    );
    expect(slowestMs).toBeLessThan(MAX_RESTART_MS);
  },
);

function median(numbers: readonly number[]): number {
  return Math.round(numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0);
}
