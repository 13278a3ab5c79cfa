import { readAll, type Disk } from './disk.ts';
import {
  doesCrcHold,
  FRAME_HEADER_BYTES,
  frameBytesFor,
  frameKeyOf,
  looksLikeFrame,
  readFrameHeader,
  SEGMENT_HEADER_BYTES,
  type FoundFrame,
  type FrameHeader,
  type FrameKey,
  type SegmentHeader,
} from './layout.ts';

const CHUNK_BYTES = 1 << 20;

/** `end`: no room for a frame below the limit. `bad`: what is there does not check. */
export type ScanStep =
  | { readonly kind: 'frame'; readonly frame: FoundFrame; readonly payload: Buffer }
  | { readonly kind: 'end' }
  | { readonly kind: 'bad'; readonly why: string };

export interface FramePlace {
  /** In the file, bytes. */
  readonly position: number;
  readonly frame: FoundFrame;
}

/**
 * Walks the frames of one segment in order, each checked: tag, CRC, and that it begins at the next sequence number.
 * Bytes at and behind `limitBytes` are never looked at, so what it holds in memory never goes stale.
 */
export class FrameScanner {
  readonly #disk: Disk;
  readonly #fd: number;
  readonly #key: FrameKey;
  #chunk: Buffer = Buffer.alloc(0);
  /** Where in the file the chunk begins. */
  #chunkStart = 0;
  #position = SEGMENT_HEADER_BYTES;
  #sequence: number;
  limitBytes: number;

  constructor(disk: Disk, fd: number, header: SegmentHeader) {
    this.#disk = disk;
    this.#fd = fd;
    this.#key = frameKeyOf(header.nonce);
    this.#sequence = header.firstSequence;
    this.limitBytes = header.segmentBytes;
  }

  /** Where the next frame begins in the file, bytes. */
  get position(): number {
    return this.#position;
  }

  /** Sequence number that the next frame must have. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Looks at the next frame without moving. The payload is valid until the next call. */
  async peek(): Promise<ScanStep> {
    if (this.#position + FRAME_HEADER_BYTES > this.limitBytes) return { kind: 'end' };
    const headerAt = await this.#hold(this.#position, FRAME_HEADER_BYTES);
    if (headerAt === undefined) return { kind: 'bad', why: 'the file ends early' };
    if (!looksLikeFrame(this.#chunk, headerAt, this.#key))
      return { kind: 'bad', why: 'there is no frame of this segment' };
    const frame = readFrameHeader(this.#chunk, headerAt);
    if (this.#position + frameBytesFor(frame.payloadBytes) > this.limitBytes) {
      return { kind: 'bad', why: `the frame claims ${frame.payloadBytes} bytes, more than there are` };
    }
    const at = await this.#hold(this.#position, FRAME_HEADER_BYTES + frame.payloadBytes);
    if (at === undefined) return { kind: 'bad', why: 'the file ends early' };
    if (!doesCrcHold(this.#chunk, at, this.#key))
      return { kind: 'bad', why: 'the checksum of the frame does not hold' };
    if (frame.firstSequence !== this.#sequence || frame.count === 0) {
      return { kind: 'bad', why: `the frame begins at record ${frame.firstSequence} instead of ${this.#sequence}` };
    }
    const payloadAt = at + FRAME_HEADER_BYTES;
    return { kind: 'frame', frame, payload: this.#chunk.subarray(payloadAt, payloadAt + frame.payloadBytes) };
  }

  /** Moves behind `frame`, which `peek` gave. */
  pass(frame: FrameHeader): void {
    this.#position += frameBytesFor(frame.payloadBytes);
    this.#sequence += frame.count;
  }

  /**
   * From the next frame on, at each multiple of 8: does a whole frame lie there whose group begins behind `sequence`?
   * Then the group that should be here was acknowledged, since one write is under way at a time.
   *
   * @returns its place in the file. Cost: reads the rest of the segment; a few ns for each 8 bytes.
   */
  async findLaterGroup(): Promise<number | undefined> {
    const found = await this.findFrame(
      this.#position,
      (frame) => frame.groupFirstSequence > this.#sequence && frame.firstSequence >= frame.groupFirstSequence,
    );
    return found?.position;
  }

  /** The first whole frame of this segment at or behind `from` that `accepts` takes. Cost as above. */
  async findFrame(from: number, accepts: (frame: FoundFrame) => boolean): Promise<FramePlace | undefined> {
    for (let position = from; ; position += 8) {
      const candidate = await this.#nextCandidate(position);
      if (candidate === undefined) return undefined;
      position = candidate;
      const frame = await this.#wholeFrame(position, accepts);
      if (frame !== undefined) return { position, frame };
    }
  }

  /** Goes on elsewhere: a repair has looked at what lies between. */
  jumpTo({ position, frame }: FramePlace): void {
    this.#position = position;
    this.#sequence = frame.firstSequence;
  }

  /** The first place at or behind `from` that has the tag of this segment. */
  async #nextCandidate(from: number): Promise<number | undefined> {
    for (let position = from; position + FRAME_HEADER_BYTES <= this.limitBytes;) {
      const start = await this.#hold(position, FRAME_HEADER_BYTES);
      if (start === undefined) return undefined;
      let at = start;
      for (const stop = this.#chunk.length - FRAME_HEADER_BYTES; at <= stop; at += 8) {
        if (looksLikeFrame(this.#chunk, at, this.#key)) return position + at - start;
      }
      position += at - start;
    }
    return undefined;
  }

  async #wholeFrame(position: number, accepts: (frame: FoundFrame) => boolean): Promise<FoundFrame | undefined> {
    const at = await this.#hold(position, FRAME_HEADER_BYTES);
    if (at === undefined) return undefined;
    const frame = readFrameHeader(this.#chunk, at);
    if (!accepts(frame) || position + frameBytesFor(frame.payloadBytes) > this.limitBytes) return undefined;
    const whole = await this.#hold(position, FRAME_HEADER_BYTES + frame.payloadBytes);
    return whole !== undefined && doesCrcHold(this.#chunk, whole, this.#key) ? frame : undefined;
  }

  /** Makes `[position, position + bytes)` of the file present. @returns where in the chunk; undefined past the end. */
  async #hold(position: number, bytes: number): Promise<number | undefined> {
    const at = position - this.#chunkStart;
    if (at >= 0 && at + bytes <= this.#chunk.length) return at;
    const wanted = Math.min(Math.max(CHUNK_BYTES, bytes), this.limitBytes - position);
    const chunk = Buffer.allocUnsafe(wanted);
    const read = await readAll(this.#disk, this.#fd, chunk, position);
    this.#chunk = chunk.subarray(0, read);
    this.#chunkStart = position;
    return bytes <= read ? 0 : undefined;
  }
}
