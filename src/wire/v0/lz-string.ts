/**
 * Undoes LZ-string, as `compressToBase64` of the JavaScript library writes it: an LZ78 stream of UTF-16 code units, six
 * bits a character, made into UTF-8 (protocol.md 2.5, 2.7). Very old browser clients send it.
 *
 * Format   The bits of a character count from its highest, those of a code from its lowest. A code is as wide as the
 *          dictionary needs, from 3 bits (2 for the first). 0 and 1: a literal of 8 or 16 bits follows; 2: the end; any
 *          other: an entry. With every code but the first, the entry before it and this one's first unit become an entry.
 * Bounds   Output is capped while it is made, and each step copies no more than it emits, so that a bomb costs what its
 *          cap costs. An entry is the place and length of its first appearance in the output, never a copy: two numbers.
 *          Each entry took at least three bits of input.
 * Order    Units are written as three bytes each where they are halves of a pair, so that an entry may end between the
 *          halves; the end joins them. Therefore the output may be half as long again as the cap until it is joined.
 * Pauses   `advance` returns after a share of the work, so that the caller can let other requests run between.
 */
import { type Fault, fault } from '../../errors.ts';

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const NOT_A_CHARACTER = 0xff;
const PADDING = 0x3d;

/** By byte: its six bits, lowest first, as the stream counts them. */
const SIX_BITS = new Uint8Array(256).fill(NOT_A_CHARACTER);
for (let value = 0; value < 64; value++) {
  let reversed = 0;
  for (let bit = 0; bit < 6; bit++) if ((value & (1 << bit)) !== 0) reversed |= 32 >> bit;
  SIX_BITS[ALPHABET.charCodeAt(value)] = reversed;
}
SIX_BITS[0x20] = SIX_BITS[0x2b] ?? NOT_A_CHARACTER; // a `+` that went through a query or a form

const LITERAL_8 = 0;
const LITERAL_16 = 1;
const END = 2;
const FIRST_ENTRY = 3;
/** Wider codes would not fit beside six waiting bits in the 32 that we shift; 2^25 entries need 100 MB of input. */
const MAX_CODE_BITS = 25;
/** Room at the start; it doubles from there. */
const FIRST_BYTES = 1 << 20;
/** From here on the runtime's own copy costs less than ours. */
const LARGE_COPY_BYTES = 32;

/** Could `text` be LZ-string's base64? An end of `=` and line breaks is passed over. */
export function isLzStringText(text: Buffer): boolean {
  const end = textEnd(text);
  for (let i = 0; i < end; i++) if (SIX_BITS[text[i] as number] === NOT_A_CHARACTER) return false;
  return end > 0;
}

function textEnd(text: Buffer): number {
  let end = text.length;
  while (end > 0 && (text[end - 1] === PADDING || text[end - 1] === 0x0a || text[end - 1] === 0x0d)) end -= 1;
  return end;
}

const undecodable = (): Fault =>
  fault('invalid_encoding', {
    problem:
      'decompress_lz64: failed decompress to UTF16: the payload is not what compressToBase64 of LZ-string writes, or is cut short',
  });

/** One payload under way. */
export class LzStringDecoder {
  readonly #text: Buffer;
  readonly #end: number;
  readonly #maxBytes: number;
  #at = 0;
  #bits = 0;
  #bitCount = 0;
  #out: Buffer;
  #outEnd = 0;
  /** By entry: where it first stands in the output, and how many bytes it has there. */
  #entryStart = new Uint32Array(1024);
  #entryLength = new Uint32Array(1024);
  #entryCount = FIRST_ENTRY;
  #codeBits = 3;
  /** Entries until codes grow by a bit. */
  #untilWider = 5;
  #lastStart = 0;
  #lastLength = 0;
  #hasHalves = false;
  #isStarted = false;

