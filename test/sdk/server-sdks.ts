/**
 * The official SDKs for servers, each as it was released, with the options it runs with and the limits of its own.
 * docs/compatibility.md shows this table beside what came of it.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { root } from '../harness/hedgerow.ts';
import type { DriverCommand } from './driver-run.ts';

export const situations = ['plain', 'restart', 'refusing'] as const;
/** `refused` is the restart without a gate, for an SDK that gives up then. */
export type Situation = (typeof situations)[number] | 'refused';

export interface ServerSdk {
  readonly name: string;
  readonly version: string;
  /** Of the driver, which makes options of it. */
  readonly variant: 'plain' | 'gzip' | 'v1' | 'v1 gzip' | 'v1 zstd' | 'v1 br';
  /** What the document says of protocol and compression. */
  readonly protocol: string;
  readonly runtime: Runtime;
  /** The driver's program and what stands before the arguments that all drivers take. */
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /**
   * What stands between SDK and server while the server restarts: nothing, so that connections are refused, or the
   * gate, which answers 503 instead, for an SDK that gives up on a refused connection within the second of a restart.
   */
  readonly restartsBehind: 'nothing' | 'gate';
  /** Of one that needs the gate: whether it reports the events that it gives up without it. */
  readonly givesUp?: 'with a report' | 'in silence';
  /** All three for each protocol of an SDK; fewer for one that differs by its compression alone. */
  readonly situations: readonly Situation[];
  /** A limit of the SDK itself or an option it ran with, for the document. */
  readonly note?: string;
}

/** A row of the table below; its situations follow from its variant. */
type Row = Omit<ServerSdk, 'situations'>;

interface Runtime {
  /** Exists when the SDK is installed, or when its driver is built. */
  readonly path: string;
  /** Installs it; undefined for what `npm ci` installs. */
  readonly script: string | undefined;
}

const services = join(root, '.services');
const drivers = join(root, 'test', 'sdk', 'drivers');
const npm = (name: string): Runtime => ({ path: join(root, 'node_modules', name), script: undefined });
const python: Runtime = {
  path: join(services, 'python', 'posthog-7.91.1.dist-info'),
  script: 'scripts/services/python-sdk.sh',
};
const python3: Runtime = {
  path: join(services, 'python-3', 'posthog-3.25.0.dist-info'),
  script: 'scripts/services/python-sdk.sh',
};
const go: Runtime = { path: join(services, 'go-sdk', 'driver'), script: 'scripts/services/go-sdk.sh' };
const rust: Runtime = { path: join(services, 'rust-sdk', 'driver'), script: 'scripts/services/rust-sdk.sh' };
const rustV1: Runtime = { path: join(services, 'rust-sdk', 'driver-v1'), script: 'scripts/services/rust-sdk.sh' };
const java: Runtime = { path: join(services, 'java-sdk', 'classes'), script: 'scripts/services/java-sdk.sh' };

function situationsOf(variant: ServerSdk['variant']): readonly Situation[] {
  if (variant === 'plain' || variant === 'v1') return situations;
  return variant === 'gzip' ? ['plain', 'refusing'] : ['plain'];
}

type Options = Pick<ServerSdk, 'version' | 'variant' | 'protocol'> & { readonly note?: string };

function nodeSdk(packageName: string, options: Options): Row {
  const args = [join(drivers, 'posthog-node.mjs'), packageName];
  const runtime = npm(packageName);
  return { name: 'posthog-node', runtime, command: process.execPath, args, restartsBehind: 'nothing', ...options };
}

function pythonSdk(runtime: Runtime, options: Options): Row {
  const args = [join(drivers, 'posthog_driver.py')];
  const env = { PYTHONPATH: join(runtime.path, '..'), PYTHONDONTWRITEBYTECODE: '1' };
  return { name: 'posthog (Python)', runtime, command: 'python3', args, env, restartsBehind: 'nothing', ...options };
}

const goNote =
  'With an `Interval` of one second. Four attempts within 0.7 s when the connection is refused (`MaxRetries` raises it), so a proxy that answers 503 stands before a restart. ' +
  '`Close` gives up a batch that waits for its retry: wait for the callbacks first. In V1 it tells its ' +
  'clock in whole seconds, so the correction of clocks moves its events by up to one.';
function goSdk(options: Pick<ServerSdk, 'variant' | 'protocol'>): Row {
  const command = go.path;
  const restartsBehind = 'gate';
  return {
    name: 'posthog-go',
    version: '1.23.1',
    runtime: go,
    command,
    args: [],
    restartsBehind,
    ...(options.variant === 'plain' ? { givesUp: 'with a report' } : {}),
    note: goNote,
    ...options,
  };
}

const rustNote =
  'Three attempts within 0.6 s when the connection is refused (`max_capture_attempts` raises it), so a proxy that answers 503 stands before a restart. ' +
  '`shutdown` tries once and drops without a report what waits for its retry: give it time first.';
