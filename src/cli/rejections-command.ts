/** `hedgerow rejections`: which events were refused and why, and sending them again after a fix. */
import { createInterface } from 'node:readline/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { z } from 'zod';
import { parseUuid } from '../event/uuid.ts';
import { CommandFailure, usageFailure } from './command-failure.ts';
import { appended, dataDirOption, jsonOption, keyOption, projectOption, urlOption } from './options.ts';
import { mended, readMend, type Mend } from './rejection-mending.ts';
import { RejectionSender, type ResentEvent } from './rejection-sender.ts';
import { serverAddress, type AddressFlags, type ServerAddress } from './server-address.ts';
import { requestText } from './server-request.ts';
import { formatTable, printable, type Column } from './table.ts';
import type { Terminal } from './terminal.ts';

const DEFAULT_LIMIT = 100;
const MAX_PAGE = 1000;

interface ChoiceFlags extends AddressFlags {
  readonly project?: string;
  readonly code?: string;
  readonly after?: string;
  readonly before?: string;
  readonly request?: string;
  readonly index?: number;
  readonly limit?: number;
  readonly json?: true;
}

interface ListFlags extends ChoiceFlags {
  readonly all?: true;
  readonly raw?: true;
}

interface RetryFlags extends ChoiceFlags {
  readonly set?: readonly string[];
  readonly setProperty?: readonly string[];
  readonly unset?: readonly string[];
  readonly dryRun?: true;
  readonly yes?: true;
}

const rejection = z.object({
  request_id: z.string(),
  index: z.number(),
  received_at: z.string(),
  sent_at: z.string().nullable(),
  code: z.string(),
  detail: z.string(),
  event: z.string(),
  distinct_id: z.string(),
  uuid: z.string().nullable(),
  ip: z.string(),
  authenticated: z.boolean(),
  historical: z.boolean(),
  retried: z.boolean(),
  raw: z.string(),
});
type Rejection = z.infer<typeof rejection>;
const pageAnswer = z.object({
  results: z.array(rejection),
  next: z.string().nullable(),
  count: z.number().optional(),
});

export function addRejectionsCommand(program: Command, terminal: Terminal): void {
  const rejections = program
    .command('rejections')
    .description('events that were refused, why, and sending them again after a fix')
    .addHelpText(
      'after',
      `
Examples:
  $ hedgerow rejections
  $ hedgerow rejections list --code missing_distinct_id --after -24h
  $ hedgerow rejections retry --code event_too_large
  $ hedgerow rejections retry --code missing_distinct_id --set distinct_id=unknown`,
    );

  choiceOptions(
    rejections
      .command('list', { isDefault: true })
      .description('shows rejected events, the newest first; those that were sent again are left out')
      .addOption(countOption('--limit <n>', `the most to show (default: ${DEFAULT_LIMIT})`, 1))
      .option('--all', 'those that were sent again too')
      .addOption(new Option('--raw', 'the events as they were sent, one a line').conflicts('json')),
  )
    .addHelpText(
      'after',
      `
Examples:
  $ hedgerow rejections list
  $ hedgerow rejections list --code event_too_large --after -7d --limit 20
  $ hedgerow rejections list --raw --limit 1000 > rejected.ndjson`,
    )
    .action((flags: ListFlags) => list(flags, terminal));

  choiceOptions(
    rejections
      .command('retry')
      .description('sends rejected events again, each into the time when it came first')
      .addOption(countOption('--limit <n>', 'the most to send (default: all)', 1))
      .option('--set <field=value>', 'a field of each event, such as distinct_id=ann; may be given again', appended)
      .option(
        '--set-property <k=v>',
        'a property; JSON where it reads as JSON, else text; may be given again',
        appended,
      )
      .option('--unset <field>', 'takes a field away, such as uuid; may be given again', appended)
      .option('--dry-run', 'says what would be sent, and sends nothing')
      .option('--yes', 'does not ask'),
  )
    .addHelpText(
      'after',
      `
The server must find nothing wrong with them this time: raise a limit first, or say
here what to change. An event is stored once however often it is sent again: one
without a uuid gets one that follows from its request, so one that its client has
sent anew since would be there twice. What was stored is left out of "list" from
then on. It needs a personal key with the scopes query and admin,
and capture for events that were vouched for or where no public key is valid.

Examples:
  $ hedgerow rejections retry --code refused_with_batch
  $ hedgerow rejections retry --code missing_distinct_id --set distinct_id=unknown --dry-run
  $ hedgerow rejections retry --code invalid_uuid --unset uuid --yes
  $ hedgerow rejections retry --request 018f3b7e-5d5c-7c2a-9e1b-0123456789ab --index 0`,
    )
    .action((flags: RetryFlags) => retry(flags, terminal));
}

