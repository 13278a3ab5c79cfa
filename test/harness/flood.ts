/**
 * A load generator on raw sockets: many connections at once, some of which send slowly.
 *
 * A connection sends one request, waits for its answer, and sends the next, without heeding `Retry-After`: a crowd that
 * behaves badly. What becomes of each request is counted; one without an answer is counted by how its connection ended.
 */
import { connect, type Socket } from 'node:net';

export interface FloodAnswer {
  readonly status: number;
  /** Seconds; undefined: none was given. */
  readonly retryAfter: number | undefined;
  readonly code: string | undefined;
  /** From the first byte sent to the answer. */
  readonly ms: number;
}

export interface FloodOptions {
  readonly port: number;
  /** Whole requests, head and body; called for each. */
  readonly nextRequest: () => Buffer;
  readonly connections: number;
  /** Of them, those that send in pieces of `slowPieceBytes` each 100 ms. */
  readonly slowConnections?: number;
  readonly slowPieceBytes?: number;
  readonly durationMs: number;
  /** Where the connections come from; the whole 127.0.0.0/8 is this machine. */
  readonly localAddress?: string;
  /** After an answer, before the next request. */
  readonly pauseMs?: number;
}

export interface FloodResult {
  readonly answers: readonly FloodAnswer[];
  /** Requests without an answer, by how the connection ended. */
  readonly unanswered: ReadonlyMap<string, number>;
}

const SLOW_STEP_MS = 100;
const LAST_ANSWER_MS = 60_000;

/** Resolves when the time is up and every request that was begun has its answer. */
export async function flood(options: FloodOptions): Promise<FloodResult> {
  const answers: FloodAnswer[] = [];
  const unanswered = new Map<string, number>();
  const endMs = performance.now() + options.durationMs;
  const slow = options.slowConnections ?? 0;
  await Promise.all(
    Array.from({ length: options.connections }, async (_, index) => {
      while (performance.now() < endMs) {
        const end = await new Sender(options, { isSlow: index < slow, endMs, answers }).run();
        if (end !== undefined) unanswered.set(end, (unanswered.get(end) ?? 0) + 1);
      }
    }),
  );
  return { answers, unanswered };
}

interface Share {
  readonly isSlow: boolean;
  readonly endMs: number;
  readonly answers: FloodAnswer[];
}

/** One connection, until its end or the end of the flood. */
class Sender {
  readonly #options: FloodOptions;
  readonly #share: Share;
  readonly #socket: Socket;
  #text = '';
  #sentAtMs = 0;
  #isWaiting = false;
  #timer: NodeJS.Timeout | undefined;
  #finish: (unanswered: string | undefined) => void = () => undefined;

  constructor(options: FloodOptions, share: Share) {
    this.#options = options;
    this.#share = share;
    const { port, localAddress } = options;
    this.#socket = connect({ port, host: '127.0.0.1', ...(localAddress === undefined ? {} : { localAddress }) });
  }

  /** @returns how it ended, where a request was left without an answer */
  run(): Promise<string | undefined> {
    return new Promise((resolve) => {
      const socket = this.#socket;
      const deadline = setTimeout(
        () => this.#finish('no answer'),
        this.#share.endMs - performance.now() + LAST_ANSWER_MS,
      );
      this.#finish = (unanswered) => {
        clearTimeout(deadline);
        clearTimeout(this.#timer);
        this.#finish = () => undefined;
        socket.destroy();
        resolve(unanswered);
      };
      socket.setNoDelay(true).setEncoding('latin1');
      socket.on('connect', () => this.#send());
      socket.on('data', (chunk: string) => this.#read(chunk));
      socket.on('error', (error: NodeJS.ErrnoException) =>
        this.#finish(this.#isWaiting ? String(error.code) : undefined),
      );
      socket.on('close', () => this.#finish(this.#isWaiting ? 'closed' : undefined));
    });
  }

  #send(): void {
    if (performance.now() >= this.#share.endMs) {
      this.#finish(undefined);
      return;
    }
    this.#isWaiting = true;
    this.#sentAtMs = performance.now();
    const request = this.#options.nextRequest();
    if (this.#share.isSlow) this.#sendPiece(request, 0);
    else this.#socket.write(request);
  }

  #sendPiece(request: Buffer, at: number): void {
    if (at >= request.length) return;
    const end = at + (this.#options.slowPieceBytes ?? 1_000);
    this.#socket.write(request.subarray(at, end));
    this.#timer = setTimeout(() => this.#sendPiece(request, end), SLOW_STEP_MS);
  }

  #read(chunk: string): void {
    this.#text += chunk;
    const headEnd = this.#text.indexOf('\r\n\r\n');
    if (headEnd < 0) return;
    const head = this.#text.slice(0, headEnd);
    const bodyEnd = headEnd + 4 + Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    if (this.#text.length < bodyEnd) return;
    const retryAfter = /\r\nretry-after: *(\d+)/i.exec(head)?.[1];
    this.#share.answers.push({
      status: Number(head.slice(9, 12)),
      retryAfter: retryAfter === undefined ? undefined : Number(retryAfter),
      code: /"code":"([a-z_]+)"/.exec(this.#text)?.[1],
      ms: performance.now() - this.#sentAtMs,
    });
    this.#isWaiting = false;
    this.#text = this.#text.slice(bodyEnd);
    clearTimeout(this.#timer);
    // A slow one that was answered in the midst of its body has left the rest unsent: the next goes by another connection.
    const isDone = this.#share.isSlow || /\r\nconnection: close/i.test(head);
    if (isDone) this.#finish(undefined);
    else if (this.#options.pauseMs === undefined) this.#send();
    else this.#timer = setTimeout(() => this.#send(), this.#options.pauseMs);
  }
}

/** The value below which `part` of `values` lie. */
export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
}

/** How many of each. */
export function tally<T>(values: readonly T[]): ReadonlyMap<T, number> {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

/** A capture request over HTTP/1.1 as bytes. */
export function captureRequest(body: string, path = '/batch/'): Buffer {
  const head = `POST ${path} HTTP/1.1\r\nHost: hedgerow\r\nContent-Type: application/json\r\n`;
  return Buffer.from(`${head}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}
