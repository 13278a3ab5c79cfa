/**
 * The beginning of a JSON value's compact text, as PostHog writes it (protocol.md 3.5): no space, keys sorted, the last of
 * repeated keys, floats always with a fraction or an exponent (`1e3` → `1000.0`).
 *
 * Bounds   One pass over the value, whatever it holds: only what can stand in the first MAX_UNITS is built. A value of
 *          8 MiB of small numbers took 4 s and 1 GB as objects.
 */
import { stringText } from '../wire/json/json-text.ts';

/** UTF-16 units that are right; at least the 200 code points that a distinct_id keeps. */
export const MAX_UNITS = 400;
/** More members than fit: each takes at least the five units of `"":1,`. */
const MAX_MEMBERS = MAX_UNITS / 5;
/** So many are read before those that do not fit are let go. */
const MAX_WAITING_MEMBERS = 512;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const LOWER_A = 0x61;

/** @param body holds valid JSON, nested within the protocol's limit, at `[start, end)`. @returns its text, right up to MAX_UNITS */
export function compactJson(body: Buffer, start: number, end: number): string {
  return new CompactReader(body, start, end).value();
}

class CompactReader {
  readonly #body: Buffer;
  readonly #end: number;
  #at: number;

  constructor(body: Buffer, start: number, end: number) {
    this.#body = body;
    this.#at = start;
    this.#end = end;
  }

  /** Passes the value that stands next. */
  value(): string {
    switch (this.#peek()) {
      case OPEN_BRACE:
        return this.#object();
      case OPEN_BRACKET:
        return this.#array();
      case QUOTE: {
        const text = this.#string();
        return JSON.stringify(text.length > MAX_UNITS ? text.slice(0, MAX_UNITS + 1) : text);
      }
      default: {
        const start = this.#at;
        this.#passScalar();
        const token = this.#body.toString('latin1', start, this.#at);
        return token.charCodeAt(0) >= LOWER_A ? token : numberText(token);
      }
    }
  }

  #array(): string {
    let text = '[';
    this.#at += 1;
    if (this.#peek() === CLOSE_BRACKET) {
      this.#at += 1;
      return '[]';
    }
    for (;;) {
      if (text.length < MAX_UNITS) text += this.value();
      else this.#pass();
      const byte = this.#peek();
      this.#at += 1;
      if (byte !== COMMA) return `${text}]`;
      if (text.length < MAX_UNITS) text += ',';
    }
  }

  #object(): string {
    let members = new Map<string, string>();
    /** Keys behind it lie beyond the end. */
    let lastKey: string | undefined;
    this.#at += 1;
    if (this.#peek() === CLOSE_BRACE) {
      this.#at += 1;
      return '{}';
    }
    for (;;) {
      this.#peek();
      const key = this.#string();
      if (this.#peek() === COLON) this.#at += 1;
      if (lastKey !== undefined && compareCodePoints(key, lastKey) > 0) this.#pass();
      else members.set(key, this.value());
      if (members.size >= MAX_WAITING_MEMBERS) {
        const kept = sorted(members).slice(0, MAX_MEMBERS);
        members = new Map(kept);
        lastKey = kept.at(-1)?.[0];
      }
      const byte = this.#peek();
      this.#at += 1;
      if (byte !== COMMA) break;
    }
    let text = '{';
    for (const [key, value] of sorted(members)) {
      if (text.length >= MAX_UNITS) break;
      text += `${text === '{' ? '' : ','}${JSON.stringify(key)}:${value}`;
    }
    return `${text}}`;
  }

  /** The byte at the next thing that is no space. */
  #peek(): number {
    while (this.#at < this.#end && (this.#body[this.#at] as number) <= 0x20) this.#at += 1;
    return this.#body[this.#at] ?? 0;
  }

  #string(): string {
    const start = this.#at + 1;
    const isEscaped = this.#passString();
    return stringText(this.#body, { start, end: this.#at - 1, isEscaped });
  }

  /** At the opening quote. @returns whether it holds an escape */
  #passString(): boolean {
    const body = this.#body;
    let isEscaped = false;
    let at = this.#at + 1;
    for (; at < this.#end && body[at] !== QUOTE; at++) {
      if (body[at] === BACKSLASH) {
        isEscaped = true;
        at += 1;
      }
    }
    this.#at = at + 1;
    return isEscaped;
  }

  #passScalar(): void {
    const body = this.#body;
    let at = this.#at;
    for (; at < this.#end; at++) {
      const byte = body[at] as number;
      if (byte <= 0x20 || byte === COMMA || byte === CLOSE_BRACE || byte === CLOSE_BRACKET) break;
    }
    this.#at = at;
  }

  /** Passes a value without looking at it. */
  #pass(): void {
    let depth = 0;
    do {
      const byte = this.#peek();
      if (byte === QUOTE) {
        this.#passString();
      } else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
        depth += 1;
        this.#at += 1;
      } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) {
        depth -= 1;
        this.#at += 1;
      } else if (byte === COMMA || byte === COLON) {
        this.#at += 1;
      } else {
        this.#passScalar();
      }
    } while (depth > 0 && this.#at < this.#end);
  }
}

function sorted(members: ReadonlyMap<string, string>): [key: string, value: string][] {
  return [...members].sort(([a], [b]) => compareCodePoints(a, b));
}

/** As UTF-8 sorts: pairs behind all of the first plane, although their units are smaller than its last ones. */
function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const left = a.charCodeAt(i);
    const right = b.charCodeAt(i);
    if (left !== right) return rank(left) - rank(right);
  }
  return a.length - b.length;
}

function rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}

function numberText(token: string): string {
  if (token !== '-0' && token.length <= 20 && /^-?\d+$/.test(token)) {
    const integer = BigInt(token);
    if (integer >= -(2n ** 63n) && integer < 2n ** 64n) return token;
  }
  const number = Number(token);
  const size = Math.abs(number);
  if (size !== 0 && (size >= 1e16 || size < 1e-5)) return number.toExponential().replace('e+', 'e');
  if (Object.is(number, -0)) return '-0.0';
  return Number.isInteger(number) ? `${number}.0` : String(number);
}
