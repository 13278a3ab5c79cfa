/** Which server a command talks to, and with which personal key. */
import { resolve } from 'node:path';
import { CommandFailure, usageFailure } from './command-failure.ts';
import { DEFAULT_DATA_DIR, findRunningServer, type RunningServer } from './data-folder.ts';

export interface ServerAddress {
  /** Without a slash at the end. */
  readonly url: string;
  readonly personalKey: string | undefined;
}

export interface AddressFlags {
  readonly url?: string;
  readonly key?: string;
  readonly dataDir?: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/** An empty variable counts as not set, as in a `.env` file that lists names to fill in. */
export function fromEnvironment(env: Environment, name: string): string | undefined {
  const value = env[name];
  return value === undefined || value === '' ? undefined : value;
}

export function dataDirOf(flags: Pick<AddressFlags, 'dataDir'>, env: Environment): string {
  return flags.dataDir ?? fromEnvironment(env, 'HEDGEROW_DATA_DIR') ?? DEFAULT_DATA_DIR;
}

/**
 * `--url`, then `HEDGEROW_URL`, then the data folder; the key likewise. The data folder's key goes only to the data
 * folder's server: another address must not be sent a secret that it never gave out.
 */
export function serverAddress(
  flags: AddressFlags,
  env: Environment,
  find: (dataDir: string) => RunningServer | undefined = findRunningServer,
): ServerAddress {
  const dataDir = dataDirOf(flags, env);
  const given = flags.url ?? fromEnvironment(env, 'HEDGEROW_URL');
  const key = flags.key ?? fromEnvironment(env, 'HEDGEROW_PERSONAL_API_KEY');
  if (key !== undefined && !/^[!-~]+$/.test(key)) {
    throw usageFailure('The personal key holds a character that no key has, such as a space. Copy it again: phx_…');
  }
  if (given !== undefined) {
    const url = trimmedUrl(given);
    if (key !== undefined) return { url, personalKey: key };
    const running = find(dataDir);
    return { url, personalKey: running !== undefined && trimmedUrl(running.url) === url ? running.key : undefined };
  }
  const running = find(dataDir);
  if (running === undefined) {
    throw new CommandFailure(
      `No running server was found on the data folder ${resolve(dataDir)}. Start one with "hedgerow start", name its folder with --data-dir, or its address with --url or HEDGEROW_URL.`,
    );
  }
  return { url: trimmedUrl(running.url), personalKey: key ?? running.key };
}

function trimmedUrl(text: string): string {
  if (!URL.canParse(text) || !/^https?:/i.test(text)) {
    throw usageFailure(`"${text}" is no address of a server; expected one such as http://127.0.0.1:8000.`);
  }
  return text.replace(/\/+$/, '');
}
