/**
 * The machine's clock jumps under load, forward, back, to 1970 and to the next century, and the server is killed and started
 * again with a clock that went back: nothing is lost, nothing is there twice.
 *
 * The clock is that of the process alone, moved in two ways: by a script that is loaded before the server and stands in for
 * `Date.now`, and, where it is installed, by libfaketime, which moves the wall clock below Node.
 */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { sql } from '../harness/hedgerow.ts';
import { startKillable, type KillableServer } from './killable-server.ts';
import { LedgerClient } from './ledger-client.ts';

const FAKETIME = [
  '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1',
  '/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1',
].find((path) => existsSync(path));
if (FAKETIME === undefined) process.stdout.write('left out: the clock by libfaketime (apt-get install faketime)\n');

const DAY_S = 86_400;
const EVENTS_A_JUMP = 160;

interface MovableClock {
  readonly env: Readonly<Record<string, string>>;
  /** Seconds away from the real time. */
  set(offsetS: number): void;
}

function scriptClock(folder: string): MovableClock {
  const offsetFile = join(folder, 'offset');
  const script = join(folder, 'clock.mjs');
  writeFileSync(
    script,
    `import { readFileSync } from 'node:fs';
     const realNow = Date.now;
     let offsetMs = 0;
     const look = () => { offsetMs = 1000 * Number(readFileSync(${JSON.stringify(offsetFile)}, 'utf8')) || 0; };
     look();
     setInterval(look, 5).unref();
     Date.now = () => realNow() + offsetMs;`,
  );
  const set = (offsetS: number): void => writeFileSync(offsetFile, String(offsetS));
  set(0);
  return { env: { NODE_OPTIONS: `--import=${pathToFileURL(script).href}` }, set };
}

function libraryClock(folder: string): MovableClock {
  const offsetFile = join(folder, 'faketime');
  const set = (offsetS: number): void => writeFileSync(offsetFile, `${offsetS < 0 ? '' : '+'}${offsetS}`);
  set(0);
  const env = {
    LD_PRELOAD: FAKETIME ?? '',
    FAKETIME_TIMESTAMP_FILE: offsetFile,
    FAKETIME_NO_CACHE: '1',
    FAKETIME_DONT_FAKE_MONOTONIC: '1',
  };
  return { env, set };
}

const clocks: readonly { name: string; isThere: boolean; make: (folder: string) => MovableClock }[] = [
  { name: 'by a script', isThere: true, make: scriptClock },
  { name: 'by libfaketime', isThere: FAKETIME !== undefined, make: libraryClock },
];

describe.each(clocks)('a clock that is moved $name', ({ isThere, make }) => {
  it.runIf(isThere)('jumps under load and across a kill, and costs nothing', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hedgerow-clock-'));
    const clock = make(folder);
    const client = new LedgerClient();
    const begin = async (): Promise<{ url: string; server: KillableServer }> => {
      const dataDir = join(folder, 'data');
      const server = startKillable({
        dataDir,
        // By this clock rejections get 156 years old, and are kept for so long.
        args: ['--segment-bytes', '65536', '--log-level', 'error', '--rejections-max-days', '100000'],
        env: clock.env,
      });
      const url = await server.ready;
      if (url === undefined) throw new Error(`the server did not start: ${server.output.text}`);
      return { url, server };
    };
    const loadFor = async (url: string, during: string): Promise<void> => {
      const enough = client.acknowledged + EVENTS_A_JUMP;
      const endMs = Date.now() + 20_000;
      await client.load(url, during, () => client.acknowledged >= enough || Date.now() > endMs);
      expect(client.acknowledged, `answers of 200 during ${during}`).toBeGreaterThanOrEqual(enough);
    };

    const nowS = Date.now() / 1000;
    const first = await begin();
    for (const [during, offsetS] of [
      ['the right time', 0],
      ['a day ahead', DAY_S],
      ['a day behind', -DAY_S],
      ['1970', Math.round(-nowS + 3600)],
      ['the next century', 100 * 365 * DAY_S],
      ['an hour behind', -3600],
    ] as const) {
      clock.set(offsetS);
      await new Promise((resolve) => setTimeout(resolve, 50));
      await loadFor(first.url, during);
    }
    first.server.kill();
    await first.server.exited;

    clock.set(-2 * DAY_S);
    const second = await begin();
    await loadFor(second.url, 'a restart two days behind');
    clock.set(0);
    const { lost, doubled, unknown } = await client.settle(second).catch((error: unknown) => {
      throw new Error(`the server said: ${second.server.output.text}`, { cause: error });
    });
    expect({ lost, doubled, unknown }).toEqual({ lost: [], doubled: [], unknown: [] });
    // The clock did move: events were dated by it.
    const years = await sql(second, 'select distinct toYear(received_at) as y from events order by y');
    expect(years.flat().map(Number)).toEqual(expect.arrayContaining([1970, new Date().getUTCFullYear()]));
    expect(Number(years.flat().at(-1))).toBeGreaterThan(2100);
    second.server.terminate();
    expect(await second.server.exited).toMatchObject({ code: 0 });
    rmSync(folder, { recursive: true, force: true });
  });
});
