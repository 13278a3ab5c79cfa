/** The official SDKs for servers, unchanged but for the host: what they claim to have sent is what the events API shows. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openGate } from '../harness/gate.ts';
import { root, startHedgerow, stopAndRemove, testKeys, type Hedgerow } from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';
import { briefly, compare, isFaultless, shownEvents, type Comparison } from './comparison.ts';
import { documentSection, table } from './compatibility.ts';
import { runDriver, type DriverRun } from './driver-run.ts';
import {
  driverCommand,
  howToInstall,
  installedVersion,
  isInstalled,
  serverSdks,
  situations,
  type ServerSdk,
  type Situation,
} from './server-sdks.ts';

/** CI installs all of them, so a missing one is a failure there. */
const mustHaveAll = process.env['CI'] === 'true';
const REFUSES_MS = 3000;
const SHOWN_WITHIN_MS = 10_000;
const LOST_AFTER_MS = 3000;

interface Finding extends Comparison {
  readonly claimed: number;
  readonly mayLose: number;
  readonly failures: DriverRun['failures'];
}

interface Wanted {
  readonly missingAtMost: number;
  readonly withinMs: number;
}

/** As many as it reported; without a report, or with one that does not count, any number. */
function mayLose(sdk: ServerSdk, sent: DriverRun): number {
  if (sdk.givesUp === 'in silence') return Infinity;
  return sent.failures.reduce((sum, { events }) => sum + (events ?? Infinity), 0);
}

const findings = new Map<ServerSdk, Map<Situation, Finding>>();

for (const [position, sdk] of serverSdks.entries()) {
  const title = `${sdk.name} ${sdk.version}, ${sdk.protocol}`;
  if (isInstalled(sdk) || mustHaveAll) describe(title, () => sdkSuite(sdk, position));
  else describe.skip(title, () => it(`is left out: ${howToInstall(sdk)}`, () => undefined));
}
if (!mustHaveAll) {
  // Reporters do not show why a suite is left out.
  const absent = serverSdks.filter((sdk) => !isInstalled(sdk)).map((sdk) => `${sdk.name} (${howToInstall(sdk)})`);
  if (absent.length > 0) console.info(`left out: ${[...new Set(absent)].join(', ')}`);
}

