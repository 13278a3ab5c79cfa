/** What `hedgerow start` says. Pure: facts in, text out. No line passes 80 columns, but for those that hold a key. */
export interface FirstStart {
  readonly version: string;
  readonly url: string;
  readonly projectName: string;
  readonly keys: { readonly server: string; readonly public: string; readonly personal: string };
  readonly dataDir: string;
  /** What a command must be given to find this data folder, ` --data-dir …` with its leading space; else empty. */
  readonly dataDirFlag: string;
  readonly style: GreetingStyle;
}

export type LaterStart = Pick<FirstStart, 'version' | 'url' | 'dataDir' | 'dataDirFlag' | 'style'>;

export type GreetingStyle = 'colour' | 'plain';

interface Paint {
  readonly bold: (text: string) => string;
  readonly key: (text: string) => string;
  readonly dim: (text: string) => string;
}

const plain: Paint = { bold: (text) => text, key: (text) => text, dim: (text) => text };
const colour: Paint = {
  bold: (text) => `\u001b[1m${text}\u001b[22m`,
  key: (text) => `\u001b[32m${text}\u001b[39m`,
  dim: (text) => `\u001b[2m${text}\u001b[22m`,
};

function paintOf(style: GreetingStyle): Paint {
  return style === 'colour' ? colour : plain;
}

/** One word of a POSIX shell; an operator may choose any text as a key or as a folder's name. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : shellQuote(text);
}

function shellQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A string of JavaScript in single quotes. */
function scriptString(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

/** The command that sends one event the documented way: project key in the body, personal key in the header. */
export function captureCurl(start: Pick<FirstStart, 'url' | 'keys'>): string {
  const body = `{"api_key": ${JSON.stringify(start.keys.server)},\n       "event": "hello", "distinct_id": "me"}`;
  return [
    `curl ${shellWord(`${start.url}/capture/`)} \\`,
    `  -H ${shellQuote(`Authorization: Bearer ${start.keys.personal}`)} \\`,
    `  -H 'Content-Type: application/json' \\`,
    `  -d ${shellQuote(body)}`,
  ].join('\n');
}

/** The command that reads it back over HTTP. */
export function queryCurl(start: Pick<FirstStart, 'url' | 'keys'>): string {
  const body = '{"query": {"kind": "HogQLQuery", "query":\n       "select event, distinct_id, timestamp from events"}}';
  return [
    `curl ${shellWord(`${start.url}/api/projects/@current/query/`)} \\`,
    `  -H ${shellQuote(`Authorization: Bearer ${start.keys.personal}`)} \\`,
    `  -H 'Content-Type: application/json' \\`,
    `  -d ${shellQuote(body)}`,
  ].join('\n');
}

function sdkSnippet(start: Pick<FirstStart, 'url' | 'keys'>): string {
  return [
    "import { PostHog } from 'posthog-node'; // npm install posthog-node",
    'const posthog = new PostHog(',
    `  ${scriptString(start.keys.public)},`,
    `  { host: ${scriptString(start.url)} },`,
    ');',
    "posthog.capture({ distinctId: 'me', event: 'hello from an SDK' });",
    'await posthog.shutdown();',
  ].join('\n');
}

function indent(text: string, by: string): string {
  return text
    .split('\n')
    .map((line) => `${by}${line}`)
    .join('\n');
}

export function firstGreeting(start: FirstStart): string {
  const paint = paintOf(start.style);
  const command = `npx hedgerow query${start.dataDirFlag} "select event, timestamp from events"`;
  return `${[
    `${paint.bold(`Hedgerow ${start.version}`)} listens on ${paint.bold(start.url)}`,
    '',
    `The first start made a project, "${start.projectName}", and its keys:`,
    '',
    `  public    ${paint.key(start.keys.public)}`,
    paint.dim('            for SDKs, browsers and apps: names the project, can only write'),
    `  server    ${paint.key(start.keys.server)}`,
    paint.dim('            for back ends: a POST with it needs the personal key as well'),
    `  personal  ${paint.key(start.keys.personal)}`,
    paint.dim('            proves who calls; a secret, shown this once: keep it'),
    '',
    paint.bold('Send an event'),
    '',
    indent(captureCurl(start), '  '),
    '',
    paint.bold('or from an SDK, with the public key'),
    '',
    indent(sdkSnippet(start), '  '),
    '',
    paint.bold('Read it back'),
    '',
    `  ${command}`,
    '',
    paint.bold('or over HTTP'),
    '',
    indent(queryCurl(start), '  '),
    '',
    ...whereAndHow(start),
  ].join('\n')}\n`;
}

export function laterGreeting(start: LaterStart): string {
  const paint = paintOf(start.style);
  return `${[
    `${paint.bold(`Hedgerow ${start.version}`)} listens on ${paint.bold(start.url)}`,
    '',
    ...whereAndHow(start),
  ].join('\n')}\n`;
}

function whereAndHow(start: LaterStart): readonly string[] {
  return [
    `Data      ${start.dataDir}`,
    `Keys      npx hedgerow keys list${start.dataDirFlag}`,
    'Stop      Ctrl-C; what was answered with 200 is on disk',
  ];
}
