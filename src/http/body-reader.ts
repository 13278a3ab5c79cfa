/**
 * Reads request bodies, each within a size and without a stall, with one sweep for all deadlines.
 *
 * Bounds   `maxTotalBytes` over all bodies under way; `maxBodyBytes` a body; a longer one is read off and thrown away, at most as much again and for at most 5 s,
 *          so that the 413 arrives on a usable connection (protocol.md 5.3). A body of one chunk is not copied.
 * Failure  A client that goes away ends the read with `aborted`; nothing is answered then.
 */
import type { IncomingMessage } from 'node:http';
import type { Clock } from '../event/clock.ts';
import { type Fault, fault } from '../errors.ts';

export interface BodyLimits {
  readonly maxBodyBytes: number;
  /** Without a byte for so long, the body is refused with 408. */
  readonly stallTimeoutMs: number;
  /** Of all bodies that are being read; beyond it they are refused with 503. */
  readonly maxTotalBytes: number;
}

export interface OwnBodyLimits {
  readonly maxBodyBytes: number;
  /** False: the bytes are counted and let go; the body is given as empty. */
  readonly isKept: boolean;
}

export type DrainEnd = 'complete' | 'budget' | 'deadline';

/** A fault with `mustClose` leaves bytes of the request unread: the connection cannot be used again. */
export type BodyResult =
  | { readonly kind: 'body'; readonly bytes: Buffer }
  | {
      readonly kind: 'refused';
      readonly fault: Fault;
      readonly mustClose: boolean;
      /** How reading off a body that is too large ended. */
      readonly drain?: DrainEnd;
    }
  | { readonly kind: 'aborted' };

type OnBody = (result: BodyResult) => void;

const SWEEP_MS = 500;
export const DRAIN_MS = 5_000;
const EMPTY = Buffer.alloc(0);

export class BodyReader {
  readonly #limits: BodyLimits;
  readonly #clock: Clock;
  readonly #reads = new Set<BodyRead>();
  readonly #sweep: NodeJS.Timeout;
  readonly #held = { bytes: 0 };

  constructor(limits: BodyLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
    this.#sweep = setInterval(() => {
      const nowMs = this.#clock.monotonicMs();
      for (const read of this.#reads) read.sweep(nowMs);
    }, SWEEP_MS);
    this.#sweep.unref();
  }

  /**
   * @param onBody called exactly once
   * @param own of this route alone; left out, the body is kept and may be as large as `limits` say
   */
  read(request: IncomingMessage, onBody: OnBody, own?: OwnBodyLimits): void {
    const read = new BodyRead(request, {
      limits: own === undefined ? this.#limits : { ...this.#limits, maxBodyBytes: own.maxBodyBytes },
      isKept: own?.isKept ?? true,
      clock: this.#clock,
      held: this.#held,
      onBody: (result) => {
        this.#reads.delete(read);
        onBody(result);
      },
    });
    this.#reads.add(read);
    read.start();
  }

  close(): void {
    clearInterval(this.#sweep);
  }
}

class BodyRead {
  readonly #request: IncomingMessage;
  readonly #limits: BodyLimits;
  readonly #clock: Clock;
  readonly #onBody: OnBody;
  readonly #isKept: boolean;
  /** What all reads hold together. */
  readonly #held: { bytes: number };
  #first: Buffer | undefined;
  #more: Buffer[] | undefined;
  #receivedBytes = 0;
  #heldBytes = 0;
  #lastByteAtMs: number;
  #drainsSinceMs = -1;
  #isDone = false;

  constructor(
    request: IncomingMessage,
    options: {
      readonly limits: BodyLimits;
      readonly isKept: boolean;
      readonly clock: Clock;
      readonly held: { bytes: number };
      readonly onBody: OnBody;
    },
  ) {
    this.#request = request;
    this.#limits = options.limits;
    this.#isKept = options.isKept;
    this.#clock = options.clock;
    this.#onBody = options.onBody;
    this.#held = options.held;
    this.#lastByteAtMs = options.clock.monotonicMs();
  }

  start(): void {
    const request = this.#request;
    const declared = request.headers['content-length'];
    if (declared !== undefined && Number(declared) > this.#limits.maxBodyBytes) this.#startDrain();
    request.on('data', (chunk: Buffer) => {
      this.#data(chunk);
    });
    request.on('end', () => {
      this.#end();
    });
    request.on('error', () => {
      this.#finish({ kind: 'aborted' });
    });
    request.on('close', () => {
      this.#finish({ kind: 'aborted' });
    });
  }

  sweep(nowMs: number): void {
    if (this.#drainsSinceMs >= 0) {
      if (nowMs - this.#drainsSinceMs >= DRAIN_MS) this.#refuseTooLarge('deadline');
    } else if (nowMs - this.#lastByteAtMs >= this.#limits.stallTimeoutMs) {
      this.#refuse(fault('body_timeout', { timeoutMs: this.#limits.stallTimeoutMs }), true);
    }
  }

  #data(chunk: Buffer): void {
    if (this.#isDone) return;
    this.#receivedBytes += chunk.length;
    this.#lastByteAtMs = this.#clock.monotonicMs();
    if (this.#drainsSinceMs < 0 && this.#receivedBytes > this.#limits.maxBodyBytes) this.#startDrain();
    if (this.#drainsSinceMs >= 0) {
      if (this.#receivedBytes > 2 * this.#limits.maxBodyBytes) this.#refuseTooLarge('budget');
      return;
    }
    if (!this.#isKept) return;
    this.#heldBytes += chunk.length;
    this.#held.bytes += chunk.length;
    if (this.#held.bytes > this.#limits.maxTotalBytes) {
      this.#refuse(fault('overloaded'), true);
      return;
    }
    if (this.#first === undefined) this.#first = chunk;
    else if (this.#more === undefined) this.#more = [this.#first, chunk];
    else this.#more.push(chunk);
  }

  #startDrain(): void {
    this.#letGo();
    this.#drainsSinceMs = this.#clock.monotonicMs();
    this.#first = undefined;
    this.#more = undefined;
  }

  #end(): void {
    if (this.#drainsSinceMs >= 0) {
      this.#refuseTooLarge('complete');
      return;
    }
    const bytes = this.#more === undefined ? (this.#first ?? EMPTY) : Buffer.concat(this.#more, this.#receivedBytes);
    this.#finish({ kind: 'body', bytes });
  }

  #letGo(): void {
    this.#held.bytes -= this.#heldBytes;
    this.#heldBytes = 0;
  }

  #refuseTooLarge(drain: DrainEnd): void {
    const refusal = fault('payload_too_large', {
      problem: `Request body exceeds limit of ${this.#limits.maxBodyBytes} bytes`,
    });
    this.#finish({ kind: 'refused', fault: refusal, mustClose: drain !== 'complete', drain });
  }

  #refuse(refusal: Fault, mustClose: boolean): void {
    this.#finish({ kind: 'refused', fault: refusal, mustClose });
  }

  #finish(result: BodyResult): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#letGo();
    this.#first = undefined;
    this.#more = undefined;
    this.#onBody(result);
  }
}
