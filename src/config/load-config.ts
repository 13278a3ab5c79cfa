/**
 * Flag, then environment, then file, then default: all settings in one frozen `Config`, or all that is wrong with them.
 *
 * A problem names the place and the reason, and for an unknown name the nearest valid one; it shows no secret. An
 * environment variable that is empty counts as not set, since compose files and service managers set what they have no
 * value for.
 */
import { parseDocument } from 'yaml';
import { z } from 'zod';
import type { Config, ConfigSources, SettingSource } from './config.ts';
import { nearestName } from './nearest-name.ts';
import {
  configFileSetting,
  otherVariables,
  settingNames,
  settings,
  type Setting,
  type SettingName,
} from './settings.ts';

const ENV_PREFIX = 'HEDGEROW_';
const MASK = '********';
/** Longer names and values are cut; a name is compared with every valid one. */
const MAX_SHOWN_CHARACTERS = 80;

export interface ConfigInput {
  /** By name without dashes: `data-dir`. Only settings; the caller takes its own flags out. */
  readonly flags: Readonly<Record<string, string>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The text of the file at `path`; throws when it cannot be read. */
  readonly readFile: (path: string) => string;
}

export type LoadedConfig =
  | { readonly kind: 'ok'; readonly config: Config; readonly sources: ConfigSources }
  | { readonly kind: 'invalid'; readonly problems: readonly string[] };

type Texts = ReadonlyMap<string, string>;

const scalar = z.union([z.string(), z.number(), z.boolean()]);
const fileValue = z.union([scalar, z.array(scalar)]);
const fileSchema = z.strictObject(
  Object.fromEntries(settingNames.map((name) => [settings[name].fileKey, fileValue.optional()])),
);

const flagNames = settingNames.flatMap((name) => settings[name].flag ?? []).concat(configFileSetting.flag);
const envNames = [...settingNames.map((name) => settings[name].env), configFileSetting.env, ...otherVariables];
const fileKeys = settingNames.map((name) => settings[name].fileKey);

export function loadConfig(input: ConfigInput): LoadedConfig {
  const problems: string[] = [];
  for (const flag of Object.keys(input.flags)) {
    if (!flagNames.includes(flag)) problems.push(unknownName({ what: 'flag', name: flag, prefix: '--' }, flagNames));
  }
  for (const name of Object.keys(input.env)) {
    if (name.startsWith(ENV_PREFIX) && !envNames.some((known) => known === name)) {
      problems.push(unknownName({ what: 'environment variable', name, prefix: '' }, envNames));
    }
  }
  const configFile = ownText(input.flags, configFileSetting.flag) ?? envText(input.env, configFileSetting.env);
  const fileTexts = configFile === undefined ? new Map<string, string>() : readTexts(configFile, input, problems);

  const values: Partial<Record<SettingName, unknown>> = {};
  const sources: Partial<Record<SettingName, SettingSource>> = {};
  for (const name of settingNames) {
    const setting: Setting<unknown> = settings[name];
    const source = sourceOf(setting, input, { path: configFile, texts: fileTexts });
    sources[name] = { ...source, text: source.text === undefined || !setting.isSecret ? source.text : MASK };
    if (source.text === undefined) continue;
    const parsed = setting.kind.schema.safeParse(source.text);
    if (parsed.success) values[name] = parsed.data;
    else problems.push(badValue(setting, source, parsed.error.issues.map((issue) => issue.message).join('; ')));
  }
  if (values.projectApiKey !== undefined && values.projectApiKey === values.publicApiKey) {
    problems.push(
      `${settings.projectApiKey.env} and ${settings.publicApiKey.env} are the same key; a key has one kind, so choose two`,
    );
  }
  const given = [sources.tlsCert, sources.tlsKey].map((source) => source?.text !== undefined);
  if (given[0] !== given[1]) {
    const [missing, other] =
      given[0] === true ? [settings.tlsKey, settings.tlsCert] : [settings.tlsCert, settings.tlsKey];
    problems.push(`--${other.flag} needs --${missing.flag} beside it (or ${missing.env}): HTTPS takes both`);
  }
  if (problems.length > 0) return { kind: 'invalid', problems };
  return { kind: 'ok', config: frozenConfig(values, configFile), sources: Object.freeze(sources) as ConfigSources };
}

/** The table's types made `values` what `Config` says; the compiler cannot follow a loop over names. */
function frozenConfig(values: Readonly<Partial<Record<SettingName, unknown>>>, configFile: string | undefined): Config {
  const { projectApiKey, publicApiKey, personalApiKey, ...rest } = values;
  const seeds = Object.freeze({ projectApiKey, publicApiKey, personalApiKey });
  return Object.freeze({ ...rest, seeds, configFile }) as Config;
}

