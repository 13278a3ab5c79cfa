/** The entry of the command; compiled to `dist/cli/main.js` and started by `bin/hedgerow.mjs`. */
import { runCli } from './run-cli.ts';
import { processTerminal } from './terminal.ts';

for (const stream of [process.stdout, process.stderr]) {
  // `hedgerow query … | head` closes the pipe early; a server must outlive the reader of its greeting.
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });
}

const exitCode = await runCli(process.argv.slice(2), processTerminal());
// Nothing may keep the process alive now, such as an idle connection; what was written goes out first.
process.stdout.write('', () => {
  process.stderr.write('', () => process.exit(exitCode));
});
