/** `hedgerow backup`: asks the running server, which alone may open its store, and follows it to the end. */
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { z } from 'zod';
import { CommandFailure } from './command-failure.ts';
import { dataDirOption, jsonOption, keyOption, urlOption } from './options.ts';
import { serverAddress, type AddressFlags, type ServerAddress } from './server-address.ts';
import { requestText } from './server-request.ts';
import type { Terminal } from './terminal.ts';

const PATH = '/api/backups/';
const POLL_MS = 250;

interface BackupFlags extends AddressFlags {
  readonly json?: true;
}

const backupState = z.discriminatedUnion('state', [
  z.object({ state: z.literal('none') }),
  z.object({
    state: z.literal('running'),
    dir: z.string(),
    began_at: z.string(),
    step: z.string(),
    done_files: z.number(),
    total_files: z.number(),
  }),
  z.object({ state: z.literal('failed'), dir: z.string(), began_at: z.string(), reason: z.string() }),
  z.object({
    state: z.literal('done'),
    dir: z.string(),
    began_at: z.string(),
    files: z.number(),
    bytes: z.number(),
    events: z.number(),
    rejections: z.number(),
    pending: z.number(),
  }),
]);
type BackupState = z.infer<typeof backupState>;
type RunningState = Extract<BackupState, { state: 'running' }>;

export function addBackupCommand(program: Command, terminal: Terminal): void {
  program
    .command('backup')
    .description('copies everything the running server holds into a new folder, while it goes on')
    .argument('<folder>', "a new or empty folder on the server's machine, outside its data folder")
    .addOption(urlOption())
    .addOption(keyOption())
    .addOption(dataDirOption())
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Everything that was acknowledged before the backup began is in it. On the filesystem of the data
folder it shares the bytes of what never changes (hard links); on another disk it is a copy.
The key needs the scope admin, and must not be limited to some projects.

Examples:
  $ hedgerow backup /backups/$(date +%F)
  $ hedgerow backup /backups/monday --data-dir /srv/hedgerow --json`,
    )
    .action(async (folder: string, flags: BackupFlags) => {
      const address = serverAddress(flags, terminal.env);
      const dir = resolve(folder);
      let state = await ask(address, { dir });
      const progress = new Progress(terminal);
      while (state.state === 'running') {
        progress.show(state);
        await sleep(POLL_MS);
        state = await ask(address);
      }
      progress.end();
      if (state.state !== 'done' || state.dir !== dir) {
        const reason = state.state === 'failed' ? state.reason : 'the server was started again meanwhile';
        throw new CommandFailure(`No backup was made: ${reason}.`);
      }
      if (flags.json === true) terminal.out(`${JSON.stringify(state)}\n`);
      else {
        const { events, rejections, pending, files, bytes } = state;
        terminal.out(
          `Backed up to ${dir}: ${counted(events)} events, ${counted(rejections)} rejected, ${counted(pending)} still in the log; ` +
            `${counted(files)} files, ${counted(bytes)} bytes.\n`,
        );
      }
    });
}

async function ask(address: ServerAddress, body?: { readonly dir: string }): Promise<BackupState> {
  const parsed = backupState.safeParse(JSON.parse(await requestText(address, PATH, body)));
  if (!parsed.success)
    throw new CommandFailure(`The server at ${address.url} gave an answer that this release does not know.`);
  return parsed.data;
}

/** One line that is written over, on a terminal alone. */
class Progress {
  readonly #terminal: Terminal;
  #hasShown = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  show({ step, done_files: done, total_files: total }: RunningState): void {
    if (!this.#terminal.isErrTty) return;
    this.#hasShown = true;
    const counts = total === 0 ? '' : `: ${counted(done)} of ${counted(total)}`;
    this.#terminal.err(`\r\u001b[K${step}${counts}`);
  }

  end(): void {
    if (this.#hasShown) this.#terminal.err('\r\u001b[K');
  }
}

function counted(value: number): string {
  return value.toLocaleString('en-US');
}
