/** The real server, from this installation, in a process group of its own that can be killed at once. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { z } from 'zod';
import type { Environment } from '../server-address.ts';

/** Three folders above both `src/cli/verify/` and `dist/cli/verify/`. */
const launcher = fileURLToPath(new URL('../../../bin/hedgerow.mjs', import.meta.url));

const START_DEADLINE_MS = 60_000;
const STOP_DEADLINE_MS = 20_000;
/** After the end of the server, for word that it was the kill. */
const WORD_DEADLINE_MS = 1_000;
/** Where process 1 of a container does not reap, a dead process of the group counts as alive: not worth more waiting. */
const GROUP_DEADLINE_MS = 1_000;
const POLL_MS = 10;
const MAX_TAIL_LINES = 12;

/** Runs in a thread: `workerData` is `{ pid, afterMs }`, its message whether there was a group to kill. */
const killerSource = `
  const { parentPort, workerData } = require('node:worker_threads');
  setTimeout(() => {
    let isKilled = true;
    try {
      process.kill(-workerData.pid, 'SIGKILL');
    } catch {
      isKilled = false;
    }
    parentPort.postMessage(isKilled);
  }, workerData.afterMs);
`;

export interface ServerKeys {
  readonly server: string;
  readonly public: string;
  readonly personal: string;
}

export interface ServerSettings {
  readonly dataDir: string;
  readonly keys: ServerKeys;
  /** What the server writes to its standard error is added to this file. */
  readonly logPath: string;
  readonly env: Environment;
  /** Flags beside those for address and folder. */
  readonly flags?: readonly string[];
  /** Kills it at once. */
  readonly signal: AbortSignal;
}

/** The server did not start, or ended by itself. The message is one sentence. */
export class ServerFailure extends Error {
  override readonly name = 'ServerFailure';
}

const started = z.object({ url: z.string() });

export class VerifiedServer {
  readonly keys: ServerKeys;
  readonly #child: ChildProcess;
  readonly #settings: ServerSettings;
  readonly #exited: Promise<void>;
  readonly #kill = (): void => {
    // Once nothing of it is left, the system may give its number to others.
    if (!this.#isGone) signalGroup(this.#child, 'SIGKILL');
  };
  #stdout = '';
  #url = '';
  #isEnded = false;
  #isEndWanted = false;
  /** Of the whole group nothing runs any more. */
  #isGone = false;

  private constructor(settings: ServerSettings) {
    this.#settings = settings;
    this.keys = settings.keys;
    const log = openSync(settings.logPath, 'a', 0o600);
    this.#child = spawn(
      process.execPath,
      [launcher, 'start', '--json', '--port', '0', '--data-dir', settings.dataDir, ...(settings.flags ?? [])],
      { env: environmentOf(settings), stdio: ['ignore', 'pipe', log], detached: true },
    );
    closeSync(log);
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.#stdout += text));
    this.#exited = new Promise((resolve) => {
      const end = (): void => {
        this.#isEnded = true;
        resolve();
      };
      this.#child.once('exit', end).once('error', end);
    });
    process.once('exit', this.#kill);
    settings.signal.addEventListener('abort', this.#kill);
    if (settings.signal.aborted) this.#kill();
  }

  /** Only made, perhaps not ready: `untilReady` tells. */
  static spawn(settings: ServerSettings): VerifiedServer {
    return new VerifiedServer(settings);
  }

  /** Without a slash at the end; empty before it is ready. */
  get url(): string {
    return this.#url;
  }

  /** It ended, and nobody asked it to. */
  get hasDied(): boolean {
    return this.#isEnded && !this.#isEndWanted;
  }

  /** @throws ServerFailure */
  async untilReady(): Promise<void> {
    const endMs = Date.now() + START_DEADLINE_MS;
    for (;;) {
      if (this.#isEnded) throw new ServerFailure(`the server ended while it was starting. ${this.#tail()}`);
      if (Date.now() > endMs) {
        throw new ServerFailure(`the server was not ready after ${START_DEADLINE_MS / 1000} s. ${this.#tail()}`);
      }
      if (this.#url === '' && this.#stdout.includes('\n')) {
        this.#url = started.parse(JSON.parse(this.#stdout.slice(0, this.#stdout.indexOf('\n')))).url;
      }
      if (this.#url !== '' && (await readinessOf(this)) === 200) return;
      await sleep(POLL_MS);
    }
  }

  /**
   * SIGKILL to all of it, from a thread: this one's timers come between two answers, when the server may well have nothing
   * in hand. `killGroup` must follow.
   *
   * @returns whether it was still there to be killed
   */
  async killLater(afterMs: number): Promise<boolean> {
    const worker = new Worker(killerSource, { eval: true, workerData: { pid: this.#child.pid, afterMs } });
    const word = once(worker, 'message').then(([isKilled]: unknown[]) => isKilled === true);
    const ended = this.#exited.then(() => sleep(WORD_DEADLINE_MS, false));
    try {
      return await Promise.race([word, ended]);
    } finally {
      await worker.terminate();
    }
  }

  /** SIGKILL to all of it at once; resolves when nothing of it runs. */
  async killGroup(): Promise<void> {
    this.#isEndWanted = true;
    this.#kill();
    await this.#ended();
  }

  /** SIGTERM, as an operator would stop it. */
  async stop(): Promise<void> {
    this.#isEndWanted = true;
    if (!this.#isEnded) this.#child.kill('SIGTERM');
    await Promise.race([this.#exited, sleep(STOP_DEADLINE_MS, undefined, { ref: false })]);
    this.#kill();
    await this.#ended();
  }

  async #ended(): Promise<void> {
    if (this.#isGone) return;
    await this.#exited;
    process.removeListener('exit', this.#kill);
    this.#settings.signal.removeEventListener('abort', this.#kill);
    const endMs = Date.now() + GROUP_DEADLINE_MS;
    while (isGroupAlive(this.#child) && Date.now() < endMs) await sleep(POLL_MS);
    this.#isGone = true;
  }

  /** The last lines that the server wrote, which say why. */
  #tail(): string {
    const lines = readFileSync(this.#settings.logPath, 'utf8').trimEnd().split('\n').slice(-MAX_TAIL_LINES);
    return `It said last:\n${lines.join('\n')}`;
  }
}

/** The operator's own settings stay out: a seeded key or another engine would make this another server. */
function environmentOf({ env, keys }: ServerSettings): Record<string, string> {
  const kept = Object.entries(env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && !entry[0].startsWith('HEDGEROW_'),
  );
  return {
    ...Object.fromEntries(kept),
    HEDGEROW_PROJECT_API_KEY: keys.server,
    HEDGEROW_PUBLIC_API_KEY: keys.public,
    HEDGEROW_PERSONAL_API_KEY: keys.personal,
    HEDGEROW_SKIP_BUILD: '1', // this command runs from the same build
  };
}

/** The status of `GET /_readiness`; undefined when there was no answer. */
export async function readinessOf({ url }: Pick<VerifiedServer, 'url'>): Promise<number | undefined> {
  try {
    const answer = await fetch(`${url}/_readiness`);
    await answer.arrayBuffer();
    return answer.status;
  } catch {
    return undefined;
  }
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals | 0): boolean {
  try {
    return child.pid !== undefined && process.kill(-child.pid, signal);
  } catch {
    return false; // nobody of it is left
  }
}

function isGroupAlive(child: ChildProcess): boolean {
  return signalGroup(child, 0);
}