  /** @param maxBytes of the UTF-8 that comes out */
  constructor(text: Buffer, maxBytes: number) {
    this.#text = text;
    this.#end = textEnd(text);
    this.#maxBytes = maxBytes;
    this.#out = Buffer.allocUnsafeSlow(Math.min(Math.max(256, this.#end * 2), FIRST_BYTES, maxBytes + 3));
  }

  /** @param budget about how many codes and bytes to deal with; `more` asks for another call. */
  advance(budget: number): Buffer | Fault | 'more' {
    let left = budget;
    if (!this.#isStarted) {
      this.#isStarted = true;
      const kind = this.#take(2);
      if (kind === END) return this.#finish();
      if (kind !== LITERAL_8 && kind !== LITERAL_16) return undecodable();
      const unit = this.#take(kind === LITERAL_8 ? 8 : 16);
      if (unit < 0) return undecodable();
      this.#emitUnit(unit);
    }
    while (left > 0) {
      const code = this.#take(this.#codeBits);
      if (code === END) return this.#finish();
      if (code < 0) return undecodable();
      const lastStart = this.#lastStart;
      const lastLength = this.#lastLength;
      if (code === LITERAL_8 || code === LITERAL_16) {
        const unit = this.#take(code === LITERAL_8 ? 8 : 16);
        if (unit < 0) return undecodable();
        if (!this.#reserve(3)) return this.#tooLarge();
        this.#emitUnit(unit);
      } else if (code < this.#entryCount) {
        const length = this.#entryLength[code] as number;
        if (!this.#reserve(length)) return this.#tooLarge();
        this.#emitCopy(this.#entryStart[code] as number, length);
      } else if (code === this.#entryCount) {
        // The entry that this very step makes: the last one and its own first unit.
        const length = lastLength + this.#unitLength(lastStart);
        if (!this.#reserve(length)) return this.#tooLarge();
        this.#emitCopy(lastStart, length);
      } else {
        return undecodable();
      }
      this.#addEntry(lastStart, lastLength + this.#unitLength(this.#lastStart));
      if (this.#codeBits > MAX_CODE_BITS) return this.#tooLarge();
      left -= 1 + (this.#lastLength >> 3);
    }
    return 'more';
  }

  /** The next `count` bits as a number; -1 at the end of the text, or at a character that is none of the alphabet's. */
  #take(count: number): number {
    while (this.#bitCount < count) {
      if (this.#at >= this.#end) return -1;
      const six = SIX_BITS[this.#text[this.#at] as number] as number;
      if (six === NOT_A_CHARACTER) return -1;
      this.#at += 1;
      this.#bits |= six << this.#bitCount;
      this.#bitCount += 6;
    }
    const value = this.#bits & ((1 << count) - 1);
    this.#bits >>>= count;
    this.#bitCount -= count;
    return value;
  }

  #emitUnit(unit: number): void {
    const out = this.#out;
    const start = this.#outEnd;
    let at = start;
    if (unit < 0x80) {
      out[at++] = unit;
    } else if (unit < 0x800) {
      out[at++] = 0xc0 | (unit >> 6);
      out[at++] = 0x80 | (unit & 0x3f);
    } else {
      if (unit >= 0xd800 && unit <= 0xdfff) this.#hasHalves = true;
      out[at++] = 0xe0 | (unit >> 12);
      out[at++] = 0x80 | ((unit >> 6) & 0x3f);
      out[at++] = 0x80 | (unit & 0x3f);
    }
    this.#outEnd = at;
    this.#addEntry(start, at - start);
    this.#lastStart = start;
    this.#lastLength = at - start;
  }

  /** Repeats `length` bytes from `from`; the source may run into the copy, byte by byte. */
  #emitCopy(from: number, length: number): void {
    const out = this.#out;
    const start = this.#outEnd;
    if (length > LARGE_COPY_BYTES && from + length <= start) {
      out.copyWithin(start, from, from + length);
    } else if (length > LARGE_COPY_BYTES) {
      // Only the last unit, of at most three bytes, lies in the copy itself.
      out.copyWithin(start, from, start);
      for (let i = start - from; i < length; i++) out[start + i] = out[from + i] as number;
    } else {
      for (let i = 0; i < length; i++) out[start + i] = out[from + i] as number;
    }
    this.#outEnd = start + length;
    this.#lastStart = start;
    this.#lastLength = length;
  }

  #unitLength(at: number): number {
    const lead = this.#out[at] as number;
    return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : 3;
  }

  #addEntry(start: number, length: number): void {
    if (this.#entryCount === this.#entryStart.length) {
      this.#entryStart = doubled(this.#entryStart);
      this.#entryLength = doubled(this.#entryLength);
    }
    this.#entryStart[this.#entryCount] = start;
    this.#entryLength[this.#entryCount] = length;
    this.#entryCount += 1;
    this.#untilWider -= 1;
    if (this.#untilWider === 0) {
      this.#untilWider = 2 ** this.#codeBits;
      this.#codeBits += 1;
    }
  }

  /** Makes room for `more` bytes; false when they would pass the cap. */
  #reserve(more: number): boolean {
    const wanted = this.#outEnd + more;
    if (wanted <= this.#out.length) return true;
    const maxWorkBytes = this.#hasHalves ? Math.ceil(this.#maxBytes * 1.5) : this.#maxBytes;
    // A literal asks for three bytes before it is known how many it needs.
    if (wanted > maxWorkBytes + 3) return false;
    const grown = Buffer.allocUnsafeSlow(Math.min(Math.max(wanted, this.#out.length * 2), maxWorkBytes + 3));
    this.#out.copy(grown, 0, 0, this.#outEnd);
    this.#out = grown;
    return true;
  }

  #tooLarge(): Fault {
    return fault('payload_too_large', {
      problem: `Decompressed LZ64 payload would exceed ${this.#maxBytes} bytes`,
    });
  }

  #finish(): Buffer | Fault {
    if (this.#hasHalves) {
      const end = joinHalves(this.#out, this.#outEnd);
      if (end < 0) {
        return fault('invalid_encoding', {
          problem: 'decompress_lz64: failed UTF16 to UTF8 conversion: half of a surrogate pair stands alone',
        });
      }
      this.#outEnd = end;
    }
    return this.#outEnd > this.#maxBytes ? this.#tooLarge() : this.#out.subarray(0, this.#outEnd);
  }
}

function doubled(array: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const grown = new Uint32Array(array.length * 2);
  grown.set(array);
  return grown;
}

/** Six bytes of two halves become the four of their character, in place. @returns the new end; -1 when a half is alone */
function joinHalves(out: Buffer, end: number): number {
  let to = 0;
  let at = 0;
  while (at < end) {
    // The lead byte of every half, and of some whole characters.
    const found = out.indexOf(0xed, at);
    const next = found < 0 || found >= end ? end : found;
    out.copyWithin(to, at, next);
    to += next - at;
    at = next;
    if (at === end) break;
    const second = out[at + 1] as number;
    if (second < 0xa0) {
      out.copyWithin(to, at, at + 3);
      to += 3;
      at += 3;
      continue;
    }
    const isPair = second < 0xb0 && at + 5 < end && out[at + 3] === 0xed && (out[at + 4] as number) >= 0xb0;
    if (!isPair) return -1;
    const high = ((second & 0x0f) << 6) | ((out[at + 2] as number) & 0x3f);
    const low = (((out[at + 4] as number) & 0x0f) << 6) | ((out[at + 5] as number) & 0x3f);
    const point = 0x10000 + (high << 10) + low;
    out[to++] = 0xf0 | (point >> 18);
    out[to++] = 0x80 | ((point >> 12) & 0x3f);
    out[to++] = 0x80 | ((point >> 6) & 0x3f);
    out[to++] = 0x80 | (point & 0x3f);
    at += 6;
  }
  return to;
}
