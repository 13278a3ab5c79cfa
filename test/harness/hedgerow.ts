/** Starts the real command as a user would, on a free port and a fresh folder, and talks to it over HTTP alone. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from './until.ts';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const bin = join(root, 'bin', 'hedgerow.mjs');
export const testKeys = {
  server: 'phc_test_server',
  public: 'phc_test_public',
  personal: 'phx_test_personal',
} as const;

export function freshFolder(): string {
  return mkdtempSync(join(tmpdir(), 'hedgerow-test-'));
}

export interface StartOptions {
  readonly dataDir?: string;
  readonly port?: number;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Its own process group, so that all of it can be killed at once. */
  readonly ownGroup?: boolean;
  readonly nodePath?: string;
  /** What to wait for, where the server will not be ready: default `/_readiness`. */
  readonly probe?: '/_readiness' | '/_liveness';
}

export interface Hedgerow {
  readonly url: string;
  readonly port: number;
  readonly dataDir: string;
  readonly process: ChildProcess;
  readonly output: { stdout: string; stderr: string };
  readonly exited: Promise<number | null>;
  /** SIGTERM, then waits. */
  stop(): Promise<number | null>;
  /** SIGKILL to the process group. */
  killGroup(): Promise<void>;
}

export const testEnv: Readonly<Record<string, string>> = {
  HEDGEROW_PROJECT_API_KEY: testKeys.server,
  HEDGEROW_PUBLIC_API_KEY: testKeys.public,
  HEDGEROW_PERSONAL_API_KEY: testKeys.personal,
  HEDGEROW_SKIP_BUILD: '1',
  NO_COLOR: '1',
};

export function cleanEnv(extra: Readonly<Record<string, string>> = {}): Record<string, string> {
  const inherited = Object.entries(process.env).filter(
    (entry): entry is [string, string] =>
      entry[1] !== undefined && !entry[0].startsWith('HEDGEROW_') && entry[0] !== 'VITEST',
  );
  return { ...Object.fromEntries(inherited), ...extra };
}

export async function startHedgerow(options: StartOptions = {}): Promise<Hedgerow> {
  const dataDir = options.dataDir ?? freshFolder();
  const child = spawn(
    options.nodePath ?? process.execPath,
    [bin, 'start', '--port', String(options.port ?? 0), '--data-dir', dataDir, ...(options.args ?? [])],
    {
      env: cleanEnv({ ...testEnv, ...options.env }),
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: options.ownGroup === true,
    },
  );
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
  const url = await until(
    () => {
      if (child.exitCode !== null) throw new Error(`exited with ${child.exitCode}: ${output.stderr}${output.stdout}`);
      return /http:\/\/[\d.]+:\d+/.exec(output.stdout)?.[0];
    },
    { deadlineMs: 30_000, what: 'the server prints its address' },
  );
  await until(async () => (await fetch(`${url}${options.probe ?? '/_readiness'}`)).ok, {
    deadlineMs: 30_000,
    what: 'the server is ready',
  });
  return {
    url,
    port: Number(new URL(url).port),
    dataDir,
    process: child,
    output,
    exited,
    stop: async () => {
      child.kill('SIGTERM');
      return exited;
    },
    killGroup: async () => {
      if (child.pid !== undefined) process.kill(options.ownGroup === true ? -child.pid : child.pid, 'SIGKILL');
      await exited;
    },
  };
}

/** @param name with its labels where one of several is meant @returns NaN when it is not there */
export async function metric({ url }: { readonly url: string }, name: string): Promise<number> {
  const page = await (await fetch(`${url}/metrics`)).text();
  const wanted = name.includes('{') ? name.replaceAll(/[{}]/g, String.raw`\$&`) : String.raw`${name}(?:\{.*\})?`;
  return Number(new RegExp(String.raw`^${wanted} (\S+)$`, 'm').exec(page)?.[1] ?? Number.NaN);
}

/** Resident memory of the process that captures; the store's is another process. */
export function residentMib({ process }: Hedgerow): number {
  const text = readFileSync(`/proc/${process.pid}/smaps_rollup`, 'utf8');
  return Number(/^Rss:\s+(\d+) kB$/m.exec(text)?.[1] ?? Number.NaN) / 1024;
}

/** All that was acknowledged so far is in the store. A later event proves less: a block becomes visible in parts. */
export async function untilLoaded(server: Hedgerow, deadlineMs = 30_000): Promise<void> {
  await until(async () => (await metric(server, 'hedgerow_loader_lag_events')) === 0, {
    deadlineMs,
    what: 'the loader has caught up',
  });
}

export async function stopAndRemove(server: Hedgerow): Promise<void> {
  await server.stop();
  rmSync(server.dataDir, { recursive: true, force: true });
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: unknown;
}

export async function ask(url: string, init: RequestInit = {}): Promise<Answer> {
  const response = await fetch(url, init);
  const text = await response.text();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: response.status, headers: response.headers, text, json };
}

export function post(
  url: string,
  body: string | Uint8Array | object,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  const isRaw = typeof body === 'string' || body instanceof Uint8Array;
  return ask(url, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: isRaw ? body : JSON.stringify(body),
  });
}

export const bearer = { Authorization: `Bearer ${testKeys.personal}` } as const;

export async function sql(server: { readonly url: string }, query: string): Promise<unknown[][]> {
  const answer = await post(
    `${server.url}/api/projects/@current/query/`,
    { query: { kind: 'HogQLQuery', query } },
    bearer,
  );
  if (answer.status !== 200) throw new Error(`query answered ${answer.status}: ${answer.text}`);
  return (answer.json as { results: unknown[][] }).results;
}

/** Waits until `count` events are visible in SQL. */
export async function untilCounted(server: { readonly url: string }, where: string, count: number): Promise<void> {
  await until(
    async () => Number((await sql(server, `select count() from events where ${where}`))[0]?.[0]) >= count || undefined,
    {
      deadlineMs: 20_000,
      what: `${count} events where ${where}`,
    },
  );
}
