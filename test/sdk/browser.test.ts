/** The official SDKs for browsers, unchanged but for the host, in Chromium on another origin than the server's. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openGate, type Gate } from '../harness/gate.ts';
import { root, startHedgerow, stopAndRemove, testKeys, type Hedgerow } from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';
import { browserSdks, situations, type BrowserSdk, type Situation } from './browser/browser-sdks.ts';
import { compare, pageOf } from './browser/comparison.ts';
import { openPageServer, type PageServer } from './browser/page-server.ts';
import { BURST_EVENTS, type Visit, Visitor } from './browser/visit.ts';
import { isFaultless, shownEvents, type Comparison, type Shown } from './comparison.ts';
import { documentSection, table } from './compatibility.ts';

const executablePath = process.env['CHROMIUM_PATH'] ?? '/usr/bin/chromium';
const isInstalled = existsSync(executablePath);
const howToInstall = 'bash scripts/services/chromium.sh installs it';
const title = isInstalled ? 'SDKs in Chromium' : `SDKs in Chromium: left out, ${howToInstall}`;

const userAgent =
  'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36';

const REFUSES_MS = 3000;
/** The second attempt comes up to 7.5 s after the first, the third up to 10.5 s after that. */
const SHOWN_WITHIN_MS = 30_000;
const LEFT_WITHIN_MS = 10_000;

/** What the browser itself says of a request that failed, and nothing else. */
const expected: Readonly<Record<Situation, { readonly complaint?: RegExp; readonly failure?: RegExp }>> = {
  plain: {},
  restart: {
    complaint: /^error: Failed to load resource: net::ERR_CONNECTION_(REFUSED|RESET)$/,
    failure: /^POST \S+ net::ERR_CONNECTION_(REFUSED|RESET)$/,
  },
  refusing: {
    complaint: /^error: Failed to load resource: the server responded with a status of 503 \(Service Unavailable\)$/,
    failure: /^POST \S+ 503$/,
  },
};

interface Finding extends Comparison {
  readonly visit: Visit;
}

const findings = new Map<Situation, ReadonlyMap<BrowserSdk, Finding>>();

// CI installs it, so a missing one is a failure there.
if (!isInstalled && process.env['CI'] === 'true')
  it('finds a Chromium', () => expect.fail(`no ${executablePath}: ${howToInstall}`));

