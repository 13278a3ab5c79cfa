import { processEnv } from '../config/process-env.ts';

/** What a command may touch of the process around it; tests hand in their own. */
export interface Terminal {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  readonly isOutTty: boolean;
  readonly isErrTty: boolean;
  /** Width of standard output in columns; undefined when it is no terminal. */
  readonly columns: number | undefined;
}

export function processTerminal(): Terminal {
  return {
    env: processEnv(),
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    isOutTty: process.stdout.isTTY,
    isErrTty: process.stderr.isTTY,
    columns: process.stdout.isTTY ? process.stdout.columns : undefined,
  };
}

/** Colour is for terminals only, and NO_COLOR (any text but the empty one) turns it off. */
export function hasColour(terminal: Terminal): boolean {
  return terminal.isOutTty && (terminal.env['NO_COLOR'] ?? '') === '' && terminal.env['TERM'] !== 'dumb';
}
