/** `hedgerow start`: settings to `Config`, the app, and what a person sees. The app itself handles signals. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { Option, type Command } from 'commander';
import type { RunningApp } from '../app.ts';
import type { Config, ConfigSources } from '../config/config.ts';
import { loadConfig } from '../config/load-config.ts';
import { printedConfig } from '../config/print-config.ts';
import { configFileSetting, settingNames, settings } from '../config/settings.ts';
import { usageFailure } from './command-failure.ts';
import { dataDirFlag } from './data-folder.ts';
import { firstGreeting, laterGreeting } from './greeting.ts';
import { hedgerowVersion } from './version.ts';
import { hasColour, type Terminal } from './terminal.ts';

/** @param setExitCode told once, when the server has stopped */
export function addStartCommand(program: Command, terminal: Terminal, setExitCode: (code: number) => void): void {
  const start = program.command('start').description('runs the server');
  const flagOptions = [configFileSetting, ...settingNames.map((name) => settings[name])].flatMap((setting) => {
    if (setting.flag === undefined) return [];
    const byDefault =
      'defaultText' in setting && setting.defaultText !== undefined ? `; default: ${setting.defaultText}` : '';
    const option = new Option(`--${setting.flag} <value>`, `${setting.help} (env: ${setting.env}${byDefault})`);
    return [{ flag: setting.flag, option }];
  });
  for (const { option } of flagOptions) start.addOption(option);
  start
    .option('--print-config', 'shows each setting and where it came from, secrets masked, and stops')
    .option('--json', 'for programs: one line with address, folder and, on the first start, the keys')
    .addHelpText(
      'after',
      `
The first start makes a project and prints its keys. To choose them, set
HEDGEROW_PROJECT_API_KEY (kind server), HEDGEROW_PUBLIC_API_KEY (kind public) and
HEDGEROW_PERSONAL_API_KEY before it.

Examples:
  $ hedgerow start
  $ hedgerow start --port 9000 --data-dir /srv/hedgerow
  $ hedgerow start --config hedgerow.yaml --print-config`,
    )
    .action(async (given: Readonly<Record<string, unknown>>) => {
      const flags: Record<string, string> = {};
      for (const { flag, option } of flagOptions) {
        const value = given[option.attributeName()];
        if (typeof value === 'string') flags[flag] = value;
      }
      const loaded = loadConfig({ flags, env: terminal.env, readFile: (path) => readFileSync(path, 'utf8') });
      if (loaded.kind === 'invalid') throw usageFailure(loaded.problems.join('\n'));
      if (given['printConfig'] === true) {
        terminal.out(given['json'] === true ? sourcesAsJson(loaded.sources) : printedConfig(loaded.sources));
        return;
      }
      setExitCode(await run(loaded.config, terminal, given['json'] === true ? 'json' : 'text'));
    });
}

function sourcesAsJson(sources: ConfigSources): string {
  const rows = settingNames.map((name) => {
    const { from, name: place, text } = sources[name];
    return [settings[name].fileKey, { value: text ?? null, from, name: place ?? null }];
  });
  return `${JSON.stringify(Object.fromEntries(rows))}\n`;
}

async function run(config: Config, terminal: Terminal, output: 'json' | 'text'): Promise<number> {
  // Loaded late: `--help` and `--print-config` need no native libraries.
  const { startApp } = await import('../app.ts');
  const app = await startApp(config);
  terminal.out(output === 'json' ? startedAsJson(app, config) : greetingOf(app, config, terminal));
  const { exitCode } = await app.stopped;
  return exitCode;
}

function startedAsJson(app: RunningApp, config: Config): string {
  const keys = app.firstKeys ?? null;
  const facts = { url: app.url, data_dir: resolve(config.dataDir), version: hedgerowVersion(), pid: process.pid, keys };
  return `${JSON.stringify(facts)}\n`;
}

function greetingOf(app: RunningApp, config: Config, terminal: Terminal): string {
  const facts = {
    version: hedgerowVersion(),
    url: app.url,
    dataDir: resolve(config.dataDir),
    dataDirFlag: dataDirFlag(config.dataDir),
    style: hasColour(terminal) ? 'colour' : 'plain',
  } as const;
  if (app.firstKeys === undefined) return laterGreeting(facts);
  return firstGreeting({ ...facts, keys: app.firstKeys, projectName: app.projectName });
}
