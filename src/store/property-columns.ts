/**
 * Takes the properties of a block's events apart: a column for each path, in the engine's own layout of a `JSON` column,
 * so that the engine copies columns where it would otherwise parse each text again. Its own parse is half of all that
 * loading costs.
 *
 * Guarantees
 *   P1  `add` takes a row whole or declines it and leaves nothing of it. What it takes reads back as if the engine
 *       had parsed the text: same paths, same types, same values (test/contract/event-columns.test.ts).
 *   P2  It declines what it does not know for sure: a key with an escape, a path that comes twice, mixed or nested
 *       arrays, arrays of another kind of number than the path had before, objects in arrays, integers of 19 digits and
 *       more, numbers beyond float64, deep nesting, and paths beyond MAX_PATHS. Such a row goes in as text.
 * Input    Valid JSON, an object (wire/ has seen to that), without half surrogate pairs.
 * Bounds   MAX_PATHS columns, MAX_NODES keys. What was used once too often is forgotten between blocks.
 * Layout   `object_serialization_version` FLATTENED (3), as Native writes and reads it: version u64, the paths, then
 *          for each path the version (3) and the type names of a `Dynamic`; then for each path, one byte a row that
 *          says which type it has (the number of types = absent), and the values of each type.
 */
import { ByteWriter } from './byte-writer.ts';

const MAX_PATHS = 256; // as `propertiesType`: what comes beyond shares one column inside the engine
const MAX_NODES = 1024;
const MAX_DEPTH = 16;
const FLATTENED = 3;
const ABSENT = 0xff;
const DECLINED = -1;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const MINUS = 0x2d;
const DOT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;

/** What a value becomes; an index into `typeNames`. */
// The arrays stand in the reverse order of their names: `arrayKind` relies on it.
const kinds = { text: 0, integer: 1, float: 2, bool: 3, texts: 4, integers: 5, floats: 6, bools: 7 } as const;
type Kind = (typeof kinds)[keyof typeof kinds];
/** An array without a value but null: it gets the type of another array of its path, as the engine has it. */
const EMPTY_ARRAY = 8;

const typeNames = [
  'String',
  'Int64',
  'Float64',
  'Bool',
  'Array(Nullable(String))',
  'Array(Nullable(Int64))',
  'Array(Nullable(Float64))',
  'Array(Nullable(Bool))',
] as const;

const FIRST_VALUE_BYTES = 4 << 10;
/** Digits that a float64 holds exactly, and the power of ten that it does: their quotient is the nearest float64. */
const EXACT_DIGITS = 15;
const powersOfTen = Array.from({ length: EXACT_DIGITS + 1 }, (_, power) => 10 ** power);

/** The values of one path that have one type. */
class TypedValues {
  readonly kind: Kind;
  readonly values = new ByteWriter(FIRST_VALUE_BYTES);
  /** Arrays only: where each ends, and which elements are null. */
  readonly ends: ByteWriter | undefined;
  readonly nulls: ByteWriter | undefined;
  elements = 0;
  count = 0;

  constructor(kind: Kind) {
    this.kind = kind;
    if (kind < kinds.texts) return;
    this.ends = new ByteWriter(FIRST_VALUE_BYTES);
    this.nulls = new ByteWriter(FIRST_VALUE_BYTES);
  }

  get byteLength(): number {
    return this.values.byteLength + (this.ends?.byteLength ?? 0) + (this.nulls?.byteLength ?? 0);
  }

  reset(): void {
    this.values.reset();
    this.ends?.reset();
    this.nulls?.reset();
    this.elements = 0;
    this.count = 0;
  }

  writeTo(out: ByteWriter): void {
    if (this.ends !== undefined) out.raw(this.ends.bytes());
    if (this.nulls !== undefined) out.raw(this.nulls.bytes());
    out.raw(this.values.bytes());
  }
}

/** The values of one path of the block. */
class PathColumn {
  readonly name: Buffer;
  /** By kind. */
  readonly #typed: (TypedValues | undefined)[] = typeNames.map(() => undefined);
  /** In the order in which the block brought them. */
  readonly types: TypedValues[] = [];
  #typeOfRow = new Uint8Array(256).fill(ABSENT);
  count = 0;

