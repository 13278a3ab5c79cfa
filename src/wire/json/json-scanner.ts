/**
 * A validating JSON scanner over bytes: it walks a value, checks all of it, and leaves positions behind instead of
 * objects.
 *
 * Guarantees
 *   G1  What it passes over is JSON as RFC 8259 has it, and within the protocol's own limits (protocol.md 2.7): nesting
 *       of at most 127, no lone surrogate in an escape, no number outside the range of a double.
 *   G2  Nothing is allocated, unless a number has an exponent or more than 300 digits.
 *   G3  Anything else throws BadJson with the position; the text is never read outside `[0, end)`.
 * UTF-8 itself is checked before, natively, by `buffer.isUtf8`.
 * Source   docs/decisions/0007-json-scanner.md; proof: json-scanner.test.ts compares with JSON.parse.
 */

/** The text is no JSON, or beyond a limit. `position` is a byte offset. */
export class BadJson extends Error {
  override readonly name = 'BadJson';
  readonly position: number;
  constructor(problem: string, position: number) {
    super(problem);
    this.position = position;
  }
}

export const MAX_NESTING = 127;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const MINUS = 0x2d;
const PLUS = 0x2b;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;
const LOWER_U = 0x75;

const TRUE = Buffer.from('true');
const FALSE = Buffer.from('false');
const NULL = Buffer.from('null');

/** By byte; 0: may stand in a string as it is. */
export const STRING_CLASS = new Uint8Array(256);
STRING_CLASS.fill(1, 0, 0x20);
STRING_CLASS[QUOTE] = 2;
STRING_CLASS[BACKSLASH] = 3;

const IS_SPACE = new Uint8Array(256);
for (const byte of [0x20, 0x09, 0x0a, 0x0d]) IS_SPACE[byte] = 1;

const HEX_VALUE = new Int8Array(256).fill(-1);
for (let i = 0; i < 10; i++) HEX_VALUE[ZERO + i] = i;
for (let i = 0; i < 6; i++) HEX_VALUE[0x41 + i] = HEX_VALUE[0x61 + i] = 10 + i;

const SIMPLE_ESCAPES = new Uint8Array(256);
for (const char of '"\\/bfnrt') SIMPLE_ESCAPES[char.charCodeAt(0)] = 1;

const EMPTY = Buffer.alloc(0);

export class JsonScanner {
  text: Buffer = EMPTY;
  at = 0;
  /** Contents of the last string passed, between its quotes, and whether it holds a backslash. */
  stringStart = 0;
  stringEnd = 0;
  stringIsEscaped = false;
  /** A number of 19 or more digits without fraction or exponent was passed since this was last set to false. */
  sawLongInteger = false;
  /** Containers open around `at`; 1 = object. */
  depth = 0;
  readonly #stack = new Uint8Array(MAX_NESTING + 2);

  reset(text: Buffer): void {
    this.text = text;
    this.at = 0;
    this.depth = 0;
    this.sawLongInteger = false;
  }

  /** Lets go of the text, so that a scanner that waits holds no body. */
  release(): void {
    this.text = EMPTY;
  }

  skipSpace(): void {
    const { text } = this;
    const end = text.length;
    let at = this.at;
    while (at < end && IS_SPACE[text[at] as number] === 1) at += 1;
    this.at = at;
  }

  /** The byte at `at` once space is passed; -1 at the end. */
  peek(): number {
    const { text } = this;
    if (this.at < text.length && IS_SPACE[text[this.at] as number] === 1) this.skipSpace();
    return this.at < text.length ? (text[this.at] as number) : -1;
  }

  fail(problem: string): never {
    throw new BadJson(this.at >= this.text.length ? 'EOF while parsing a value' : problem, this.at);
  }

  /** At `{`: goes in, to the first key. @returns false when there is none; the object is passed then */
  openObject(): boolean {
    this.#open(1);
    if (this.peek() !== CLOSE_BRACE) return true;
    this.#close();
    return false;
  }

  /** At `[`: the same, to the first element. */
  openArray(): boolean {
    this.#open(0);
    if (this.peek() !== CLOSE_BRACKET) return true;
    this.#close();
    return false;
  }

