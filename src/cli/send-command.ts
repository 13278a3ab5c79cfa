/** `hedgerow send`: test events to a running server, over the documented API. */
import { createReadStream } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { RandomIds } from '../event/id-source.ts';
import type { ProjectKey } from '../registry/registry.ts';
import { BatchSender, type SendTotals } from './batch-sender.ts';
import { CommandFailure, usageFailure } from './command-failure.ts';
import { hasRegistry, withRegistry } from './data-folder.ts';
import { inOrder } from './keys-command.ts';
import { appended, dataDirOption, jsonOption, keyOption, urlOption } from './options.ts';
import { lineEvent, linesOf, namedEvent, type OutgoingEvent, type UnreadableLine } from './outgoing-event.ts';
import { dataDirOf, fromEnvironment, serverAddress, type AddressFlags } from './server-address.ts';
import { printable } from './table.ts';
import type { Terminal } from './terminal.ts';

const DEFAULT_DISTINCT_ID = 'hedgerow-cli';
/** Beyond this many, rejected events are only counted: a wrong file would fill the screen. */
const MAX_REJECTIONS_SHOWN = 20;

interface SendFlags extends AddressFlags {
  readonly distinctId?: string;
  readonly prop?: readonly string[];
  readonly file?: string;
  readonly projectKey?: string;
  readonly json?: true;
}

export function addSendCommand(program: Command, terminal: Terminal): void {
  program
    .command('send')
    .description('sends test events to a running server')
    .argument('[event]', 'name of an event')
    .option('--distinct-id <id>', `who did it (default: ${DEFAULT_DISTINCT_ID})`)
    .option('--prop <name=value>', 'a property; JSON where it reads as JSON, else text; may be given again', appended)
    .option('--file <events.ndjson>', 'one JSON event a line; - reads standard input')
    .option(
      '--project-key <phc_…>',
      "a project key (env: HEDGEROW_PUBLIC_API_KEY, HEDGEROW_PROJECT_API_KEY; default: the data folder's first)",
    )
    .addOption(urlOption())
    .addOption(keyOption())
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Events go out in batches of 100. A batch that is answered 429 or 503 is sent again
after the time that the server asks for; nothing is counted twice.

Examples:
  $ hedgerow send "signed up" --distinct-id ann --prop plan=pro --prop seats=3
  $ hedgerow send --file events.ndjson
  $ cat events.ndjson | hedgerow send --file - --url https://events.example.com --project-key phc_…`,
    )
    .action(async (event: string | undefined, flags: SendFlags) => {
      if (event === undefined && flags.file === undefined) {
        throw usageFailure(
          'Give the name of an event, or --file events.ndjson. "hedgerow send --help" shows examples.',
        );
      }
      if (event === undefined && (flags.distinctId !== undefined || flags.prop !== undefined)) {
        throw usageFailure(
          '--distinct-id and --prop belong to an event that is named; the lines of a file have their own.',
        );
      }
      await send(event, flags, terminal);
    });
}

interface SendReport extends SendTotals {
  readonly unreadable: number;
}

async function send(event: string | undefined, flags: SendFlags, terminal: Terminal): Promise<void> {
  const address = serverAddress(flags, terminal.env);
  const projectKey = await projectKeyFor(flags, terminal);
  const progress = new Progress(terminal);
  const sender = new BatchSender(address, projectKey, {
    fetch: globalThis.fetch,
    sleep: (ms) => sleep(ms),
    onProgress: (totals) => progress.show(totals),
    onRejected: ({ origin, code, detail }) => progress.complain(`${origin}: rejected, ${code}: ${detail}`),
    onRetry: (reason, waitMs) => progress.note(`${reason}; trying again in ${waitMs / 1000} s`),
  });
  let unreadable = 0;
  let failure: unknown;
  try {
    for await (const next of eventsOf(event, flags)) {
      if (next.kind === 'event') {
        await sender.add(next);
      } else {
        unreadable++;
        progress.complain(`${next.origin}: not sent, since ${next.problem}`);
      }
    }
    await sender.flush();
  } catch (error) {
    failure = error;
  }
  progress.end();
  const totals = { ...sender.totals(), unreadable };
  if (failure === undefined || totals.sent > 0 || flags.json === true) report(totals, flags, terminal);
  if (failure !== undefined) throw failure instanceof Error ? failure : new Error('sending failed', { cause: failure });
  if (sender.totals().rejected > 0 || unreadable > 0) throw new CommandFailure('Not every event was accepted.');
}

