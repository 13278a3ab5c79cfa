/**
 * Follows a writer's reports to know which refusals are on no medium: its write failed, then the sync of the watermark, then
 * the next segment. Until there is one, a power cut may bring the refused frames back (docs/decisions/0003, "Open").
 */
import type { LogFault } from '../../src/log/segments/writer-settings.ts';

export class RefusalDoubt<T> {
  readonly #waiting = new Set<T>();
  /** Waited when the write failed. */
  #atFailure: readonly T[] = [];
  #isWatermarkLost = false;
  /** What a power cut may bring back now. */
  readonly items = new Set<T>();

  /** The machine has ended: nobody waits any more, and what is in doubt stays so until there is a new segment. */
  restart(): void {
    this.#waiting.clear();
    this.#atFailure = [];
  }

  /** An append begins. */
  begin(item: T): void {
    this.#waiting.add(item);
  }

  /** It has its outcome. A receipt says that there is a segment, whose header tells where the good frames before it end. */
  end(item: T, outcome: 'receipt' | 'refused'): void {
    this.#waiting.delete(item);
    if (outcome === 'receipt') this.items.clear();
  }

  readonly onFault = ({ during }: LogFault): void => {
    if (during === 'write') {
      this.#atFailure = [...this.#waiting];
      this.#isWatermarkLost = false;
    } else if (during === 'watermark') {
      this.#isWatermarkLost = true;
    } else if (during === 'new_segment' && this.#isWatermarkLost) {
      for (const item of this.#atFailure) this.items.add(item);
      this.#atFailure = [];
    }
  };
}
