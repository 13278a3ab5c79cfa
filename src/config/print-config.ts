import type { ConfigSources } from './config.ts';
import { settingNames, settings } from './settings.ts';

/** What `--print-config` shows: a line a setting, its value and where it came from; secrets are masked. */
export function printedConfig(sources: ConfigSources): string {
  const rows = settingNames.map((name) => {
    const { from, name: place, text } = sources[name];
    return {
      key: settings[name].fileKey,
      text: text ?? '(not set)',
      origin: place === undefined ? from : `${from} ${place}`,
    };
  });
  const keyWidth = Math.max(...rows.map(({ key }) => key.length));
  const textWidth = Math.max(...rows.map(({ text }) => text.length));
  return rows
    .map(({ key, text, origin }) => `${key.padEnd(keyWidth)}  ${text.padEnd(textWidth)}  ${origin}\n`)
    .join('');
}
