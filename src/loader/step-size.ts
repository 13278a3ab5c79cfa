/** Failures in a row before the next insert is made smaller: it may be too large for the store's memory. */
const FAILURES_BEFORE_SMALLER = 3;
const STEP_FACTOR = 16;

/**
 * How many records the next insert takes. Rows may bring the engine down instead of being refused: inserts that fail
 * shrink to one record, which then goes in, every other time, as raw text alone; those that succeed grow again.
 */
export class StepSize {
  readonly #most: number;
  records: number;
  isRawOnly = false;
  #failures = 0;

  constructor(most: number) {
    this.#most = most;
    this.records = most;
  }

  succeeded(): void {
    this.records = Math.min(this.records * STEP_FACTOR, this.#most);
    this.isRawOnly = false;
    this.#failures = 0;
  }

  failed(): void {
    this.#failures += 1;
    if (this.#failures < FAILURES_BEFORE_SMALLER) return;
    // Both may fail for want of disk or memory, so that neither is settled for.
    if (this.records === 1) this.isRawOnly = !this.isRawOnly;
    else this.#failures = 0;
    this.records = Math.max(1, Math.ceil(this.records / STEP_FACTOR));
  }
}