function sourceOf(
  setting: Setting<unknown>,
  { flags, env }: ConfigInput,
  file: { readonly path: string | undefined; readonly texts: Texts },
): SettingSource {
  const flagText = setting.flag === undefined ? undefined : ownText(flags, setting.flag);
  if (flagText !== undefined) return { from: 'flag', name: `--${setting.flag}`, text: flagText };
  const text = envText(env, setting.env);
  if (text !== undefined) return { from: 'environment', name: setting.env, text };
  const fileText = file.texts.get(setting.fileKey);
  if (fileText !== undefined) return { from: 'file', name: file.path, text: fileText };
  return { from: 'default', name: undefined, text: setting.defaultText };
}

/** Shows the value, unless it is a secret or a URL, which may hold a password. */
function badValue(setting: Setting<unknown>, source: SettingSource, problem: string): string {
  const place = source.from === 'file' ? `${source.name}: ${setting.fileKey}` : (source.name ?? setting.fileKey);
  const text = source.text ?? '';
  if (setting.isSecret || /:\/\/|@/.test(text)) return `${place}: ${problem}`;
  return `${place} is ${JSON.stringify(text.slice(0, MAX_SHOWN_CHARACTERS))}; ${problem}`;
}

function readTexts(path: string, input: ConfigInput, problems: string[]): Texts {
  const texts = new Map<string, string>();
  let content: string;
  try {
    content = input.readFile(path);
  } catch (error) {
    problems.push(`${path}: cannot be read (${reasonOf(error)})`);
    return texts;
  }
  const document = parseDocument(content, { prettyErrors: false });
  if (document.errors.length > 0) {
    for (const error of document.errors) {
      const line = content.slice(0, error.pos[0]).split('\n').length;
      problems.push(`${path}: line ${line} is no YAML (${error.code.toLowerCase().replaceAll('_', ' ')})`);
    }
    return texts;
  }
  const mapping = plainValue(document) ?? {};
  const checked = fileSchema.safeParse(mapping);
  for (const issue of checked.error?.issues ?? []) problems.push(...fileProblems(path, issue));
  if (typeof mapping !== 'object') return texts;
  // Key by key, so that one bad key does not hide what is wrong with the others.
  for (const [fileKey, raw] of Object.entries(mapping)) {
    const setting: Setting<unknown> | undefined = settingNames
      .map((name) => settings[name])
      .find((known) => known.fileKey === fileKey);
    const value = fileValue.safeParse(raw);
    if (setting === undefined || !value.success) continue;
    if (setting.isSecret && typeof value.data !== 'string') {
      problems.push(`${path}: ${fileKey}: expected a text in quotes, since YAML would change what looks like a number`);
    } else {
      texts.set(fileKey, Array.isArray(value.data) ? value.data.join(',') : String(value.data));
    }
  }
  return texts;
}

/** Undefined for an empty file. A file of aliases that would grow beyond all bounds throws inside; it is no mapping to us. */
function plainValue(document: ReturnType<typeof parseDocument>): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 });
  } catch {
    return 'too many aliases';
  }
}

function fileProblems(path: string, issue: z.core.$ZodIssue): string[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((name) => `${path}: ${unknownName({ what: 'key', name, prefix: '' }, fileKeys)}`);
  }
  const key = issue.path[0];
  return key === undefined
    ? [`${path}: expected one mapping of keys to values`]
    : [`${path}: ${String(key)}: expected a text, a number or a list of them`];
}

function unknownName(
  found: { readonly what: string; readonly name: string; readonly prefix: string },
  names: readonly string[],
): string {
  const shown = found.name.slice(0, MAX_SHOWN_CHARACTERS);
  const nearest = nearestName(shown, names) ?? '';
  return `unknown ${found.what} ${found.prefix}${shown}; the nearest valid name is ${found.prefix}${nearest}`;
}

function ownText(texts: Readonly<Record<string, string>>, name: string): string | undefined {
  return Object.hasOwn(texts, name) ? texts[name] : undefined;
}

function envText(env: ConfigInput['env'], name: string): string | undefined {
  const text = env[name];
  return text === '' ? undefined : text;
}

/** `ENOENT` and its like; a message would say the path a second time. */
function reasonOf(error: unknown): string {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') return error.code;
  return error instanceof Error ? error.message : 'unknown reason';
}
