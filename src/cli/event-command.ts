/** `hedgerow event`: what happened to one event. */
import type { Command } from 'commander';
import { formatUuid, parseUuid } from '../event/uuid.ts';
import { usageFailure } from './command-failure.ts';
import { memberText, plainText } from './json-text.ts';
import { dataDirOption, jsonOption, keyOption, projectOption, urlOption } from './options.ts';
import { serverAddress, type AddressFlags } from './server-address.ts';
import { requestText } from './server-request.ts';
import { printable } from './table.ts';
import type { Terminal } from './terminal.ts';

interface EventFlags extends AddressFlags {
  readonly project?: string;
  readonly json?: true;
}

export function addEventCommand(program: Command, terminal: Terminal): void {
  program
    .command('event')
    .description('says what happened to an event: stored, pending or rejected, and why')
    .argument('<uuid>', 'the uuid that the client gave it, or that a query shows')
    .addOption(projectOption())
    .addOption(urlOption())
    .addOption(keyOption())
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  $ hedgerow event 018f3b7e-5d5c-7c2a-9e1b-0123456789ab')
    .action(async (uuid: string, flags: EventFlags) => {
      const bytes = parseUuid(uuid);
      if (bytes === undefined)
        throw usageFailure(`"${uuid}" is no UUID; expected one such as 018f3b7e-5d5c-7c2a-9e1b-0123456789ab.`);
      const address = serverAddress(flags, terminal.env);
      const path = `/api/projects/${encodeURIComponent(flags.project ?? '@current')}/events/${formatUuid(bytes)}/`;
      const answer = await requestText(address, path);
      terminal.out(flags.json === true ? `${answer.trimEnd()}\n` : describeEvent(answer));
    });
}

const meanings: Readonly<Record<string, string>> = {
  stored: 'stored: queries see it',
  pending: 'pending: on disk, and soon in the store',
  rejected: 'rejected',
};

const fields = [
  'code',
  'detail',
  'event',
  'distinct_id',
  'timestamp',
  'received_at',
  'sent_at',
  'duplicates',
  'authenticated',
  'ip',
  'lib',
  'lib_version',
  'request_id',
  'properties',
] as const;

/** The answer's fields, one a line, those that are absent or null left out. */
export function describeEvent(answer: string): string {
  const status = plainText(memberText(answer, 'status') ?? '"stored"');
  const lines = [['status', meanings[status] ?? status]];
  for (const field of fields) {
    const value = plainText(memberText(answer, field) ?? 'null');
    if (value !== '') lines.push([field, value]);
  }
  return lines.map(([name, value]) => `${(name ?? '').padEnd(15)}${printable(value ?? '')}\n`).join('');
}
