import type { ProjectId } from '../event/ids.ts';
import type { RecordView } from '../record/record-view.ts';

const MINUTE_MS = 60_000;
/** The code of what was dropped when its request was decoded. */
const DROPPED = 'performance_event';

/** What was counted in one minute of a project. */
export class LedgerCell {
  received = 0;
  /** Records of events. */
  accepted = 0;
  stored = 0;
  duplicate = 0;
  readonly rejected = new Map<string, number>();

  addRejected(code: string, events: number): void {
    this.rejected.set(code, (this.rejected.get(code) ?? 0) + events);
  }

  add(other: LedgerCell): void {
    this.received += other.received;
    this.accepted += other.accepted;
    this.stored += other.stored;
    this.duplicate += other.duplicate;
    for (const [code, events] of other.rejected) this.addRejected(code, events);
  }

  get rejectedEvents(): number {
    let sum = 0;
    for (const events of this.rejected.values()) sum += events;
    return sum;
  }
}

/** Counts of some records, by project and minute of arrival. */
export class LedgerTally {
  readonly #projects = new Map<ProjectId, Map<number, LedgerCell>>();
  /** Records come by requests: the cell of the one before is most often that of the next. */
  #lastProject = 0;
  #lastMinute = -1;
  #lastCell = new LedgerCell();

  /**
   * Counts what the record itself says: what its request was decoded to, and what became of this event on the way to the
   * log. A record of version 1 stands for a request of one event.
   *
   * @returns where to count what becomes of it behind the log
   */
  count(view: RecordView): LedgerCell {
    const cell = this.#cellOf(view.projectId, minuteOf(view.receivedAtMs));
    if (view.hasCounts) {
      cell.received += view.received;
      if (view.dropped > 0) cell.addRejected(DROPPED, view.dropped);
    } else if (view.version === 1) {
      cell.received += 1;
    }
    if (view.kind === 'event') cell.accepted += 1;
    else if (view.kind === 'rejection') {
      cell.addRejected(view.bytes.toString('latin1', view.firstStart, view.firstEnd), 1);
    }
    return cell;
  }

  /** By project and when the minute begins, seconds since 1970. */
  *cells(): Generator<{ readonly projectId: ProjectId; readonly minuteSeconds: number; readonly cell: LedgerCell }> {
    for (const [projectId, minutes] of this.#projects) {
      for (const [minute, cell] of minutes) yield { projectId, minuteSeconds: minute * 60, cell };
    }
  }

  add(other: LedgerTally): void {
    for (const { projectId, minuteSeconds, cell } of other.cells()) {
      this.#cellOf(projectId, minuteSeconds / 60).add(cell);
    }
  }

  #cellOf(projectId: ProjectId, minute: number): LedgerCell {
    if (projectId === this.#lastProject && minute === this.#lastMinute) return this.#lastCell;
    let minutes = this.#projects.get(projectId);
    if (minutes === undefined) {
      minutes = new Map();
      this.#projects.set(projectId, minutes);
    }
    let cell = minutes.get(minute);
    if (cell === undefined) {
      cell = new LedgerCell();
      minutes.set(minute, cell);
    }
    this.#lastProject = projectId;
    this.#lastMinute = minute;
    this.#lastCell = cell;
    return cell;
  }
}

/** As the store sees it: `received_at` is kept in whole microseconds. */
function minuteOf(receivedAtMs: number): number {
  return Math.max(0, Math.floor(Math.round(receivedAtMs * 1000) / (MINUTE_MS * 1000)));
}