function sdkSuite(sdk: ServerSdk, position: number): void {
  let server: Hedgerow;
  beforeAll(async () => {
    if (!isInstalled(sdk)) throw new Error(`not installed: ${howToInstall(sdk)}`);
    expect(installedVersion(sdk)).toBe(sdk.version);
    server = await startHedgerow();
    findings.set(sdk, new Map());
  });
  afterAll(async () => {
    await stopAndRemove(server);
    writeReport(sdk, `${position}-${sdk.name}-${sdk.version}-${sdk.variant}`);
  });

  /** Looks until as much is shown as is wanted; what is missing after the time for it is for the test to say. */
  async function look(sent: DriverRun, seed: string, wanted: Wanted): Promise<Comparison> {
    let last: Comparison | undefined;
    const isShown = async (): Promise<boolean> => {
      last = compare(sent, await shownEvents(server, seed));
      return last.missing.length <= wanted.missingAtMost;
    };
    await until(isShown, { deadlineMs: wanted.withinMs, what: 'the claimed events' }).catch(() => undefined);
    if (last === undefined) throw new Error('the events API never answered');
    return last;
  }

  async function run(situation: Situation, host: string, atHalf: () => Promise<void>): Promise<Finding> {
    const seed = `s${position}-${situation}`;
    const driver = driverCommand(sdk, { host, key: testKeys.public, situation, seed });
    // Where events may be lost, nothing tells an SDK that waits for them when to stop.
    const withinMs = situation === 'refused' ? LOST_AFTER_MS : SHOWN_WITHIN_MS;
    const sent = await runDriver(driver, {
      atHalf,
      untilShown: async (soFar) => void (await look(soFar, seed, { missingAtMost: 0, withinMs })),
    });
    const missingAtMost = situation === 'refused' ? mayLose(sdk, sent) : 0;
    const comparison = await look(sent, seed, { missingAtMost, withinMs: SHOWN_WITHIN_MS });
    const finding = { ...comparison, claimed: sent.claims.length, mayLose: missingAtMost, failures: sent.failures };
    findings.get(sdk)?.set(situation, finding);
    if (situation === 'plain') expect(sent.stderr).toBe('');
    return finding;
  }

  function expectFaultless(finding: Finding): void {
    expect({
      failures: finding.failures,
      missing: briefly(finding.missing),
      doubled: briefly(finding.doubled),
      unknown: briefly(finding.unknown),
      differences: briefly(finding.differences),
    }).toEqual({ failures: [], missing: [], doubled: [], unknown: [], differences: [] });
    expect(finding.claimed).toBeGreaterThanOrEqual(254);
  }

  async function runOverRestart(situation: Situation, url: string): Promise<Finding> {
    let restarted: Promise<void> | undefined;
    const finding = await run(situation, url, async () => {
      const { dataDir, port } = server;
      expect(await server.stop()).toBe(0);
      restarted = startHedgerow({ dataDir, port }).then((started) => void (server = started));
      restarted.catch(() => undefined); // awaited below
    });
    await restarted;
    return finding;
  }

  it('sends its script: each event is there once, equal in properties, time and uuid, and the SDK is quiet', async () => {
    expectFaultless(await run('plain', server.url, () => Promise.resolve()));
  });

  const { givesUp } = sdk;
  const has = (situation: Situation): boolean => sdk.situations.includes(situation);
  if (has('restart'))
    it('loses and doubles nothing when the server restarts in the middle of the burst', async () => {
      const gate = sdk.restartsBehind === 'gate' ? await openGate(server.url) : undefined;
      const finding = await runOverRestart('restart', gate?.url ?? server.url);
      await gate?.close();
      expectFaultless(finding);
    });

  if (givesUp !== undefined)
    it(`doubles nothing and loses no more than it gives up, ${givesUp}, when a restart refuses its connections`, async () => {
      const { missing, mayLose, doubled, unknown, differences } = await runOverRestart('refused', server.url);
      expect({ doubled, unknown, differences }).toEqual({ doubled: [], unknown: [], differences: [] });
      expect(missing.length).toBeLessThanOrEqual(mayLose);
    });

  if (has('refusing'))
    it('loses and doubles nothing when each request is answered 503 for three seconds', async () => {
      const gate = await openGate(server.url);
      const finding = await run('refusing', gate.url, () => {
        gate.refuseFor(REFUSES_MS);
        return Promise.resolve();
      });
      await gate.close();
      expect(gate.counts.refused).toBeGreaterThan(0);
      expectFaultless(finding);
    });
}

function writeReport(sdk: ServerSdk, name: string): void {
  const folder = join(root, '.services', 'sdk-reports');
  mkdirSync(folder, { recursive: true });
  const file = `${name.replaceAll(/[^\w.]+/g, '-')}.json`;
  const { version, protocol, note } = sdk;
  const found = Object.fromEntries(findings.get(sdk) ?? []);
  const report = { name: sdk.name, version, protocol, note, findings: found };
  writeFileSync(join(folder, file), `${JSON.stringify(report, undefined, 2)}\n`);
}

describe('docs/compatibility.md', () => {
  const isWhole = (): boolean =>
    serverSdks.every((sdk) => sdk.situations.every((situation) => findings.get(sdk)?.has(situation)));

  it('says of the SDKs for servers what this run found', async (context) => {
    if (!isWhole()) context.skip('not every SDK was run');
    const cell = (sdk: ServerSdk, situation: Situation): string => {
      const finding = findings.get(sdk)?.get(situation);
      if (finding === undefined) return '–';
      return isFaultless(finding) ? `all ${finding.claimed}, once` : 'events lost, doubled or changed';
    };
    const rows = serverSdks.map((sdk) => [
      sdk.name,
      sdk.version,
      sdk.protocol,
      ...situations.map((situation) => cell(sdk, situation)),
    ]);
    const head = ['SDK', 'Version', 'Protocol', 'plain', 'restart', '503'];
    const notes = serverSdks
      .filter((sdk) => sdk.note !== undefined)
      .map((sdk) => `- ${sdk.name} ${sdk.version}: ${sdk.note}`);
    const section = await documentSection('server SDKs', `${table(head, rows)}\n\n${[...new Set(notes)].join('\n')}`);
    expect(section.found).toBe(section.committed);
  });
});
