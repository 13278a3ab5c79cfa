/**
 * Makes JSON that our scanner accepts into JSON that the engine's `JSON` type accepts. Two things differ: a number that
 * fits no 64-bit integer and no float64 becomes the nearest float64, and half of a surrogate pair (`\ud800`) becomes
 * U+FFFD, as a JavaScript encoder would have sent it. The raw text is kept beside it, unchanged.
 */
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const MINUS = 0x2d;
const MIN_INTEGER = -(2n ** 63n);
const MAX_INTEGER = 2n ** 64n - 1n;
const MAX_FLOAT = '1.7976931348623157e308';

/** @returns the repaired text, or undefined when nothing needs repair. `bytes[start, end)` is valid JSON. */
export function repairJson(bytes: Buffer, start: number, end: number): Uint8Array | undefined {
  const parts: Uint8Array[] = [];
  let keptUpTo = start;
  const replace = (from: number, to: number, text: string): void => {
    parts.push(bytes.subarray(keptUpTo, from), Buffer.from(text, 'latin1'));
    keptUpTo = to;
  };
  let at = start;
  while (at < end) {
    const byte = bytes[at] ?? 0;
    if (byte === QUOTE) {
      at = repairString(bytes, at + 1, end, replace);
    } else if (byte === MINUS || isDigit(byte)) {
      const tokenEnd = numberEnd(bytes, at, end);
      const repaired = repairedNumber(bytes.toString('latin1', at, tokenEnd));
      if (repaired !== undefined) replace(at, tokenEnd, repaired);
      at = tokenEnd;
    } else {
      at += 1;
    }
  }
  if (parts.length === 0) return undefined;
  parts.push(bytes.subarray(keptUpTo, end));
  return Buffer.concat(parts);
}

type Replace = (from: number, to: number, text: string) => void;

/** @returns the position behind the closing quote. */
function repairString(bytes: Buffer, start: number, end: number, replace: Replace): number {
  let at = start;
  while (at < end) {
    const byte = bytes[at];
    if (byte === QUOTE) return at + 1;
    if (byte !== BACKSLASH) {
      at += 1;
      continue;
    }
    const unit = escapedUnit(bytes, at);
    if (unit === undefined) {
      at += 2;
    } else if (unit < 0xd800 || unit > 0xdfff) {
      at += 6;
    } else {
      const next = unit < 0xdc00 ? escapedUnit(bytes, at + 6) : undefined;
      if (next !== undefined && next >= 0xdc00 && next <= 0xdfff) {
        at += 12;
      } else {
        replace(at, at + 6, '\\ufffd');
        at += 6;
      }
    }
  }
  return at;
}

/** The UTF-16 unit of the `\uXXXX` at `at`. */
function escapedUnit(bytes: Buffer, at: number): number | undefined {
  if (bytes[at] !== BACKSLASH || bytes[at + 1] !== 0x75) return undefined;
  const unit = Number.parseInt(bytes.toString('latin1', at + 2, at + 6), 16);
  return Number.isNaN(unit) ? undefined : unit;
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39;
}

function numberEnd(bytes: Buffer, start: number, end: number): number {
  let at = start + 1;
  while (at < end) {
    const byte = bytes[at] ?? 0;
    // Digits, and . e E + -
    if (!isDigit(byte) && byte !== 0x2e && byte !== 0x65 && byte !== 0x45 && byte !== 0x2b && byte !== MINUS) break;
    at += 1;
  }
  return at;
}

function repairedNumber(token: string): string | undefined {
  if (/^-?\d+$/.test(token)) {
    if (token.length < 19) return undefined;
    // Beyond 40 digits it is surely too long; BigInt of a million digits would stop the process for seconds.
    if (token.length <= 40) {
      const value = BigInt(token);
      if (value >= MIN_INTEGER && value <= MAX_INTEGER) return undefined;
    }
  }
  const value = Number(token);
  if (!Number.isFinite(value)) return value < 0 ? `-${MAX_FLOAT}` : MAX_FLOAT;
  return /^-?\d+$/.test(token) ? value.toExponential() : undefined;
}
