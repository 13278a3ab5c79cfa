export interface GateSize {
  readonly maxRunning: number;
  readonly maxWaiting: number;
}

export type GateRefusal = { readonly kind: 'full' } | { readonly kind: 'cancelled' };
export type GatePass<T> = { readonly kind: 'done'; readonly value: T } | GateRefusal;

/** Lets so many queries run at once; the others wait in order, and beyond `maxWaiting` are turned away. */
export class QueryGate {
  readonly size: GateSize;
  #running = 0;
  /** In order of arrival; each entry takes over the slot of the query that ends. */
  readonly #waiting = new Set<() => void>();

  constructor(size: GateSize) {
    this.size = size;
  }

  /** Runs `work` when it is its turn; a caller that aborts while it waits leaves the queue at once. */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<GatePass<T>> {
    if (signal.aborted) return { kind: 'cancelled' };
    if (this.#running < this.size.maxRunning) this.#running += 1;
    else if (this.#waiting.size >= this.size.maxWaiting) return { kind: 'full' };
    else if (!(await this.#turn(signal))) return { kind: 'cancelled' };
    try {
      return { kind: 'done', value: await work() };
    } finally {
      this.#release();
    }
  }

  /** True once a slot was handed over; false when the caller left first. */
  #turn(signal: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const take = (): void => {
        signal.removeEventListener('abort', leave);
        resolve(true);
      };
      const leave = (): void => {
        this.#waiting.delete(take);
        resolve(false);
      };
      this.#waiting.add(take);
      signal.addEventListener('abort', leave, { once: true });
    });
  }

  /** The slot goes straight to who waits longest, so that no newcomer overtakes. */
  #release(): void {
    for (const next of this.#waiting) {
      this.#waiting.delete(next);
      next();
      return;
    }
    this.#running -= 1;
  }
}
