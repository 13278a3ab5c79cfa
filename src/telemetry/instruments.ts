/**
 * Numbers that the hot path adds to: no labels to hash, no object a call. Names, labels and text come in at scrape time
 * (metric-table.ts), so that an instrument costs a few nanoseconds however often and under however many names it is shown.
 */

/** Only grows. */
export class Counter {
  #value = 0;

  get value(): number {
    return this.#value;
  }

  add(by = 1): void {
    this.#value += by;
  }
}

/** Counters told apart by the values of one or two labels, which must come from closed sets. */
export class LabelledCounter {
  readonly #values = new Map<string, { readonly labels: readonly string[]; value: number }>();

  add(label: string, by = 1): void {
    this.#add(label, label, by);
  }

  /** Costs a joined text: not for what every request does. */
  addPair(labels: readonly [string, string], by = 1): void {
    this.#add(labels.join('\n'), labels, by);
  }

  entries(): Iterable<{ readonly labels: readonly string[]; readonly value: number }> {
    return this.#values.values();
  }

  #add(key: string, labels: string | readonly string[], by: number): void {
    const found = this.#values.get(key);
    if (found !== undefined) found.value += by;
    else this.#values.set(key, { labels: typeof labels === 'string' ? [labels] : labels, value: by });
  }
}

/** How often values fell where. A value belongs to the first bound that is not below it. */
export class Histogram {
  readonly bounds: readonly number[];
  /** By bound, not cumulative; the last one is for values above all bounds. */
  readonly #counts: number[];
  #sum = 0;

  /** @param bounds ascending */
  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.#counts = [...bounds, Number.POSITIVE_INFINITY].map(() => 0);
  }

  observe(value: number): void {
    const { bounds } = this;
    const counts = this.#counts;
    let at = 0;
    while (at < bounds.length && value > (bounds[at] ?? 0)) at += 1;
    counts[at] = (counts[at] ?? 0) + 1;
    this.#sum += value;
  }

  get counts(): readonly number[] {
    return this.#counts;
  }

  get sum(): number {
    return this.#sum;
  }

  get count(): number {
    let count = 0;
    for (const each of this.#counts) count += each;
    return count;
  }
}
