/** What the reading API asks the ledger: its pages, and what its check has found. The loader answers. */
import type { ProjectId } from '../event/ids.ts';
import type { LedgerBook } from '../loader/ledger-book.ts';
import type { LedgerFinding } from '../loader/ledger-check.ts';

export interface LedgerLookup {
  readonly book: Pick<LedgerBook, 'read'>;
  /** Minutes of a project in which numbers do not agree; `minuteSeconds` since 1970. */
  findingsOf(projectId: ProjectId): Iterable<Pick<LedgerFinding, 'minuteSeconds'>>;
}
