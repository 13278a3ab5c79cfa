/** Why the server did not start: one clear sentence that says what was wrong and what to do. Shown without a stack. */
export class StartFailure extends Error {
  override readonly name = 'StartFailure';
}
