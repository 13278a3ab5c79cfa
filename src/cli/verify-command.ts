/** `hedgerow verify`: proves on this machine and this disk that what is acknowledged survives. */
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import { jsonOption } from './options.ts';
import { dataDirOf } from './server-address.ts';
import { hasColour, type Terminal } from './terminal.ts';
import { Progress } from './verify/progress.ts';
import { reportAsJson, reportAsText } from './verify/report.ts';
import { makeScratchFolder } from './verify/scratch-folder.ts';
import { runVerify, type VerifyPlan } from './verify/verify-run.ts';
import { hedgerowVersion } from './version.ts';

const DEFAULT_SECONDS = 90;
const MIN_SECONDS = 5;
const MAX_SECONDS = 86_400;
const DEFAULT_KILLS = 12;
const MAX_KILLS = 10_000;
/** What starting again, and all that is not load, takes at least. */
const SECONDS_PER_KILL = 1.5;
const SECONDS_BESIDE = 12;

interface VerifyFlags {
  readonly dataDir?: string;
  readonly seconds: number;
  readonly kills: number;
  readonly keep?: true;
  readonly json?: true;
}

/** @param setExitCode told once, when there is a verdict */
export function addVerifyCommand(program: Command, terminal: Terminal, setExitCode: (code: number) => void): void {
  program
    .command('verify')
    .description('proves on this machine that nothing that was acknowledged is lost: load, kill -9, restart, compare')
    .option(
      '--data-dir <folder>',
      'on the disk of this data folder, which itself is not touched (env: HEDGEROW_DATA_DIR, default: ./hedgerow-data)',
    )
    .option('--seconds <n>', 'about how long to run', wholeNumber(MIN_SECONDS, MAX_SECONDS), DEFAULT_SECONDS)
    .option('--kills <n>', 'how often to kill the server', wholeNumber(1, MAX_KILLS), DEFAULT_KILLS)
    .option('--keep', 'leaves the folder of the run where it is; one that failed is kept anyway')
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
A server of its own runs in a new folder beside the data folder, on a free port,
with keys of its own. A running server and its data are not touched, but the
machine is kept busy. docs/verify.md says what is done and what the figures mean.

Exit 0: nothing that was acknowledged was lost or doubled. Exit 1: something was,
and the folder is kept; or the run was stopped.

Examples:
  $ hedgerow verify
  $ hedgerow verify --data-dir /srv/hedgerow
  $ hedgerow verify --seconds 30 --kills 4 --json`,
    )
    .action(async (flags: VerifyFlags) => {
      setExitCode(await verify(flags, terminal));
    });
}

function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) {
      throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`);
    }
    return value;
  };
}

async function verify(flags: VerifyFlags, terminal: Terminal): Promise<0 | 1> {
  const folder = await makeScratchFolder(dataDirOf(flags, terminal.env));
  const plan: VerifyPlan = { folder, seconds: flags.seconds, kills: flags.kills, env: terminal.env };
  terminal.err(
    `Verifying on the disk of ${dirname(folder)}, in a folder of its own.\n` +
      `${flags.kills} ${flags.kills === 1 ? 'kill' : 'kills'} under load; this takes about ${expectedSeconds(flags)} s.\n`,
  );
  const stopping = stopSignal();
  const progress = new Progress(terminal);
  let isKept = flags.keep === true;
  try {
    const result = await runVerify(plan, progress, stopping.signal);
    progress.end();
    isKept ||= !result.problems.isEmpty;
    const facts = {
      version: hedgerowVersion(),
      keptFolder: isKept ? folder : undefined,
      style: hasColour(terminal) ? 'colour' : 'plain',
    } as const;
    terminal.out(flags.json === true ? reportAsJson(result, facts) : reportAsText(result, facts));
    return result.problems.isEmpty ? 0 : 1;
  } finally {
    progress.end();
    if (!isKept) rmSync(folder, { recursive: true, force: true });
    stopping.release();
  }
}

function expectedSeconds({ seconds, kills }: VerifyFlags): number {
  return Math.round(Math.max(seconds, SECONDS_BESIDE + kills * SECONDS_PER_KILL));
}

/** Ctrl-C must not leave a server or a mounted volume behind; the run is told, and cleans up. */
function stopSignal(): { readonly signal: AbortSignal; readonly release: () => void } {
  const controller = new AbortController();
  const stop = (): void => controller.abort();
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of signals) process.on(name, stop);
  return {
    signal: controller.signal,
    release: () => {
      for (const name of signals) process.removeListener(name, stop);
    },
  };
}