async function* eventsOf(event: string | undefined, flags: SendFlags): AsyncGenerator<OutgoingEvent | UnreadableLine> {
  const ids = new RandomIds();
  if (event !== undefined) {
    yield namedEvent({ event, distinctId: flags.distinctId ?? DEFAULT_DISTINCT_ID, properties: flags.prop ?? [] }, ids);
  }
  if (flags.file === undefined) return;
  let lineNumber = 0;
  try {
    for await (const line of linesOf(flags.file === '-' ? process.stdin : createReadStream(flags.file))) {
      lineNumber++;
      const next = lineEvent(line, `line ${lineNumber}`, ids);
      if (next !== undefined) yield next;
    }
  } catch (error) {
    if (error instanceof Error && 'code' in error && 'syscall' in error) {
      throw new CommandFailure(`${flags.file} cannot be read (${String(error.code)}).`);
    }
    throw error;
  }
}

/** Flag, environment, data folder. A public key comes first: it needs nothing else. */
async function projectKeyFor(flags: SendFlags, terminal: Terminal): Promise<string> {
  const given =
    flags.projectKey ??
    fromEnvironment(terminal.env, 'HEDGEROW_PUBLIC_API_KEY') ??
    fromEnvironment(terminal.env, 'HEDGEROW_PROJECT_API_KEY');
  if (given !== undefined) return given;
  const dataDir = dataDirOf(flags, terminal.env);
  if (hasRegistry(dataDir)) {
    const key = await withRegistry(dataDir, (registry) => Promise.resolve(usableKey(registry.projectKeys())));
    if (key !== undefined) return key.key;
  }
  throw new CommandFailure(
    'No project key was given. Give one with --project-key or HEDGEROW_PUBLIC_API_KEY, or name the data folder with --data-dir.',
  );
}

/** The first project's, the public one before the server one. */
export function usableKey(keys: readonly ProjectKey[]): ProjectKey | undefined {
  const valid = inOrder(keys).filter((key) => key.revokedAtMs === undefined);
  const candidates = valid.filter((key) => key.projectId === valid[0]?.projectId);
  return candidates.find((key) => key.kind === 'public') ?? candidates[0];
}

function report(totals: SendReport, flags: SendFlags, terminal: Terminal): void {
  if (flags.json === true) {
    terminal.out(`${JSON.stringify(totals)}\n`);
    return;
  }
  const { sent, accepted, rejected, unreadable, requests, retries } = totals;
  const extra = [
    ...(unreadable > 0 ? [`${unreadable} unreadable`] : []),
    ...(retries > 0 ? [`${retries} of ${requests} requests were repeats`] : []),
  ];
  terminal.out(`${[`${sent} sent`, `${accepted} accepted`, `${rejected} rejected`, ...extra].join(', ')}\n`);
}

/** One line on standard error that is drawn over, on a terminal only; complaints stay. */
class Progress {
  readonly #terminal: Terminal;
  #complaints = 0;
  #isDrawn = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  show(totals: SendTotals): void {
    this.#draw(`${totals.sent} sent, ${totals.accepted} accepted, ${totals.rejected} rejected`);
  }

  note(text: string): void {
    if (this.#terminal.isErrTty) this.#draw(text);
    else this.#terminal.err(`${text}\n`);
  }

  complain(text: string): void {
    this.#complaints++;
    if (this.#complaints > MAX_REJECTIONS_SHOWN) return;
    this.#clear();
    this.#terminal.err(`${printable(text)}\n`);
  }

  end(): void {
    this.#clear();
    const unsaid = this.#complaints - MAX_REJECTIONS_SHOWN;
    if (unsaid > 0) this.#terminal.err(`… and ${unsaid} more\n`);
  }

  #draw(text: string): void {
    if (!this.#terminal.isErrTty) return;
    this.#terminal.err(`\r\u001b[2K${printable(text)}`);
    this.#isDrawn = true;
  }

  #clear(): void {
    if (this.#isDrawn) this.#terminal.err('\r\u001b[2K');
    this.#isDrawn = false;
  }
}
