/** A broken promise, with what led to it. */
export class PromiseBroken extends Error {
  override readonly name = 'PromiseBroken';
  readonly trace: readonly string[];

  constructor(seed: number, cause: unknown, trace: readonly string[]) {
    super(`seed ${seed}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
    this.trace = trace;
  }
}

/** @param simulation as the file of `test/sim` is named */
export function replayCommand(simulation: string, seed: number): string {
  return `HEDGEROW_SIM_SEED=${seed} npm run sim -- sim/${simulation}.test`;
}
