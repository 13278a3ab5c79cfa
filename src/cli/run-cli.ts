/** One command line from words to exit code: 0 done, 1 failed, 2 called wrongly. */
import { Command, CommanderError } from 'commander';
import { nearestName } from '../config/nearest-name.ts';
import { StartFailure } from '../start-failure.ts';
import { CommandFailure } from './command-failure.ts';
import { addDoctorCommand } from './doctor-command.ts';
import { addBackupCommand } from './backup-command.ts';
import { addEventCommand } from './event-command.ts';
import { addKeysCommand } from './keys-command.ts';
import { addLimitsCommand } from './limits-command.ts';
import { addProjectsCommand } from './projects-command.ts';
import { addQueryCommand } from './query-command.ts';
import { addRejectionsCommand } from './rejections-command.ts';
import { addRestoreCommand } from './restore-command.ts';
import { addSendCommand } from './send-command.ts';
import { addStartCommand } from './start-command.ts';
import type { Terminal } from './terminal.ts';
import { addVerifyCommand } from './verify-command.ts';
import { hedgerowVersion } from './version.ts';

export async function runCli(words: readonly string[], terminal: Terminal): Promise<number> {
  let exitCode = 0;
  const program = buildProgram(terminal, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(words, { from: 'user' });
    return exitCode;
  } catch (error) {
    return failed(error, { terminal, program, words });
  }
}

export function buildProgram(terminal: Terminal, setExitCode: (code: number) => void): Command {
  const program = new Command('hedgerow')
    .description("A self-hosted event capture server that speaks PostHog's protocol.")
    .version(hedgerowVersion(), '-V, --version', 'prints the version')
    .configureOutput({
      writeOut: (text) => terminal.out(text),
      writeErr: (text) => terminal.err(text),
      getOutHelpWidth: () => Math.min(terminal.columns ?? 80, 100),
      getErrHelpWidth: () => Math.min(terminal.columns ?? 80, 100),
    })
    .showSuggestionAfterError(false) // it stays silent where nothing is near; `nearestHint` always names something
    .exitOverride()
    .helpOption('-h, --help', 'shows help and examples')
    .helpCommand('help [command]', 'shows help and examples')
    .addHelpText(
      'after',
      `
Examples:
  $ hedgerow start
  $ hedgerow send "signed up" --distinct-id ann --prop plan=pro
  $ hedgerow query "select event, count() from events group by event"
  $ hedgerow keys list

"hedgerow <command> --help" shows the options and examples of a command.`,
    );
  addStartCommand(program, terminal, setExitCode);
  addSendCommand(program, terminal);
  addQueryCommand(program, terminal);
  addEventCommand(program, terminal);
  addRejectionsCommand(program, terminal);
  addKeysCommand(program, terminal);
  addProjectsCommand(program, terminal);
  addLimitsCommand(program, terminal);
  addBackupCommand(program, terminal);
  addRestoreCommand(program, terminal);
  addDoctorCommand(program, terminal, setExitCode);
  addVerifyCommand(program, terminal, setExitCode);
  return program;
}

interface Invocation {
  readonly terminal: Terminal;
  readonly program: Command;
  readonly words: readonly string[];
}

function failed(error: unknown, { terminal, program, words }: Invocation): number {
  if (error instanceof CommanderError) {
    // Commander has written its message, or the help that was asked for, by now; its own code for a usage error is 1.
    if (error.exitCode === 0) return 0;
    terminal.err(nearestHint(error, program, words));
    return 2;
  }
  if (error instanceof CommandFailure || error instanceof StartFailure) {
    terminal.err(`${prefixed(error.message)}\n`);
    return error instanceof CommandFailure ? error.exitCode : 1;
  }
  terminal.err(
    `hedgerow: unexpected failure: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  return 1;
}

/** The nearest valid name for an unknown flag or command, and where help is; empty for other mistakes' names. */
function nearestHint(error: CommanderError, program: Command, words: readonly string[]): string {
  let command = program;
  const path = ['hedgerow'];
  for (const word of words) {
    const next = command.commands.find((each) => each.name() === word);
    if (next === undefined) continue;
    command = next;
    path.push(word);
  }
  if (error.code === 'commander.help') return ''; // all of the help is on the screen
  const wrong = /'([^'=]*)/.exec(error.message)?.[1] ?? '';
  const flags = [...command.options.flatMap((option) => option.long ?? []), '--help'];
  const names = { 'commander.unknownOption': flags, 'commander.unknownCommand': command.commands.map((c) => c.name()) };
  const known = Object.entries(names).find(([code]) => code === error.code)?.[1] ?? [];
  const nearest = nearestName(wrong, known);
  const hint = nearest === undefined ? '' : `The nearest valid one is ${nearest}. `;
  return `${hint}"${path.join(' ')} --help" shows all.\n`;
}

function prefixed(message: string): string {
  return message
    .split('\n')
    .map((line) => `hedgerow: ${line}`)
    .join('\n');
}
