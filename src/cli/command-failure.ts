/** A command that cannot go on. The message is one sentence for a person: what is wrong, and what to do. */
export class CommandFailure extends Error {
  override readonly name = 'CommandFailure';
  /** 1: it failed; 2: it was called wrongly. */
  readonly exitCode: 1 | 2;

  constructor(message: string, exitCode: 1 | 2 = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Called wrongly: exit 2. */
export function usageFailure(message: string): CommandFailure {
  return new CommandFailure(message, 2);
}
