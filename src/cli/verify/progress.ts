/** What a run says on standard error: a line that is drawn over on a terminal, else a plain line now and then. */
import { printable } from '../table.ts';
import type { Terminal } from '../terminal.ts';

const DRAW_EVERY_MS = 100;
const PRINT_EVERY_MS = 5_000;
const MAX_WIDTH = 79;

export class Progress {
  readonly #terminal: Terminal;
  readonly #startMs = Date.now();
  #phase = '';
  #saidMs = 0;
  #isDrawn = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  /** Goes out at once when the phase is another one. */
  show(phase: string, detail = ''): void {
    const nowMs = Date.now();
    const everyMs = this.#terminal.isErrTty ? DRAW_EVERY_MS : PRINT_EVERY_MS;
    if (phase === this.#phase && nowMs - this.#saidMs < everyMs) return;
    this.#phase = phase;
    this.#saidMs = nowMs;
    const seconds = String(Math.round((nowMs - this.#startMs) / 1000)).padStart(3);
    const text = printable(`${seconds} s  ${phase}${detail === '' ? '' : `: ${detail}`}`).slice(0, MAX_WIDTH);
    if (this.#terminal.isErrTty) {
      this.#terminal.err(`\r\u001b[2K${text}`);
      this.#isDrawn = true;
    } else {
      this.#terminal.err(`${text}\n`);
    }
  }

  end(): void {
    if (this.#isDrawn) this.#terminal.err('\r\u001b[2K');
    this.#isDrawn = false;
  }
}