function rustSdk(runtime: Runtime, options: Pick<ServerSdk, 'variant' | 'protocol'>): Row {
  const command = runtime.path;
  const restartsBehind = 'gate';
  return {
    name: 'posthog-rs',
    version: '0.30.0',
    runtime,
    command,
    args: [],
    restartsBehind,
    ...(options.variant === 'plain' ? { givesUp: 'with a report' } : {}),
    note: rustNote,
    ...options,
  };
}

function javaSdk(
  mainClass: string,
  sdk: Pick<ServerSdk, 'name' | 'version' | 'protocol' | 'restartsBehind' | 'givesUp' | 'note'>,
): Row {
  const classPath = `${java.path}:${join(services, 'java-sdk', 'libs', '*')}`;
  return {
    variant: 'plain',
    runtime: java,
    command: 'java',
    args: ['-Xshare:auto', '-cp', classPath, mainClass],
    ...sdk,
  };
}

const rows: readonly Row[] = [
  nodeSdk('posthog-node', { version: '5.70.0', variant: 'plain', protocol: 'v0, gzip' }),
  nodeSdk('posthog-node', { version: '5.70.0', variant: 'v1', protocol: 'V1, gzip' }),
  nodeSdk('posthog-node-4', { version: '4.18.0', variant: 'plain', protocol: 'v0' }),
  nodeSdk('posthog-node-3', { version: '3.6.3', variant: 'plain', protocol: 'v0' }),
  {
    ...nodeSdk('posthog-js-lite', { version: '4.12.1', variant: 'plain', protocol: 'v0' }),
    name: 'posthog-js-lite',
    args: [join(drivers, 'posthog-js-lite.mjs'), 'posthog-js-lite'],
    note: 'Run in Node.js.',
  },
  pythonSdk(python, { version: '7.91.1', variant: 'plain', protocol: 'v0' }),
  pythonSdk(python, { version: '7.91.1', variant: 'gzip', protocol: 'v0, gzip' }),
  pythonSdk(python, { version: '7.91.1', variant: 'v1', protocol: 'V1' }),
  pythonSdk(python, { version: '7.91.1', variant: 'v1 gzip', protocol: 'V1, gzip' }),
  pythonSdk(python3, {
    version: '3.25.0',
    variant: 'plain',
    protocol: 'v0',
    note: 'With `max_retries=10`: its pauses are random, so that the default of 3 may give up within a second. Events without a chosen uuid carry none.',
  }),
  goSdk({ variant: 'plain', protocol: 'v0' }),
  goSdk({ variant: 'gzip', protocol: 'v0, gzip' }),
  goSdk({ variant: 'v1', protocol: 'V1' }),
  goSdk({ variant: 'v1 zstd', protocol: 'V1, zstd' }),
  goSdk({ variant: 'v1 br', protocol: 'V1, br' }),
  rustSdk(rust, { variant: 'plain', protocol: 'v0' }),
  rustSdk(rust, { variant: 'gzip', protocol: 'v0, gzip' }),
  rustSdk(rustV1, { variant: 'v1', protocol: 'V1' }),
  rustSdk(rustV1, { variant: 'v1 zstd', protocol: 'V1, zstd' }),
  javaSdk('PosthogServer', {
    name: 'posthog-server (Java)',
    version: '2.3.3',
    protocol: 'v0, gzip',
    restartsBehind: 'gate',
    givesUp: 'in silence',
    note: 'Loses the batch when the connection is refused, but retries any 5xx without end, so a proxy that answers 503 stands before a restart. `close` sends nothing: call `flush` until the queue is empty.',
  }),
  javaSdk('PosthogJava', {
    name: 'posthog (Java)',
    version: '1.2.0',
    protocol: 'v0',
    restartsBehind: 'gate',
    givesUp: 'with a report',
    note: 'The dormant one. Sends no uuid. Gives a batch up at once when the connection is refused, so a proxy that answers 503 stands before a restart.',
  }),
];

export const serverSdks: readonly ServerSdk[] = rows.map((sdk) => ({ ...sdk, situations: situationsOf(sdk.variant) }));

export function isInstalled(sdk: ServerSdk): boolean {
  return existsSync(sdk.runtime.path);
}

/** Read where a range in package.json chose it; elsewhere a lock file, a path or the pom pins the row's own version. */
export function installedVersion(sdk: ServerSdk): string {
  if (sdk.runtime.script !== undefined) return sdk.version;
  return z
    .object({ version: z.string() })
    .parse(JSON.parse(readFileSync(join(sdk.runtime.path, 'package.json'), 'utf8'))).version;
}

/** Why a suite is left out, and what to do. */
export function howToInstall(sdk: ServerSdk): string {
  return sdk.runtime.script === undefined ? 'npm ci installs it' : `bash ${sdk.runtime.script} installs it`;
}

export interface DriverTarget {
  readonly host: string;
  readonly key: string;
  readonly situation: Situation;
  readonly seed: string;
}

export function driverCommand(sdk: ServerSdk, target: DriverTarget): DriverCommand {
  const args = [...sdk.args, target.host, target.key, sdk.variant, target.situation, target.seed];
  return { command: sdk.command, args, env: sdk.env ?? {} };
}