describe.runIf(isInstalled)(title, () => {
  let browser: Browser;
  let pages: PageServer;
  beforeAll(async () => {
    browser = await chromium.launch({
      executablePath,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        // posthog-js sends nothing of what it takes for a robot. Playwright's own way to name another browser ends
        // before the page does, and with it the events of its end.
        '--disable-blink-features=AutomationControlled',
        `--user-agent=${userAgent}`,
      ],
    });
    pages = await openPageServer(browserSdks, testKeys.public);
  });
  afterAll(async () => {
    await browser.close();
    await pages.close();
    writeReport();
  });

  describe.each(situations)('%s', (situation) => {
    let server: Hedgerow;
    let gate: Gate | undefined;
    let shown: readonly Shown[] = [];
    let found: Map<BrowserSdk, Finding>;

    /** All at once, since most of the time is spent waiting for what SDKs wait for. */
    beforeAll(async () => {
      server = await startHedgerow({ args: ['--ingest-path', '/ingest'] });
      if (situation === 'refusing')
        gate = await openGate(server.url, {
          // As Hedgerow's own refusals have them; without, the page would learn of no status.
          'Access-Control-Allow-Origin': pages.origin,
          'Access-Control-Allow-Credentials': 'true',
          'Access-Control-Expose-Headers': 'Retry-After',
        });
      const host = gate?.url ?? server.url;
      const visitors = await Promise.all(browserSdks.map((sdk) => Visitor.open(browser, { pages, sdk, host })));
      const all = async (what: (visitor: Visitor) => Promise<void>): Promise<void> =>
        void (await Promise.all(visitors.map(what)));

      await all((visitor) => visitor.begin());
      const { dataDir, port } = server;
      if (situation === 'restart') await server.stop();
      if (situation === 'refusing') gate?.refuseFor(REFUSES_MS);
      const rest = all((visitor) => visitor.goOn());
      if (situation === 'restart') server = await startHedgerow({ dataDir, port, args: ['--ingest-path', '/ingest'] });
      await rest;
      await untilShown(visitors, SHOWN_WITHIN_MS);
      await all((visitor) => visitor.leave());
      await untilShown(visitors, LEFT_WITHIN_MS);

      shown = await shownEvents(server, '');
      const visits = await Promise.all(visitors.map((visitor) => visitor.end()));
      const isResent = situation !== 'plain';
      found = new Map(
        visits.map((visit) => [visit.sdk, { ...compare({ ...visit, isResent }, shown), visit }] as const),
      );
      findings.set(situation, found);
    }, 150_000);
    afterAll(async () => {
      await gate?.close();
      await stopAndRemove(server);
    });

    /** What is still missing then is for the tests to say. */
    async function untilShown(visitors: readonly Visitor[], deadlineMs: number): Promise<void> {
      const isComplete = async (): Promise<boolean> => {
        const uuids = new Set((await shownEvents(server, '')).map((event) => event.uuid));
        const claims = await Promise.all(visitors.map((visitor) => visitor.claims()));
        return claims.flat().every((claim) => uuids.has(claim.uuid));
      };
      await until(isComplete, { deadlineMs, what: 'all claimed events' }).catch(() => undefined);
    }

    function findingOf(sdk: BrowserSdk): Finding {
      const finding = found.get(sdk);
      if (finding === undefined) throw new Error(`${sdk.id} was not run`);
      return finding;
    }

    describe.each(browserSdks)('$name $version, $form', (sdk) => {
      it('shows each event that the SDK captured once, equal in properties, time and uuid', () => {
        const { missing, doubled, unknown, differences, visit } = findingOf(sdk);
        expect({ missing, doubled, unknown, differences }).toEqual({
          missing: [],
          doubled: [],
          unknown: [],
          differences: [],
        });
        const names = visit.claims.map((claim) => claim.event);
        const wanted = [...sdk.sends, 'browser early', 'browser rich', 'browser dated', 'événement 😀', 'browser now'];
        expect(wanted.filter((name) => !names.includes(name))).toEqual([]);
        expect(names.filter((name) => name === 'browser burst')).toHaveLength(BURST_EVENTS);
        expect(names.filter((name) => name === 'browser last')).toHaveLength(10);
        const bodies = visit.requests
          .filter(({ path }) => /^\/(e|i\/v0\/e|batch)\//.test(path))
          .map(({ body }) => body);
        expect(new Set(bodies)).toEqual(new Set(sdk.bodies));
        expect(visit.beacons).toBe(sdk.leaves === 'beacon' ? 1 : 0);
      });

      it(`hears of ${situation === 'plain' ? 'nothing wrong' : 'nothing but what was done to it'}`, () => {
        const { complaints, failures } = findingOf(sdk).visit;
        const { complaint, failure } = expected[situation];
        expect(complaints.filter((text) => complaint?.test(text) !== true)).toEqual([]);
        expect(failures.filter((text) => failure?.test(text) !== true)).toEqual([]);
        // An SDK that met no refusal would not have shown that it sends again.
        if (situation !== 'plain') expect(failures.length).toBeGreaterThan(0);
      });
    });

    it('shows no event that no page captured', () => {
      expect(shown.filter((event) => pageOf(event) === undefined)).toEqual([]);
    });
  });
});

/** For whoever looks for the reason of a failure; beside the reports of the SDKs for servers, in the same shape. */
function writeReport(): void {
  const folder = join(root, '.services', 'sdk-reports');
  mkdirSync(folder, { recursive: true });
  for (const sdk of browserSdks) {
    const ofSdk = Object.fromEntries([...findings].map(([situation, found]) => [situation, found.get(sdk)]));
    const text = JSON.stringify({ sdk, findings: ofSdk }, undefined, 2);
    writeFileSync(join(folder, `browser-${sdk.id}.json`), `${text}\n`);
  }
}

describe('docs/compatibility.md', () => {
  it('says of the SDKs for browsers what this run found', async (context) => {
    if (!situations.every((situation) => findings.has(situation))) context.skip('not every situation was run');
    const cell = (sdk: BrowserSdk, situation: Situation): string => {
      const finding = findings.get(situation)?.get(sdk);
      if (finding === undefined) return 'not run';
      return isFaultless(finding) ? 'all, once' : 'events lost, doubled or changed';
    };
    const rows = browserSdks.map((sdk) => [
      sdk.name,
      sdk.version,
      sdk.form,
      sdk.protocol,
      ...situations.map((situation) => cell(sdk, situation)),
      sdk.note,
    ]);
    const head = ['SDK', 'Version', 'Loaded by', 'Protocol', 'plain', 'restart', '503', 'Note'];
    const section = await documentSection('browser SDKs', table(head, rows));
    expect(section.found).toBe(section.committed);
  });
});
