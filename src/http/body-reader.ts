/**
 * Reads request bodies, each within a size and without a stall, with one sweep for all deadlines.
 *
 * Bounds   `maxTotalBytes` over all bodies under way, of which one address has its fair share (fair-shares.ts);
 *          `maxBodyBytes` a body; a longer one is read off and thrown away, at most as much again and for at most 5 s, so
 *          that the 413 arrives on a usable connection (protocol.md 5.3). So is one that was refused unread.
 *          What counts are bytes that came, never those that were announced. A body of one chunk is not copied; one of
 *          very many is gathered, since a chunk costs some hundred bytes beside its own.
 * Failure  A client that goes away ends the read with `aborted`; nothing is answered then.
 */
import type { IncomingMessage } from 'node:http';
import { FairShares } from '../admission/fair-shares.ts';
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
      /** The rest is to be thrown away behind the answer. */
      readonly isUnread: boolean;
      /** How reading off a body that is too large ended. */
      readonly drain?: DrainEnd;
    }
  | { readonly kind: 'aborted' };

type OnBody = (result: BodyResult) => void;

const SWEEP_MS = 500;
export const DRAIN_MS = 5_000;
/** Up to here a refused body is thrown away without a deadline of its own: it is on its way already. */
const SMALL_BODY_BYTES = 64 * 1024;
const MAX_CHUNKS = 256;
const EMPTY = Buffer.alloc(0);

export class BodyReader {
  readonly #limits: BodyLimits;
  readonly #clock: Clock;
  readonly #reads = new Set<BodyRead>();
  /** Refused requests whose body still comes, and when their connection is cut. */
  readonly #discards = new Map<IncomingMessage, number>();
  readonly #sweep: NodeJS.Timeout;
  /** Of what all reads hold together, by address. */
  readonly #shares: FairShares<string>;

  constructor(limits: BodyLimits, clock: Clock) {
    this.#limits = limits;
    this.#clock = clock;
    this.#shares = new FairShares(limits.maxTotalBytes);
    this.#sweep = setInterval(() => {
      const nowMs = this.#clock.monotonicMs();
      for (const read of this.#reads) read.sweep(nowMs);
      for (const [request, untilMs] of this.#discards) {
        if (!request.complete && !request.destroyed && nowMs < untilMs) continue;
        this.#discards.delete(request);
        if (!request.complete) request.socket.destroy();
      }
    }, SWEEP_MS);
    this.#sweep.unref();
  }

  /** Bytes of the bodies that are being read. */
  get heldBytes(): number {
    return this.#shares.totalBytes;
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
      shares: this.#shares,
      onBody: (result) => {
        this.#reads.delete(read);
        onBody(result);
      },
    });
    this.#reads.add(read);
    read.start();
  }

  /** Throws away what is left of a request that is answered already, so that the answer arrives; for DRAIN_MS at most. */
  discard(request: IncomingMessage): void {
    request.resume();
    const declared = request.headers['content-length'];
    const isSmall =
      declared === undefined ? !('transfer-encoding' in request.headers) : Number(declared) <= SMALL_BODY_BYTES;
    if (!isSmall) this.#discards.set(request, this.#clock.monotonicMs() + DRAIN_MS);
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
  readonly #shares: FairShares<string>;
  readonly #address: string;
  #first: Buffer | undefined;
  #more: Buffer[] | undefined;
  /** Holds all `#gatheredBytes` that came, once there were too many chunks. */
  #gathered: Buffer | undefined;
  #gatheredBytes = 0;
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
      readonly shares: FairShares<string>;
      readonly onBody: OnBody;
    },
  ) {
    this.#request = request;
    this.#limits = options.limits;
    this.#isKept = options.isKept;
    this.#clock = options.clock;
    this.#onBody = options.onBody;
    this.#shares = options.shares;
    this.#address = request.socket.remoteAddress ?? '';
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
      const timedOut = fault('body_timeout', { timeoutMs: this.#limits.stallTimeoutMs });
      this.#finish({ kind: 'refused', fault: timedOut, mustClose: true, isUnread: false });
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
    const isOverTotal = this.#shares.totalBytes + chunk.length > this.#limits.maxTotalBytes;
    if (isOverTotal || !this.#shares.take(this.#address, chunk.length)) {
      this.#finish({ kind: 'refused', fault: fault('overloaded'), mustClose: false, isUnread: true });
      return;
    }
    this.#heldBytes += chunk.length;
    this.#keep(chunk);
  }

  #keep(chunk: Buffer): void {
    if (this.#gathered !== undefined) this.#gather(chunk);
    else if (this.#first === undefined) this.#first = chunk;
    else if (this.#more === undefined) this.#more = [this.#first, chunk];
    else if (this.#more.length < MAX_CHUNKS) this.#more.push(chunk);
    else {
      this.#gathered = Buffer.allocUnsafe(2 * this.#receivedBytes);
      for (const part of this.#more) this.#gather(part);
      this.#gather(chunk);
      this.#first = undefined;
      this.#more = undefined;
    }
  }

  #gather(chunk: Buffer): void {
    let target = this.#gathered ?? EMPTY;
    if (this.#gatheredBytes + chunk.length > target.length) {
      const larger = Buffer.allocUnsafe(2 * (this.#gatheredBytes + chunk.length));
      target.copy(larger, 0, 0, this.#gatheredBytes);
      target = larger;
      this.#gathered = larger;
    }
    chunk.copy(target, this.#gatheredBytes);
    this.#gatheredBytes += chunk.length;
  }

  #startDrain(): void {
    this.#letGo();
    this.#drainsSinceMs = this.#clock.monotonicMs();
  }

  #end(): void {
    if (this.#drainsSinceMs >= 0) {
      this.#refuseTooLarge('complete');
      return;
    }
    this.#finish({ kind: 'body', bytes: this.#whole() });
  }

  #whole(): Buffer {
    if (this.#gathered !== undefined) return this.#gathered.subarray(0, this.#gatheredBytes);
    return this.#more === undefined ? (this.#first ?? EMPTY) : Buffer.concat(this.#more, this.#receivedBytes);
  }

  #letGo(): void {
    this.#shares.giveBack(this.#address, this.#heldBytes);
    this.#heldBytes = 0;
    this.#first = undefined;
    this.#more = undefined;
    this.#gathered = undefined;
  }

  #refuseTooLarge(drain: DrainEnd): void {
    const refusal = fault('payload_too_large', {
      problem: `Request body exceeds limit of ${this.#limits.maxBodyBytes} bytes`,
    });
    this.#finish({ kind: 'refused', fault: refusal, mustClose: drain !== 'complete', isUnread: false, drain });
  }

  #finish(result: BodyResult): void {
    if (this.#isDone) return;
    this.#isDone = true;
    this.#letGo();
    this.#onBody(result);
  }
}
