/**
 * The values that most members have, walked without the scanner's state: a text without escapes, a short number, a literal.
 * What is not plain is not judged here: the scanner is asked, from where the value begins.
 */
import { STRING_CLASS } from './json-scanner.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const CLOSE_BRACE = 0x7d;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const LOWER_F = 0x66;
const LOWER_N = 0x6e;
const LOWER_T = 0x74;
/** Below the 19 from which a number may be beyond 64 bits. */
const MAX_PLAIN_DIGITS = 18;

/** May a member of an object end before this byte, without space between? */
export function endsMember(byte: number | undefined): boolean {
  return byte === COMMA || byte === CLOSE_BRACE;
}

/**
 * @param start where a value should begin
 * @param from for a text: up to here its bytes are known to be plain; 0 when nothing is known
 * @returns where it ends; -1 when it is not plain
 */
export function plainEnd(body: Buffer, start: number, from: number): number {
  const first = body[start];
  if (first === QUOTE) return plainTextEnd(body, start, from);
  if (first === LOWER_T || first === LOWER_F || first === LOWER_N) return literalEnd(body, start, first);
  if (first === undefined || (first !== MINUS && (first < ZERO || first > NINE))) return -1;
  const digits = first === MINUS ? start + 1 : start;
  let i = digitsEnd(body, digits);
  const count = i - digits;
  if (count === 0 || count > MAX_PLAIN_DIGITS || (count > 1 && body[digits] === ZERO)) return -1;
  if (body[i] === DOT) {
    const fraction = i + 1;
    i = digitsEnd(body, fraction);
    if (i === fraction) return -1;
  }
  return endsMember(body[i]) ? i : -1;
}

/** The same for a text; `start` is at its quote, and the end behind the other one. */
export function plainTextEnd(body: Buffer, start: number, from: number): number {
  const end = body.length;
  let i = from > start ? from : start + 1;
  while (i < end && STRING_CLASS[body[i] as number] === 0) i += 1;
  return body[i] === QUOTE ? i + 1 : -1;
}

function digitsEnd(body: Buffer, start: number): number {
  const end = body.length;
  let i = start;
  while (i < end && (body[i] as number) >= ZERO && (body[i] as number) <= NINE) i += 1;
  return i;
}

/** `true`, `false`, `null`. */
function literalEnd(body: Buffer, start: number, first: number): number {
  let i = start + 1;
  if (first === LOWER_T) {
    if (body[i] !== 0x72 || body[i + 1] !== 0x75 || body[i + 2] !== 0x65) return -1;
    i += 3;
  } else if (first === LOWER_F) {
    if (body[i] !== 0x61 || body[i + 1] !== 0x6c || body[i + 2] !== 0x73 || body[i + 3] !== 0x65) return -1;
    i += 4;
  } else {
    if (body[i] !== 0x75 || body[i + 1] !== 0x6c || body[i + 2] !== 0x6c) return -1;
    i += 3;
  }
  return endsMember(body[i]) ? i : -1;
}
