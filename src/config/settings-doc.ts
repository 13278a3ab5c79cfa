import { configFileSetting, otherVariables, settingNames, settings } from './settings.ts';

/** docs/settings.md, from the table of settings. Pure; a test compares it with the file. */
export function settingsDoc(): string {
  return [
    '# Settings',
    'Made from `src/config/settings.ts`; change it there.',
    'A flag goes before the environment, the environment before the file, the file before the default. ' +
      'An empty environment variable counts as not set. An unknown name or a bad value stops the start, with all that ' +
      'is wrong in one message. `hedgerow start --print-config` shows each value and where it came from, secrets masked.',
    `The file is named by \`--${configFileSetting.flag}\` or \`${configFileSetting.env}\`. ${configFileSetting.help} ` +
      'Values may be texts, numbers or lists.',
    ...settingNames.map(sectionOf),
    '## Variables of other parts',
    `${otherVariables.map((name) => `\`${name}\``).join(' and ')} are read by the client commands and by the launcher ` +
      'of a checkout; the server leaves them alone.',
  ]
    .map((paragraph) => `${paragraph}\n`)
    .join('\n');
}

function sectionOf(name: (typeof settingNames)[number]): string {
  const { flag, fileKey, env, kind, defaultText, isSecret, help } = settings[name];
  return [
    `## ${fileKey}\n`,
    `${help}\n`,
    `- Flag: ${flag === undefined ? 'none, since everybody on the machine can read a command line' : `\`--${flag}\``}`,
    `- Environment: \`${env}\``,
    `- Value: ${kind.expects}`,
    `- Default: ${defaultText === undefined ? 'not set' : `\`${defaultText}\``}`,
    ...(isSecret ? ['- Secret: masked wherever it is shown'] : []),
  ].join('\n');
}
