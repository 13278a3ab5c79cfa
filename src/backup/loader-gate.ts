/**
 * Between the loader and its log: holds the loader between two reads, so that log and store can be copied as of one
 * moment. Capture never waits for it; what comes in meanwhile stays in the log a little longer.
 */
import { pause, systemTimers } from '../event/clock.ts';
import type { LogOffset, LogReader, ReadRecords, StreamId } from '../log/log.ts';

export class LoaderGate implements LogReader {
  readonly #reader: LogReader;
  /** Behind what was read and not committed yet, by stream: the loader is at work on it, or has yet to count it. */
  readonly #inHand = new Map<StreamId, number>();
  #reading = 0;
  #held: Promise<void> | undefined;
  #whenFree: (() => void) | undefined;

  constructor(reader: LogReader) {
    this.#reader = reader;
  }

  /**
   * Resolves when the loader has finished what it has in hand; it gets nothing new until `release` is called.
   *
   * @throws Error when that takes longer than `timeoutMs`: the store is away; the signal's reason. One holder at a time.
   */
  async hold(timeoutMs: number, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#held !== undefined) throw new Error('the loader is held already');
    let open: () => void = () => undefined;
    this.#held = new Promise((resolve) => {
      open = resolve;
    });
    const release = (): void => {
      this.#held = undefined;
      open();
    };
    if (this.#isFree()) return release;
    let timer: NodeJS.Timeout | undefined;
    let giveUp: () => void = () => undefined;
    const isFree = await Promise.race([
      new Promise<boolean>((resolve) => {
        this.#whenFree = () => resolve(true);
      }),
      new Promise<boolean>((resolve) => {
        giveUp = () => resolve(false);
        timer = setTimeout(giveUp, timeoutMs);
        signal.addEventListener('abort', giveUp, { once: true });
      }),
    ]);
    clearTimeout(timer);
    signal.removeEventListener('abort', giveUp);
    this.#whenFree = undefined;
    if (isFree) return release;
    release();
    signal.throwIfAborted();
    throw new Error(`the store took nothing for ${timeoutMs / 1000} s`);
  }

  /** While it is held there is nothing to read; so the loader comes to commit what it has. */
  async read(from: LogOffset, maxBytes: number): Promise<ReadRecords | undefined> {
    if (this.#held !== undefined) return undefined;
    this.#reading += 1;
    try {
      const read = await this.#reader.read(from, maxBytes);
      if (read !== undefined) this.#inHand.set(from.stream, read.nextSequence);
      return read;
    } finally {
      this.#reading -= 1;
      this.#tell();
    }
  }

  async commit(upTo: LogOffset): Promise<void> {
    await this.#reader.commit(upTo);
    if (upTo.sequence >= (this.#inHand.get(upTo.stream) ?? 0)) this.#inHand.delete(upTo.stream);
    this.#tell();
  }

  /** What comes in while it is held wakes nobody: it could not be read. */
  async waitForMore(timeoutMs: number, signal: AbortSignal): Promise<void> {
    const held = this.#held;
    if (held === undefined) return this.#reader.waitForMore(timeoutMs, signal);
    const over = new AbortController();
    const end = (): void => over.abort();
    signal.addEventListener('abort', end, { once: true });
    void held.then(end);
    if (signal.aborted) end();
    await pause(systemTimers, timeoutMs, over.signal);
    signal.removeEventListener('abort', end);
  }

  streams(): Promise<readonly StreamId[]> {
    return this.#reader.streams();
  }
  committed(stream: StreamId): Promise<LogOffset> {
    return this.#reader.committed(stream);
  }
  durableEnd(stream: StreamId): Promise<LogOffset> {
    return this.#reader.durableEnd(stream);
  }
  close(): Promise<void> {
    return this.#reader.close();
  }

  #isFree(): boolean {
    return this.#inHand.size === 0 && this.#reading === 0;
  }

  #tell(): void {
    if (this.#isFree()) this.#whenFree?.();
  }
}
