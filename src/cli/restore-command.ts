/** `hedgerow restore`: a backup into an empty data folder, verified; no server runs meanwhile. */
import { resolve } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { pendingOf } from '../backup/manifest.ts';
import { CommandFailure, usageFailure } from './command-failure.ts';
import { dataDirFlag } from './data-folder.ts';
import { dataDirOption, jsonOption } from './options.ts';
import { dataDirOf } from './server-address.ts';
import type { Terminal } from './terminal.ts';

interface RestoreFlags {
  readonly dataDir?: string;
  readonly logFrom?: string;
  readonly until?: number;
  readonly json?: true;
}

export function addRestoreCommand(program: Command, terminal: Terminal): void {
  program
    .command('restore')
    .description('verifies a backup and puts it into an empty data folder')
    .argument('<folder>', 'the backup')
    .addOption(dataDirOption())
    .addOption(
      new Option(
        '--log-from <folder>',
        'the data folder that was backed up, its server stopped: what its log has kept since the backup is added',
      ),
    )
    .addOption(
      new Option('--until <time>', 'with --log-from: only what was received up to then, ISO 8601').argParser(instant),
    )
    .addOption(jsonOption())
    .addHelpText(
      'after',
      `
Every file is read and compared with its SHA-256 first; then it is copied, the store is opened and
counted, and the log is walked. On any difference nothing is left in the data folder. The next
"hedgerow start" loads what the backup's log brings.

Examples:
  $ hedgerow restore /backups/monday --data-dir /srv/hedgerow-new
  $ hedgerow restore /backups/monday --data-dir new --log-from old --until 2026-03-01T12:00:00Z`,
    )
    .action(async (folder: string, flags: RestoreFlags) => {
      const { logFrom, until, json } = flags;
      if (until !== undefined && logFrom === undefined) {
        throw usageFailure('--until needs --log-from: the data folder whose log goes on where the backup ends.');
      }
      const dataDir = resolve(dataDirOf(flags, terminal.env));
      // Loaded late: `--help` needs no native libraries.
      const [{ restoreBackup, RestoreRefused }, { restoreParts, schemaVersion }] = await Promise.all([
        import('../backup/restore.ts'),
        import('../backup-engines.ts'),
      ]);
      let shownStep = '';
      try {
        const { manifest, bytes, replayed } = await restoreBackup({
          backup: resolve(folder),
          dataDir,
          replay: logFrom === undefined ? undefined : { from: resolve(logFrom), untilMs: until },
          schemaVersion,
          parts: restoreParts,
          onStep: (step, done, total) => {
            if (terminal.isErrTty) terminal.err(`\r\u001b[K${step}: ${done} of ${total} files`);
            else if (step !== shownStep) terminal.err(`hedgerow: ${step} ${total} files\n`);
            shownStep = step;
          },
          signal: new AbortController().signal,
        });
        if (terminal.isErrTty) terminal.err('\r\u001b[K');
        const pending = pendingOf(manifest);
        const { events, rejections } = manifest.counts;
        if (json === true) {
          const facts = { data_dir: dataDir, began_at: manifest.beganAt, files: manifest.files.length, bytes };
          terminal.out(
            `${JSON.stringify({ ...facts, events, rejections, pending, replayed: replayed?.records ?? 0 })}\n`,
          );
          return;
        }
        terminal.out(
          `Restored the backup of ${manifest.beganAt} to ${dataDir}: ${events} events, ${rejections} rejected; ` +
            `${pending + (replayed?.records ?? 0)} records in the log, which the next start loads.\n` +
            `Start it with: hedgerow start${dataDirFlag(dataDir)}\n`,
        );
      } catch (error) {
        if (error instanceof RestoreRefused) throw new CommandFailure(error.message);
        if (error instanceof Error) throw new CommandFailure(`Nothing was restored: ${error.message}.`);
        throw error;
      }
    });
}

function instant(text: string): number {
  const isWhole = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d)$/.test(text);
  const ms = isWhole ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms)) throw new InvalidArgumentError('It must be a time such as 2026-03-01T12:00:00Z.');
  return ms;
}
