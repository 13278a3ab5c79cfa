/** The kinds of value that a setting may have: each reads a text, or says what it expected. No message shows the text. */
import { isIP } from 'node:net';
import { z } from 'zod';
import { isPersonalKeyShape, projectKeyProblem } from '../event/key-shape.ts';

export interface SettingKind<T> {
  /** Completes `expected …`. */
  readonly expects: string;
  readonly schema: z.ZodType<T, string>;
}

/** `parse` returns the value, or a problem that is shown behind the setting's name. */
function kind<T>(expects: string, parse: (text: string) => { value: T } | { problem: string }): SettingKind<T> {
  const schema = z.string().transform((text, context) => {
    const parsed = parse(text);
    if ('value' in parsed) return parsed.value;
    context.addIssue({ code: 'custom', message: parsed.problem });
    return z.NEVER;
  });
  return { expects, schema };
}

function expected(expects: string): { problem: string } {
  return { problem: `expected ${expects}` };
}

export function wholeNumber(range: { min: number; max: number; unit?: string }): SettingKind<number> {
  const noun = range.unit === undefined ? 'a whole number' : `a whole number of ${range.unit}`;
  const expects = `${noun} from ${range.min} to ${range.max}`;
  return kind(expects, (text) => {
    const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    return value >= range.min && value <= range.max ? { value } : expected(expects);
  });
}

const DURATION = /^(\d{1,12})(ms|s)?$/;

/** Reads into milliseconds: `250`, `250ms`, `5s`. */
export function durationMs(range: { min: number; max: number }): SettingKind<number> {
  const expects = `milliseconds from ${range.min} to ${range.max}, or seconds with s behind them, such as 5s`;
  return kind(expects, (text) => {
    const [, digits, unit] = DURATION.exec(text) ?? [];
    const value = digits === undefined ? Number.NaN : Number(digits) * (unit === 's' ? 1_000 : 1);
    return value >= range.min && value <= range.max ? { value } : expected(expects);
  });
}

export function oneOf<const T extends string>(words: readonly T[]): SettingKind<T> {
  const expects = `one of ${words.join(', ')}`;
  return kind(expects, (text) => {
    const value = words.find((word) => word === text);
    return value === undefined ? expected(expects) : { value };
  });
}

/** One or more of `words`, comma-separated; `all` stands for each of them. */
export function someOf<const T extends string>(words: readonly T[]): SettingKind<ReadonlySet<T>> {
  const expects = `all, or one or more of ${words.join(', ')}, comma-separated`;
  return kind(expects, (text) => {
    if (text.trim() === 'all') return { value: new Set(words) };
    const value = new Set<T>();
    for (const part of listed(text)) {
      const word = words.find((word) => word === part);
      if (word === undefined) return expected(expects);
      value.add(word);
    }
    return value.size === 0 ? expected(expects) : { value };
  });
}

export const plainText: SettingKind<string> = kind('a text that is not empty', (text) =>
  text.trim() === '' || text.includes('\0') ? expected('a text that is not empty') : { value: text },
);

/** Of a file that need not be given. */
export const optionalPath: SettingKind<string | undefined> = plainText;

/** `all`, or addresses and networks. An empty list trusts nobody. */
export type TrustedProxies = 'all' | readonly string[];

const PROXIES = 'all, none, or a comma-separated list of IP addresses and networks such as 10.0.0.0/8';

export const proxies: SettingKind<TrustedProxies> = kind<TrustedProxies>(PROXIES, (text) => {
  if (text.trim() === 'all') return { value: 'all' };
  if (text.trim() === 'none') return { value: Object.freeze([]) };
  const value = listed(text);
  return value.length > 0 && value.every(isAddressOrNetwork) ? { value: Object.freeze(value) } : expected(PROXIES);
});

function isAddressOrNetwork(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128));
}

function listed(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/** The engine of a port. `embedded` is the only one there is as yet; `others` are named in interface.md. */
export function engineUrl<const T extends string>(embedded: T, others: readonly string[]): SettingKind<T> {
  return kind(embedded, (text) => {
    if (text === embedded) return { value: embedded };
    const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(text)?.[0].toLowerCase();
    if (scheme === embedded) return { problem: `expected ${embedded} and nothing behind it` };
    // The rest of the URL stays unsaid: it may hold a password.
    return scheme !== undefined && others.includes(scheme)
      ? {
          problem: `the engine ${scheme} comes with the cluster and is not in this version; the only one is ${embedded}`,
        }
      : expected(embedded);
  });
}

/** First parts of our own paths: below one of them a prefix would hide, or be hidden by, what is served there. */
export const reservedFirstSegments = [
  '_liveness', '_readiness', 'api', 'array', 'batch', 'capture', 'decide', 'e', 'engage', 'flags', 'i', 'metrics', 'openapi.json', 's',
  'static', 'test', 'track',
] as const; // prettier-ignore

const MAX_INGEST_PATH_CHARACTERS = 200;
const INGEST_PATH =
  'a path such as /ingest: it begins with a slash, holds letters, digits and - . _ ~ between slashes, and no .. or empty part';

/** Reads into a path without its last slash. */
export const ingestPath: SettingKind<string | undefined> = kind<string | undefined>(INGEST_PATH, (text) => {
  const path = text.endsWith('/') ? text.slice(0, -1) : text;
  if (path.length > MAX_INGEST_PATH_CHARACTERS || !/^(?:\/[A-Za-z0-9._~-]+)+$/.test(path)) return expected(INGEST_PATH);
  const [, first = '', ...others] = path.split('/');
  if ([first, ...others].some((part) => part === '.' || part === '..')) return expected(INGEST_PATH);
  const reserved = reservedFirstSegments.find((segment) => segment === first.toLowerCase());
  if (reserved !== undefined) {
    return { problem: `/${reserved} is a path of Hedgerow's own; choose one that begins otherwise, such as /ingest` };
  }
  return { value: path };
});

const PROJECT_KEY = 'a project key: 1 to 64 ASCII characters that do not begin with phx_';

export const projectApiKey: SettingKind<string | undefined> = kind<string | undefined>(PROJECT_KEY, (text) => {
  const problem = projectKeyProblem(text);
  return problem === undefined ? { value: text } : { problem: `expected ${PROJECT_KEY} (${problem})` };
});

const PERSONAL_KEY = 'a personal key: phx_ and 1 to 252 visible ASCII characters';

export const personalApiKey: SettingKind<string | undefined> = kind<string | undefined>(PERSONAL_KEY, (text) =>
  isPersonalKeyShape(text) ? { value: text } : expected(PERSONAL_KEY),
);
