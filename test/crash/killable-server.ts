/** The real command, as `test/harness/hedgerow.ts` starts it, for tests in which it may end at any moment, its start included. */
import { spawn } from 'node:child_process';
import { bin, cleanEnv, testEnv } from '../harness/hedgerow.ts';

/** Process groups that a failing test would leave behind. */
const stillRunning = new Set<number>();
process.once('exit', () => {
  for (const pid of stillRunning) process.kill(-pid, 'SIGKILL');
});

export interface KillableServer {
  readonly pid: number;
  readonly output: { text: string };
  /** Its address, once it is ready; undefined when it ended before. */
  readonly ready: Promise<string | undefined>;
  /** From the start of the process to the first good answer of `/_readiness`; set once it is ready. */
  readonly readyMs: () => number | undefined;
  readonly hasExited: () => boolean;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  /** To the whole process group. */
  kill(): void;
  terminate(): void;
}

export interface KillableOptions {
  readonly dataDir: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Another build than this checkout's. */
  readonly binPath?: string;
}

export function startKillable(options: KillableOptions): KillableServer {
  const startedMs = performance.now();
  const args = ['start', '--port', '0', '--data-dir', options.dataDir, ...(options.args ?? [])];
  const child = spawn(process.execPath, [options.binPath ?? bin, ...args], {
    env: cleanEnv({ ...testEnv, ...options.env }),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const output = { text: '' };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output.text += text));
  }
  const { pid } = child;
  if (pid === undefined) throw new Error('the server could not be started');
  stillRunning.add(pid);
  let hasExited = false;
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('exit', (code, signal) => {
      hasExited = true;
      stillRunning.delete(pid);
      resolve({ code, signal });
    });
  });
  let readyMs: number | undefined;
  const untilReady = async (): Promise<string | undefined> => {
    while (!hasExited) {
      const url = /http:\/\/[\d.]+:\d+/.exec(output.text)?.[0];
      if (url !== undefined) {
        const isReady = await fetch(`${url}/_readiness`).then(
          (answer) => answer.ok,
          () => false,
        );
        if (isReady) {
          readyMs = performance.now() - startedMs;
          return url;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return undefined;
  };
  return {
    pid,
    output,
    ready: untilReady(),
    readyMs: () => readyMs,
    hasExited: () => hasExited,
    exited,
    kill: () => {
      if (!hasExited) process.kill(-pid, 'SIGKILL');
    },
    terminate: () => {
      if (!hasExited) process.kill(pid, 'SIGTERM');
    },
  };
}
