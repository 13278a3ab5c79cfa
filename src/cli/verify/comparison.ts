/** Holds what the store has against what was acknowledged. Pure; `stored-rows.ts` feeds it. */
import type { EventSeries } from './event-series.ts';
import type { Problems } from './problems.ts';
import type { SentEvents } from './sent-events.ts';

export class Comparison {
  readonly #series: EventSeries;
  readonly #sent: SentEvents;
  readonly #problems: Problems;
  /** How often each number was seen, up to 255. */
  readonly #seen: Uint8Array;
  readonly #isKeptRejection: Uint8Array;
  #rows = 0;

  constructor(series: EventSeries, sent: SentEvents, problems: Problems) {
    this.#series = series;
    this.#sent = sent;
    this.#problems = problems;
    this.#seen = new Uint8Array(sent.count);
    this.#isKeptRejection = new Uint8Array(sent.count);
  }

  get rows(): number {
    return this.#rows;
  }

  /** One row of `events`. */
  seeEvent(uuid: string, digest: string): void {
    this.#rows++;
    const n = this.#series.numberOf(uuid);
    const fate = n === undefined ? 'unsent' : this.#sent.fateOf(n);
    if (n === undefined || fate === 'unsent') return this.#problems.add('unasked', { uuid });
    const seen = (this.#seen[n] ?? 0) + 1;
    this.#seen[n] = Math.min(seen, 255);
    if (fate === 'refused' || fate === 'refusal_answered') return this.#problems.add('refused_but_stored', { uuid });
    if (seen === 2) this.#problems.add('doubled', { uuid }); // a third row is the same event's problem
    if (digest !== this.#series.digestOf(n)) this.#problems.add('changed', { uuid });
  }

  /** One row of `rejections`. */
  seeRejection(uuid: string): void {
    const n = this.#series.numberOf(uuid);
    if (n !== undefined && n < this.#sent.count) this.#isKeptRejection[n] = 1;
  }

  /** All rows were seen. */
  finish(): void {
    for (let n = 0; n < this.#sent.count; n++) {
      const fate = this.#sent.fateOf(n);
      const uuid = this.#series.uuidOf(n);
      if (fate === 'acknowledged' && this.#seen[n] === 0) this.#problems.add('lost', { uuid });
      if (fate === 'in_doubt') this.#problems.add('not_accepted', { uuid });
      if (fate === 'refusal_answered' && this.#isKeptRejection[n] === 0) this.#problems.add('rejection_lost', { uuid });
    }
  }
}