function choiceOptions(command: Command): Command {
  return command
    .addOption(projectOption())
    .option('--code <code>', 'refused for this reason, such as missing_distinct_id')
    .option('--after <time>', 'received after it: ISO 8601, or such as -24h or -7d')
    .option('--before <time>', 'received before it')
    .option('--request <id>', 'of one request: the X-Request-Id of its answer')
    .addOption(countOption('--index <n>', 'with --request: one event, by its place in the request', 0))
    .addOption(urlOption())
    .addOption(keyOption())
    .addOption(dataDirOption())
    .addOption(jsonOption());
}

function countOption(flag: string, what: string, least: number): Option {
  return new Option(flag, what).argParser((text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : -1;
    if (value < least) throw new InvalidArgumentError(`It must be a whole number from ${least}.`);
    return value;
  });
}

async function list(flags: ListFlags, terminal: Terminal): Promise<void> {
  const address = serverAddress(flags, terminal.env);
  const limit = flags.limit ?? DEFAULT_LIMIT;
  const rows: string[][] = [];
  let shown = 0;
  let count = 0;
  if (flags.json === true) terminal.out('{"results":[');
  for await (const page of pagesOf(address, flags, limit)) {
    count = page.count ?? count;
    for (const each of page.results) {
      if (flags.json === true) terminal.out(`${shown === 0 ? '' : ','}${JSON.stringify(each)}`);
      else if (flags.raw === true) terminal.out(`${oneLine(each.raw)}\n`);
      else rows.push(rowOf(each));
      shown += 1;
    }
  }
  if (flags.json === true) {
    terminal.out(`],"count":${count}}\n`);
    return;
  }
  if (flags.raw !== true) terminal.out(formatTable(columns, rows, terminal.columns));
  const more = shown < count ? `; --limit ${count} shows all` : '';
  terminal.err(`${shown} of ${count} rejected ${count === 1 ? 'event' : 'events'}${more}\n`);
}

const columns: readonly Column[] = [
  { title: 'when', align: 'left' },
  { title: 'code', align: 'left' },
  { title: 'detail', align: 'left' },
  { title: 'event', align: 'left' },
  { title: 'distinct_id', align: 'left' },
  { title: 'request', align: 'left' },
  { title: 'index', align: 'right' },
];

function rowOf(each: Rejection): string[] {
  const { received_at: when, code, detail, event, distinct_id: distinctId, request_id: requestId, index } = each;
  return [when, code, detail, event, distinctId, requestId, String(index)];
}

/** JSON has line breaks between its parts alone. */
function oneLine(raw: string): string {
  return raw.replaceAll(/[\r\n]+/g, ' ');
}

async function* pagesOf(
  address: ServerAddress,
  flags: ListFlags,
  limit: number,
): AsyncGenerator<z.infer<typeof pageAnswer>> {
  if (flags.index !== undefined && flags.request === undefined) {
    throw usageFailure('--index is the place within a request; say which one with --request.');
  }
  if (flags.request !== undefined && parseUuid(flags.request) === undefined) {
    throw usageFailure(`--request "${flags.request}" is no UUID; answers show it as X-Request-Id.`);
  }
  const path = rejectionsPath(flags);
  const query = new URLSearchParams({ limit: String(Math.min(limit, MAX_PAGE)) });
  for (const name of ['code', 'after', 'before', 'request', 'index'] as const) {
    const value = flags[name];
    if (value !== undefined) query.set(name, String(value));
  }
  if (flags.all === true) query.set('all', '1');
  let rest = limit;
  let search = `?${query.toString()}`;
  for (;;) {
    const page = readPage(await requestText(address, `${path}${search}`));
    const results = page.results.slice(0, rest);
    yield { ...page, results };
    rest -= results.length;
    if (page.next === null || rest <= 0) return;
    search = page.next.slice(page.next.indexOf('?'));
  }
}

function rejectionsPath(flags: Pick<ChoiceFlags, 'project'>): string {
  return `/api/projects/${encodeURIComponent(flags.project ?? '@current')}/rejections/`;
}

function readPage(text: string): z.infer<typeof pageAnswer> {
  try {
    return pageAnswer.parse(JSON.parse(text));
  } catch {
    throw new CommandFailure('The answer is no list of rejected events. Is this the address of a Hedgerow server?');
  }
}

async function retry(flags: RetryFlags, terminal: Terminal): Promise<void> {
  const mend = readMend(flags);
  const address = serverAddress(flags, terminal.env);
  const report = new RetryReport();
  const limit = flags.limit ?? Number.MAX_SAFE_INTEGER;
  if (flags.dryRun !== true && flags.yes !== true && process.stdin.isTTY && terminal.isErrTty) {
    if (!(await isWanted(address, flags, limit))) throw new CommandFailure('Nothing was sent.');
  }
  const sender = new RejectionSender(address, flags.project ?? '@current', {
    fetch: globalThis.fetch,
    sleep: (ms) => sleep(ms),
    onOutcome: ({ rejection: { code } }, outcome) => {
      if (outcome.kind === 'stored') report.stored(code);
      else report.rejected(code, outcome);
    },
    onRetry: (reason, waitMs) => terminal.err(`${printable(reason)}; trying again in ${waitMs / 1000} s\n`),
  });
  let failure: unknown;
  try {
    for await (const page of pagesOf(address, flags, limit)) {
      const events = sendable(page.results, mend, report);
      if (flags.dryRun !== true && events.length > 0) await sender.send(events);
      if (terminal.isErrTty) terminal.err(`\r\u001b[2K${report.progress()}`);
    }
  } catch (error) {
    failure = error;
  }
  if (terminal.isErrTty) terminal.err('\r\u001b[2K');
  const isDry = flags.dryRun === true;
  terminal.out(flags.json === true ? `${report.json(isDry)}\n` : report.text(isDry, terminal.columns));
  if (failure !== undefined) throw failure instanceof Error ? failure : new Error('sending failed', { cause: failure });
  if (!isDry && !report.isAllStored()) throw new CommandFailure('Not every event was stored.');
}

