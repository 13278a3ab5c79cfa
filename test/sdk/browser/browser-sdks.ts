/**
 * The official SDKs for browsers, each as it was released, and how a page comes by it.
 * docs/compatibility.md shows this table beside what came of it.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../../harness/hedgerow.ts';

export type BodyForm = 'gzip alone' | 'gzip, compression=gzip-js' | 'gzip, Content-Encoding' | 'base64 form' | 'other';

/** What posthog-js makes by itself. */
const AUTOMATIC = ['$pageview', '$autocapture', '$pageleave'];
/** What calls other than `capture` make. */
const CALLED = ['$identify', '$create_alias', '$groupidentify'];

/** plain: the server is just there. restart: it is stopped and started in the middle. refusing: 503 for a while. */
export const situations = ['plain', 'restart', 'refusing'] as const;
export type Situation = (typeof situations)[number];

export interface BrowserSdk {
  /** In the page's address, so that every event names the page it came from. */
  readonly id: string;
  readonly name: string;
  readonly version: string;
  /** How the page comes by it, for the document. */
  readonly form: string;
  readonly protocol: string;
  readonly page:
    { readonly kind: 'module'; readonly package: string; readonly entry: string } | { readonly kind: 'snippet' };
  /** Behind the server's address in `api_host`. */
  readonly ingestPath: '' | '/ingest';
  /** What an event's time says: when it happened, or how long before the first attempt to send it (sdks.md 2.1). */
  readonly times: 'timestamp' | 'offset';
  /** Names of which it sends at least one event. */
  readonly sends: readonly string[];
  /** Requests that it makes before the middle of the visit. */
  readonly asks: readonly RegExp[];
  /** Every form that its requests with events have, beacons aside. */
  readonly bodies: readonly BodyForm[];
  /** What it sends when the page goes: a beacon, or nothing until the next page flushes what is stored. */
  readonly leaves: 'beacon' | 'queue';
  readonly note: string;
}

function versionOf(packageName: string): string {
  const text = readFileSync(join(root, 'node_modules', packageName, 'package.json'), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

const POSTHOG_JS_ASKS = [/^\/array\/[^/]+\/config\.js$/, /^\/flags\/\?v=2$/];

type Described = 'id' | 'form' | 'page' | 'ingestPath';

function posthogJs(sdk: Pick<BrowserSdk, Described>): BrowserSdk {
  return {
    name: 'posthog-js',
    version: versionOf('posthog-js'),
    protocol: 'v0, gzip in `text/plain`',
    times: 'timestamp',
    sends: [...AUTOMATIC, ...CALLED, '$set'],
    asks: POSTHOG_JS_ASKS,
    bodies: ['gzip alone'],
    leaves: 'beacon',
    note: '',
    ...sdk,
  };
}

const npm = (packageName: string, entry: string): BrowserSdk['page'] => ({
  kind: 'module',
  package: packageName,
  entry,
});
const offsetNote =
  'Says of a queued event how long ago it happened, and says the same again when it has to resend it: such events are dated later by the wait.';

export const browserSdks: readonly BrowserSdk[] = [
  posthogJs({ id: 'module', form: 'npm', page: npm('posthog-js', 'dist/module.mjs'), ingestPath: '' }),
  {
    ...posthogJs({ id: 'snippet', form: 'HTML snippet', page: { kind: 'snippet' }, ingestPath: '' }),
    asks: [/^\/static\/array\.js$/, ...POSTHOG_JS_ASKS],
    note: '`/static/array.js` is the one that Hedgerow serves.',
  },
  posthogJs({
    id: 'ingest',
    form: 'npm, below `--ingest-path`',
    page: npm('posthog-js', 'dist/module.mjs'),
    ingestPath: '/ingest',
  }),
  {
    ...posthogJs({ id: '350', form: 'npm', page: npm('posthog-js-350', 'dist/module.js'), ingestPath: '' }),
    version: versionOf('posthog-js-350'),
    protocol: 'v0, `compression=gzip-js`',
    times: 'offset',
    asks: [/^\/array\/[^/]+\/config\.js$/, /^\/flags\/\?v=2&.*compression=base64/],
    bodies: ['gzip, compression=gzip-js'],
    note: offsetNote,
  },
  {
    ...posthogJs({ id: '196', form: 'npm', page: npm('posthog-js-196', 'dist/es.js'), ingestPath: '' }),
    version: versionOf('posthog-js-196'),
    protocol: 'v0, base64 forms, then `compression=gzip-js`',
    times: 'offset',
    asks: [/^\/decide\/\?v=3/, /^\/e\/\?ip=/, /compression=gzip-js/],
    bodies: ['base64 form', 'gzip, compression=gzip-js'],
    note: `${offsetNote} It repeats the time of sending as well, so that this holds for events that are sent at once, too.`,
  },
  {
    id: 'lite',
    name: 'posthog-js-lite',
    version: versionOf('posthog-js-lite'),
    form: 'npm',
    protocol: 'v0, `/batch/`, gzip',
    page: npm('posthog-js-lite', 'dist/index.mjs'),
    ingestPath: '',
    times: 'timestamp',
    sends: CALLED,
    asks: [/^\/flags\/\?v=2/],
    bodies: ['gzip, Content-Encoding'],
    leaves: 'queue',
    note: 'Sends nothing when the page goes: the next page sends what is left in `localStorage`.',
  },
];
