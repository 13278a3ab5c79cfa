let isGuarded = false;

/**
 * Where a commit fails (a full disk), lmdb rejects not only the promise that it returned, whose caller is told, but also
 * ones that it keeps to itself: nobody can handle those, and Node would end the process. Everything else that nobody
 * handles ends it as before.
 */
export function outliveFailedCommits(): void {
  if (isGuarded) return;
  isGuarded = true;
  process.on('unhandledRejection', (reason) => {
    if (!isFailedCommit(reason)) throw reason;
  });
}

/** Its own words: write.js of lmdb 3.5, and its native part. */
function isFailedCommit(reason: unknown): boolean {
  if (!(reason instanceof Error)) return false;
  return 'commitError' in reason || reason.message.includes(': Attempting to write page at position ');
}