async function isWanted(address: ServerAddress, flags: RetryFlags, limit: number): Promise<boolean> {
  let count = 0;
  for await (const page of pagesOf(address, flags, 1)) count = Math.min(page.count ?? 0, limit);
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await asking.question(`Send ${count} rejected ${count === 1 ? 'event' : 'events'} again? [y/N] `);
    return /^y(?:es)?$/i.test(answer.trim());
  } finally {
    asking.close();
  }
}

function sendable(page: readonly Rejection[], mend: Mend, report: RetryReport): readonly ResentEvent[] {
  return page.flatMap((each) => {
    const event = mended(each, mend);
    if (event.kind === 'unsendable') {
      report.notSent(each.code, event.problem);
      return [];
    }
    report.sent(each.code);
    return [{ rejection: each, door: event.door, json: event.json, uuid: event.uuid }];
  });
}

interface CodeTotals {
  sent: number;
  stored: number;
  rejected: number;
  notSent: number;
  /** By the code, or the problem, of this time. */
  readonly reasons: Map<string, { count: number; readonly detail: string }>;
}

/** What became of the events, by the code that each was first refused for. */
class RetryReport {
  readonly #totals = new Map<string, CodeTotals>();

  sent(code: string): void {
    this.#of(code).sent += 1;
  }

  stored(code: string): void {
    this.#of(code).stored += 1;
  }

  rejected(code: string, again: { readonly code: string; readonly detail: string }): void {
    const totals = this.#of(code);
    totals.rejected += 1;
    addReason(totals, again.code, again.detail);
  }

  notSent(code: string, problem: string): void {
    const totals = this.#of(code);
    totals.notSent += 1;
    addReason(totals, 'not_sent', problem);
  }

  isAllStored(): boolean {
    return [...this.#totals.values()].every(({ sent, stored, notSent }) => sent === stored && notSent === 0);
  }

  progress(): string {
    const all = [...this.#totals.values()];
    const sum = (of: (totals: CodeTotals) => number): number => all.reduce((total, each) => total + of(each), 0);
    return `${sum((each) => each.sent)} sent, ${sum((each) => each.stored)} stored, ${sum((each) => each.rejected)} rejected again`;
  }

  json(isDry: boolean): string {
    const codes = [...this.#totals].map(([code, { sent, stored, rejected, notSent, reasons }]) => ({
      code,
      ...(isDry ? { would_send: sent } : { sent, stored, rejected }),
      not_sent: notSent,
      reasons: [...reasons].map(([reason, { count, detail }]) => ({ code: reason, count, detail })),
    }));
    return JSON.stringify({ dry_run: isDry, codes });
  }

  text(isDry: boolean, width: number | undefined): string {
    if (this.#totals.size === 0) return 'There are no rejected events to send again.\n';
    const titles = isDry ? ['would be sent', 'cannot be sent'] : ['sent', 'stored', 'rejected again', 'not sent'];
    const rows = [...this.#totals].map(([code, { sent, stored, rejected, notSent, reasons }]) => [
      code,
      ...(isDry ? [sent, notSent] : [sent, stored, rejected, notSent]).map(String),
      [...reasons]
        .map(([reason, { count, detail }]) => `${count} ${reason}${detail === '' ? '' : `: ${detail}`}`)
        .join('; '),
    ]);
    const columnsOf: readonly Column[] = [
      { title: 'refused for', align: 'left' },
      ...titles.map((title) => ({ title, align: 'right' }) as const),
      { title: 'why', align: 'left' },
    ];
    return formatTable(columnsOf, rows, width);
  }

  #of(code: string): CodeTotals {
    let totals = this.#totals.get(code);
    if (totals === undefined) {
      totals = { sent: 0, stored: 0, rejected: 0, notSent: 0, reasons: new Map() };
      this.#totals.set(code, totals);
    }
    return totals;
  }
}

/** The first detail stands for all of its code. */
function addReason(totals: CodeTotals, code: string, detail: string): void {
  const reason = totals.reasons.get(code);
  if (reason === undefined) totals.reasons.set(code, { count: 1, detail });
  else reason.count += 1;
}