  constructor(name: Buffer) {
    this.name = name;
  }

  reset(rows: number): void {
    this.#typeOfRow.fill(ABSENT, 0, rows);
    for (const typed of this.types) typed.reset();
    this.types.length = 0;
    this.count = 0;
  }

  /** @returns where the value of `row` is to be written */
  at(row: number, kind: Kind): TypedValues {
    const typed = (this.#typed[kind] ??= new TypedValues(kind));
    if (typed.count === 0) this.types.push(typed);
    typed.count += 1;
    this.count += 1;
    if (row >= this.#typeOfRow.length) this.#grow(row + 1);
    this.#typeOfRow[row] = this.types.length === 1 ? 0 : this.types.indexOf(typed);
    return typed;
  }

  /** Beside arrays of `kind` it has some of another kind that the engine might turn into one another. */
  hasOtherArrays(kind: Kind): boolean {
    return kind > kinds.texts && this.types.some((typed) => typed.kind > kinds.texts && typed.kind !== kind);
  }

  /** Of its arrays the type whose name comes first; of texts when it has none. */
  arrayKind(): Kind {
    let most: Kind = kinds.texts;
    for (const { kind } of this.types) if (kind > most) most = kind;
    return most;
  }

  byteLength(rows: number): number {
    return this.types.reduce((sum, typed) => sum + typed.byteLength, rows);
  }

  writeTo(out: ByteWriter, rows: number): void {
    if (rows > this.#typeOfRow.length) this.#grow(rows);
    const types = this.#typeOfRow.subarray(0, rows);
    if (this.count < rows) {
      const absent = this.types.length;
      for (let row = 0; row < rows; row++) if (types[row] === ABSENT) types[row] = absent;
    }
    out.raw(types);
    for (const typed of this.types) typed.writeTo(out);
  }

  #grow(rows: number): void {
    const larger = new Uint8Array(Math.max(rows, this.#typeOfRow.length * 2)).fill(ABSENT);
    larger.set(this.#typeOfRow);
    this.#typeOfRow = larger;
  }
}

interface Path {
  readonly name: string;
  /** Once it has a value. */
  column: PathColumn | undefined;
  /** The call of `add` that saw it last. */
  seenBy: number;
}

/** A key where it stands; `a.b` and `b` within `a` are two that share a path. */
class KeyNode {
  readonly key: Buffer;
  readonly path: Path;
  readonly children = new Map<string, KeyNode>();
  /** Which key came first within it, and which came after it, last time: mostly they do again. */
  first: KeyNode | undefined;
  next: KeyNode | undefined;

  constructor(key: Buffer, path: Path) {
    this.key = key;
    this.path = path;
  }
}

function rootNode(): KeyNode {
  return new KeyNode(Buffer.alloc(0), { name: '', column: undefined, seenBy: 0 });
}

export class PropertyColumns {
  #root = rootNode();
  #paths = new Map<string, Path>();
  #columns: PathColumn[] = [];
  #nodes = 0;
  #rows = 0;
  #calls = 0;
  #bytes: Buffer = Buffer.alloc(0);
  /** The values of the row in hand; they are written once all of it is known. */
  #found = 0;
  readonly #foundColumns: PathColumn[] = [];
  readonly #foundKinds: (Kind | typeof EMPTY_ARRAY)[] = [];
  readonly #foundStarts: number[] = [];
  readonly #foundEnds: number[] = [];
  /** Of an integer or a float; NaN: read it anew, it has more digits than a float64. */
  readonly #foundNumbers: number[] = [];

  reset(): void {
    if (this.#nodes >= MAX_NODES / 2 || this.#columns.length >= MAX_PATHS / 2) {
      this.#root = rootNode();
      this.#paths = new Map();
      this.#columns = [];
      this.#nodes = 0;
    } else {
      for (const column of this.#columns) column.reset(this.#rows);
    }
    this.#rows = 0;
  }

  /** @returns whether it took the row: `bytes[start, end)`. */
  add(bytes: Buffer, start: number, end: number): boolean {
    this.#bytes = bytes;
    this.#found = 0;
    this.#calls += 1;
    const objectStart = this.#afterSpace(start);
    if (objectStart >= end || this.#object(objectStart, this.#root, 0) === DECLINED) return false;
    for (let i = 0; i < this.#found; i++) this.#write(i);
    this.#rows += 1;
    return true;
  }

  get byteLength(): number {
    let bytes = 16;
    for (const column of this.#columns) bytes += column.byteLength(this.#rows) + column.name.length + 256;
    return bytes;
  }

  writeTo(out: ByteWriter): void {
    // In one order, whatever earlier blocks held: the same rows make the same bytes.
    const columns = this.#columns.filter((column) => column.count > 0).sort((a, b) => a.name.compare(b.name));
    out.reserve(this.byteLength);
    out.u64(FLATTENED);
    out.length(columns.length);
    for (const { name } of columns) out.slice(name, 0, name.length);
    for (const { types } of columns) {
      out.u64(FLATTENED);
      out.length(types.length);
      for (const { kind } of types) out.shortText(typeNames[kind]);
    }
    for (const column of columns) column.writeTo(out, this.#rows);
  }

  /** @returns the position behind the object, or DECLINED */
  #object(start: number, parent: KeyNode, depth: number): number {
    const bytes = this.#bytes;
    if (bytes[start] !== OPEN_BRACE || depth > MAX_DEPTH) return DECLINED;
    let at = this.#afterSpace(start + 1);
    if (bytes[at] === CLOSE_BRACE) return at + 1;
    let before: KeyNode | undefined;
    for (;;) {
      const guess = before === undefined ? parent.first : before.next;
      let node = guess;
      if (node === undefined || !this.#isKey(at, node.key)) {
        node = this.#child(parent, at);
        if (node === undefined) return DECLINED;
        if (before === undefined) parent.first = node;
        else before.next = node;
      }
      // A key that comes twice: the engine keeps the first.
      if (node.path.seenBy === this.#calls) return DECLINED;
      node.path.seenBy = this.#calls;
      before = node;
      at = this.#afterSpace(at + node.key.length + 2);
      if (bytes[at] !== COLON) return DECLINED;
      at = this.#value(this.#afterSpace(at + 1), node, depth);
      if (at === DECLINED) return DECLINED;
      at = this.#afterSpace(at);
      if (bytes[at] === CLOSE_BRACE) return at + 1;
      if (bytes[at] !== COMMA) return DECLINED;
      at = this.#afterSpace(at + 1);
    }
  }

  #value(at: number, node: KeyNode, depth: number): number {
    const bytes = this.#bytes;
    switch (bytes[at]) {
      case QUOTE: {
        const end = this.#textEnd(at + 1);
        return this.#note(node, kinds.text, at, end) ? end : DECLINED;
      }
      case OPEN_BRACE:
        return this.#object(at, node, depth + 1);
      case OPEN_BRACKET:
        return this.#array(at, node);
      case 0x74: // true
        return this.#note(node, kinds.bool, at, at + 4) ? at + 4 : DECLINED;
      case 0x66: // false
        return this.#note(node, kinds.bool, at, at + 5) ? at + 5 : DECLINED;
      case 0x6e: // null is no value
        return at + 4;
      default: {
        const end = this.#number(at);
        if (end === DECLINED || !this.#note(node, this.#numberKind, at, end)) return DECLINED;
        this.#foundNumbers[this.#found - 1] = this.#numberValue;
        return end;
      }
    }
  }

  /** An array of texts, of numbers or of booleans, each with nulls among them. */
  #array(start: number, node: KeyNode): number {
    const bytes = this.#bytes;
    let kind: Kind | undefined;
    let at = this.#afterSpace(start + 1);
    while (bytes[at] !== CLOSE_BRACKET) {
      let each: Kind;
      switch (bytes[at]) {
        case QUOTE:
          each = kinds.texts;
          at = this.#textEnd(at + 1);
          break;
        case 0x74:
        case 0x66:
          each = kinds.bools;
          at += bytes[at] === 0x74 ? 4 : 5;
          break;
        case 0x6e:
          at = this.#afterSpace(at + 4);
          if (bytes[at] === COMMA) at = this.#afterSpace(at + 1);
          continue;
        case OPEN_BRACE:
        case OPEN_BRACKET:
          return DECLINED;
        default:
          at = this.#number(at);
          if (at === DECLINED || Number.isNaN(this.#numberValue)) return DECLINED;
          each = this.#numberKind === kinds.integer ? kinds.integers : kinds.floats;
      }
      if (kind !== undefined && kind !== each) return DECLINED;
      kind = each;
      at = this.#afterSpace(at);
      if (bytes[at] === COMMA) at = this.#afterSpace(at + 1);
    }
    if (kind !== undefined && node.path.column?.hasOtherArrays(kind) === true) return DECLINED;
    return this.#note(node, kind ?? EMPTY_ARRAY, start, at) ? at + 1 : DECLINED;
  }

  /** @returns false when the path is one too many */
  #note(node: KeyNode, kind: Kind | typeof EMPTY_ARRAY, start: number, end: number): boolean {
    const column = node.path.column ?? this.#newColumn(node.path);
    if (column === undefined) return false;
    const at = this.#found;
    this.#foundColumns[at] = column;
    this.#foundKinds[at] = kind;
    this.#foundStarts[at] = start;
    this.#foundEnds[at] = end;
    this.#found = at + 1;
    return true;
  }

  #write(i: number): void {
    const bytes = this.#bytes;
    const found = this.#foundKinds[i] ?? kinds.text;
    const start = this.#foundStarts[i] ?? 0;
    const end = this.#foundEnds[i] ?? 0;
    const column = this.#foundColumns[i];
    if (column === undefined) throw new RangeError(`no value ${i} in this row`);
    const kind = found === EMPTY_ARRAY ? column.arrayKind() : found;
    const typed = column.at(this.#rows, kind);
    const out = typed.values;
    switch (kind) {
      case kinds.text:
        this.#writeText(out, start + 1, end - 1);
        break;
      case kinds.integer:
      case kinds.float:
        this.#writeNumber(out, kind, { start, end, value: this.#foundNumbers[i] ?? Number.NaN });
        break;
      case kinds.bool:
        out.reserve(1);
        out.u8(bytes[start] === 0x74 ? 1 : 0);
        break;
      default:
        this.#writeArray(typed, start, end);
    }
  }

  #writeText(out: ByteWriter, start: number, end: number): void {
    const bytes = this.#bytes;
    if (!hasEscape(bytes, start, end)) {
      out.reserve(end - start + 5);
      out.slice(bytes, start, end);
      return;
    }
    const text: unknown = JSON.parse(bytes.toString('utf8', start - 1, end + 1));
    const decoded = Buffer.from(String(text));
    out.reserve(decoded.length + 5);
    out.slice(decoded, 0, decoded.length);
  }

  #writeNumber(out: ByteWriter, kind: Kind, { start, end, value }: FoundNumber): void {
    out.reserve(8);
    if (kind === kinds.float) out.f64(value);
    else if (Number.isNaN(value)) out.bigI64(BigInt(this.#bytes.toString('latin1', start, end)));
    else out.i64(value);
  }

  #writeArray(typed: TypedValues, start: number, end: number): void {
    const { values, ends, nulls, kind } = typed;
    if (ends === undefined || nulls === undefined) throw new TypeError('an array of a scalar type');
    const bytes = this.#bytes;
    let at = this.#afterSpace(start + 1);
    while (at < end) {
      const first = bytes[at];
      const isNull = first === 0x6e;
      let elementEnd = at + 4;
      nulls.reserve(1);
      nulls.u8(isNull ? 1 : 0);
      if (kind === kinds.texts) {
        if (isNull) {
          values.reserve(1);
          values.length(0);
        } else {
          elementEnd = this.#textEnd(at + 1);
          this.#writeText(values, at + 1, elementEnd - 1);
        }
      } else if (kind === kinds.bools) {
        values.reserve(1);
        values.u8(first === 0x74 ? 1 : 0);
        if (first === 0x66) elementEnd = at + 5;
      } else {
        values.reserve(8);
        if (!isNull) elementEnd = this.#number(at);
        const value = isNull ? 0 : this.#numberValue;
        if (kind === kinds.floats) values.f64(value);
        else values.i64(value);
      }
      typed.elements += 1;
      at = this.#afterSpace(elementEnd);
      if (bytes[at] === COMMA) at = this.#afterSpace(at + 1);
    }
    ends.reserve(8);
    ends.u64(typed.elements);
  }

  #numberKind: typeof kinds.integer | typeof kinds.float = kinds.integer;
  /** NaN: an Int64 that a float64 does not hold. */
  #numberValue = 0;

  /** Reads a number into the two fields above. @returns the position behind it, or DECLINED */
  #number(start: number): number {
    const bytes = this.#bytes;
    const isNegative = bytes[start] === MINUS;
    let at = isNegative ? start + 1 : start;
    let digits = 0;
    let decimals = -1;
    let value = 0;
    let isPlain = true;
    for (; ; at++) {
      const byte = bytes[at] ?? 0;
      if (byte >= ZERO && byte <= NINE) {
        value = value * 10 + (byte - ZERO);
        digits += 1;
        if (decimals >= 0) decimals += 1;
      } else if (byte === DOT) {
        decimals = 0;
      } else if (byte === 0x65 || byte === 0x45 || byte === 0x2b || byte === MINUS) {
        isPlain = false;
      } else {
        break;
      }
    }
    if (isPlain && decimals < 0) {
      this.#numberKind = kinds.integer;
      this.#numberValue = isNegative ? -value : value;
      if (digits <= EXACT_DIGITS) return digits === 0 ? DECLINED : at;
      this.#numberValue = Number.NaN;
      return digits <= 18 ? at : DECLINED; // 19 digits may lie beyond Int64
    }
    this.#numberKind = kinds.float;
    if (isPlain && digits <= EXACT_DIGITS) {
      value /= powersOfTen[decimals] ?? Number.NaN;
      this.#numberValue = isNegative ? -value : value;
    } else {
      this.#numberValue = Number(bytes.toString('latin1', start, at));
    }
    return Number.isFinite(this.#numberValue) ? at : DECLINED;
  }

  /** @returns the position behind the closing quote */
  #textEnd(start: number): number {
    const bytes = this.#bytes;
    for (let at = start; ; at++) {
      const byte = bytes[at];
      if (byte === QUOTE) return at + 1;
      if (byte === BACKSLASH) at += 1;
      else if (byte === undefined) throw new RangeError('a text that does not end');
    }
  }

  #isKey(at: number, key: Buffer): boolean {
    const bytes = this.#bytes;
    const { length } = key;
    if (bytes[at + 1 + length] !== QUOTE) return false;
    for (let i = 0; i < length; i++) if (bytes[at + 1 + i] !== key[i]) return false;
    return true;
  }

  /** The node of the key that stands at `at`; undefined when it has an escape or is one too many. */
  #child(parent: KeyNode, at: number): KeyNode | undefined {
    const bytes = this.#bytes;
    if (bytes[at] !== QUOTE) return undefined;
    const end = this.#textEnd(at + 1) - 1;
    const text = bytes.toString('latin1', at + 1, end);
    const known = parent.children.get(text);
    if (known !== undefined) return known;
    if (this.#nodes >= MAX_NODES || text === '' || text.includes('\\')) return undefined;
    this.#nodes += 1;
    const name = parent === this.#root ? text : `${parent.path.name}.${text}`;
    const path = this.#paths.get(name) ?? { name, column: undefined, seenBy: 0 };
    this.#paths.set(name, path);
    const node = new KeyNode(Buffer.from(text, 'latin1'), path);
    parent.children.set(text, node);
    return node;
  }

  #newColumn(path: Path): PathColumn | undefined {
    if (this.#columns.length >= MAX_PATHS) return undefined;
    const column = new PathColumn(Buffer.from(path.name, 'latin1'));
    this.#columns.push(column);
    path.column = column;
    return column;
  }

  #afterSpace(start: number): number {
    const bytes = this.#bytes;
    let at = start;
    for (;;) {
      const byte = bytes[at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return at;
      at += 1;
    }
  }
}

interface FoundNumber {
  readonly start: number;
  readonly end: number;
  readonly value: number;
}

function hasEscape(bytes: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] === BACKSLASH) return true;
  return false;
}
