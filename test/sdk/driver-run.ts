/** Runs one driver (drivers/README.md) and keeps what it said. */
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { cleanEnv } from '../harness/hedgerow.ts';
import { parseExact } from './exact-json.ts';

const claim = z.strictObject({
  event: z.string(),
  distinct_id: z.string(),
  uuid: z.string().nullable(),
  timestamp: z.string().nullable(),
  properties: z.record(z.string(), z.unknown()),
});
const line = z.union([
  z.strictObject({ half: z.literal(true) }),
  z.strictObject({ sent: z.literal(true) }),
  z.strictObject({ done: z.literal(true) }),
  z.strictObject({ failed: z.string().nullable(), because: z.string() }),
  z.strictObject({ claim }),
]);

export type Claim = z.infer<typeof claim>;

export interface DriverRun {
  readonly claims: readonly Claim[];
  /** Reports of giving up. `events` is undefined where the SDK does not say how many. */
  readonly failures: readonly { readonly events: number | undefined; readonly because: string }[];
  readonly stderr: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

export interface DriverCommand {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export interface DriverHooks {
  /** Runs when the driver has sent 100 events of the burst; the last 50 wait for it. */
  readonly atHalf: () => Promise<void>;
  /** For an SDK that cannot tell when it has delivered everything: runs when all is handed over, ends when it is there. */
  readonly untilShown: (run: DriverRun) => Promise<void>;
}

export async function runDriver(driver: DriverCommand, hooks: DriverHooks): Promise<DriverRun> {
  const startedAtMs = Date.now();
  const child = spawn(driver.command, driver.args, {
    env: cleanEnv(driver.env),
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const deadline = setTimeout(() => child.kill('SIGKILL'), 60_000);
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code));
  });

  const claims: Claim[] = [];
  const failures: { events: number | undefined; because: string }[] = [];
  let isDone = false;
  const answers: Promise<void>[] = [];
  const goOnAfter = (hook: Promise<void>): void => {
    const answer = hook.then(() => void child.stdin.write('go\n'));
    answer.catch(() => child.kill('SIGKILL')); // the reason comes out below
    answers.push(answer);
  };
  child.stdin.on('error', () => undefined); // a driver that died says so by its exit code
  const unreadable: string[] = [];
  createInterface({ input: child.stdout }).on('line', (text) => {
    const parsed = text.startsWith('{') ? line.safeParse(parseExact(text)) : undefined;
    const said = parsed?.data;
    if (said === undefined) unreadable.push(text);
    else if ('claim' in said) claims.push(said.claim);
    else if ('failed' in said)
      failures.push({ events: said.failed === null ? undefined : Number(said.failed.slice(1)), because: said.because });
    else if ('done' in said) isDone = true;
    else if ('half' in said) goOnAfter(hooks.atHalf());
    else goOnAfter(hooks.untilShown({ claims, failures, stderr, startedAtMs, endedAtMs: Date.now() }));
  });
  const code = await exited;
  clearTimeout(deadline);
  await Promise.all(answers);
  if (code !== 0 || !isDone || unreadable.length > 0)
    throw new Error(`the driver ended with ${code}, done: ${isDone}\n${unreadable.join('\n')}${stderr}`);
  return { claims, failures, stderr, startedAtMs, endedAtMs: Date.now() };
}
