/** What a run found wrong: counted by kind, the first few with their uuid. */

/** `label`: after a count. `detail`: of one, where nothing more is known. */
export const problemKinds = {
  lost: { label: 'lost', detail: 'acknowledged, but not in the store' },
  doubled: { label: 'doubled', detail: 'in the store more than once' },
  changed: { label: 'changed', detail: 'in the store with other content than was acknowledged first' },
  unasked: { label: 'never sent, but stored', detail: 'in the store, but never sent' },
  refused_but_stored: { label: 'refused, but stored', detail: 'to be rejected, but in the store as an event' },
  rejection_lost: { label: 'lost as rejections', detail: 'answered as rejected, but not among the rejections' },
  not_accepted: { label: 'never acknowledged', detail: 'sent again after a restart, and never acknowledged' },
  unexpected_answer: { label: 'answered wrongly', detail: 'the server answered in a way that it should not' },
  server: { label: 'failure of the server', detail: 'the server did not do what it should' },
  disk_full: { label: 'failure on the full disk', detail: 'a full disk was not answered as it should be' },
} as const;
export type ProblemKind = keyof typeof problemKinds;

export interface Problem {
  readonly kind: ProblemKind;
  readonly uuid: string | undefined;
  readonly detail: string;
}

const MAX_EXAMPLES = 10;

export class Problems {
  readonly #counts = new Map<ProblemKind, number>();
  readonly #examples: Problem[] = [];

  add(kind: ProblemKind, more: { readonly uuid?: string; readonly detail?: string } = {}): void {
    this.#counts.set(kind, this.countOf(kind) + 1);
    if (this.#examples.length >= MAX_EXAMPLES) return;
    this.#examples.push({ kind, uuid: more.uuid, detail: more.detail ?? problemKinds[kind].detail });
  }

  countOf(kind: ProblemKind): number {
    return this.#counts.get(kind) ?? 0;
  }

  counts(): ReadonlyMap<ProblemKind, number> {
    return this.#counts;
  }

  /** The first ten. */
  examples(): readonly Problem[] {
    return this.#examples;
  }

  get isEmpty(): boolean {
    return this.#counts.size === 0;
  }
}