  /** @param kind as `#stack` has it */
  #open(kind: 0 | 1): void {
    if (this.depth >= MAX_NESTING) this.fail('recursion limit exceeded: nesting deeper than 127');
    this.depth += 1;
    this.#stack[this.depth] = kind;
    this.at += 1;
  }

  #close(): void {
    this.depth -= 1;
    this.at += 1;
  }

  /** At a key's opening quote: passes the key and the colon. The key is in `stringStart`, `stringEnd`. */
  key(): void {
    if (this.peek() !== QUOTE) this.fail('key must be a string');
    this.string();
    if (this.peek() !== COLON) this.fail('expected `:`');
    this.at += 1;
  }

  /** In an object, behind a value: true when another key follows, false when it was closed. */
  nextMember(): boolean {
    const byte = this.peek();
    if (byte === COMMA) {
      this.at += 1;
      return true;
    }
    if (byte !== CLOSE_BRACE) this.fail('expected `,` or `}`');
    this.#close();
    return false;
  }

  /** In an array, behind a value: true when another element follows, false when it was closed. */
  nextElement(): boolean {
    const byte = this.peek();
    if (byte === COMMA) {
      this.at += 1;
      return true;
    }
    if (byte !== CLOSE_BRACKET) this.fail('expected `,` or `]`');
    this.#close();
    return false;
  }

  /** At the opening quote. */
  string(): void {
    const { text } = this;
    const end = text.length;
    let at = this.at + 1;
    this.stringStart = at;
    this.stringIsEscaped = false;
    for (;;) {
      while (at < end && STRING_CLASS[text[at] as number] === 0) at += 1;
      if (at >= end) {
        this.at = at;
        this.fail('EOF while parsing a string');
      }
      const byte = text[at] as number;
      if (byte === QUOTE) break;
      if (byte !== BACKSLASH) {
        this.at = at;
        this.fail('control character found while parsing a string');
      }
      this.stringIsEscaped = true;
      at = this.#escape(at);
    }
    this.stringEnd = at;
    this.at = at + 1;
  }

  /** @returns the position behind the escape that begins at `at`. */
  #escape(at: number): number {
    const { text } = this;
    const byte = text[at + 1] ?? 0;
    if (SIMPLE_ESCAPES[byte] === 1) return at + 2;
    if (byte !== LOWER_U) {
      this.at = at;
      this.fail('invalid escape');
    }
    const unit = this.#codeUnit(at);
    if (unit < 0xd800 || unit > 0xdfff) return at + 6;
    if (unit > 0xdbff || text[at + 6] !== BACKSLASH || text[at + 7] !== LOWER_U) {
      this.at = at;
      this.fail('lone leading surrogate in hex escape');
    }
    const low = this.#codeUnit(at + 6);
    if (low < 0xdc00 || low > 0xdfff) {
      this.at = at;
      this.fail('lone leading surrogate in hex escape');
    }
    return at + 12;
  }

  #codeUnit(at: number): number {
    const { text } = this;
    let unit = 0;
    for (let i = 2; i < 6; i++) {
      const value = HEX_VALUE[text[at + i] ?? 0] as number;
      if (value < 0) {
        this.at = at;
        this.fail('invalid unicode escape');
      }
      unit = (unit << 4) | value;
    }
    return unit;
  }

  /** At any value: passes it, however deep. */
  value(): void {
    const base = this.depth;
    const stack = this.#stack;
    for (;;) {
      const byte = this.peek();
      if (byte === QUOTE) {
        this.string();
      } else if (byte === OPEN_BRACE) {
        if (this.openObject()) {
          this.key();
          continue;
        }
      } else if (byte === OPEN_BRACKET) {
        if (this.openArray()) continue;
      } else {
        this.scalar(byte);
      }
      let hasMore = false;
      while (this.depth > base && !hasMore) {
        if (stack[this.depth] === 1) {
          hasMore = this.nextMember();
          if (hasMore) this.key();
        } else {
          hasMore = this.nextElement();
        }
      }
      if (!hasMore) return;
    }
  }

  /** A number, `true`, `false` or `null` that begins with `byte`. */
  scalar(byte: number): void {
    if (byte === MINUS || (byte >= ZERO && byte <= NINE)) this.#number();
    else if (byte === 0x74) this.#literal(TRUE);
    else if (byte === 0x66) this.#literal(FALSE);
    else if (byte === 0x6e) this.#literal(NULL);
    else this.fail('expected value');
  }

  #literal(word: Buffer): void {
    const { text, at } = this;
    for (let i = 1; i < word.length; i++) if (text[at + i] !== word[i]) this.fail('expected ident');
    this.at = at + word.length;
  }

  #digits(from: number): number {
    const { text } = this;
    const end = text.length;
    let at = from;
    while (at < end && (text[at] as number) >= ZERO && (text[at] as number) <= NINE) at += 1;
    return at;
  }

  #number(): void {
    const { text } = this;
    const start = this.at;
    const first = text[start] === MINUS ? start + 1 : start;
    let at = this.#digits(first);
    const integerDigits = at - first;
    if (integerDigits === 0 || (integerDigits > 1 && text[first] === ZERO)) this.fail('invalid number');
    let isInteger = true;
    let mayOverflow = integerDigits > 300;
    if (text[at] === DOT) {
      isInteger = false;
      const fraction = at + 1;
      at = this.#digits(fraction);
      if (at === fraction) this.fail('invalid number');
    }
    if (((text[at] ?? 0) | 0x20) === 0x65) {
      isInteger = false;
      mayOverflow = true;
      const sign = text[at + 1];
      const exponent = sign === PLUS || sign === MINUS ? at + 2 : at + 1;
      at = this.#digits(exponent);
      if (at === exponent) this.fail('invalid number');
    }
    if (isInteger && integerDigits >= 19) this.sawLongInteger = true;
    if (mayOverflow && !Number.isFinite(Number(text.toString('latin1', start, at)))) this.fail('number out of range');
    this.at = at;
  }
}
