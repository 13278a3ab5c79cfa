/** Reads the blocks that the loader writes back into rows: RowBinary, and Native up to the properties (store/schema.ts). */
import { formatUuid } from '../../src/event/uuid.ts';
import { duplicateInput, eventColumnsInput, eventInput, ledgerInput, rejectionInput } from '../../src/store/schema.ts';
import type { Block, BlockKind } from '../../src/store/store.ts';

/** Texts, numbers, uuids as text, maps as objects; instants in µs. */
export type Row = Readonly<Record<string, unknown>>;

type Columns = readonly (readonly [string, string])[];
const inputs: Readonly<Record<Exclude<BlockKind, 'event_columns'>, Columns>> = {
  events: eventInput,
  rejections: rejectionInput,
  duplicates: duplicateInput,
  ledger: ledgerInput,
};

export function rowsOf({ kind, rows, count }: Block): Row[] {
  const values = new Values(Buffer.from(rows));
  const found = kind === 'event_columns' ? values.native(eventColumnsInput) : values.rowBinary(inputs[kind]);
  if (found.length !== count) throw new Error(`a block of ${count} ${kind} has ${found.length} rows`);
  return found;
}

class Values {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  rowBinary(columns: Columns): Row[] {
    const rows: Row[] = [];
    while (this.#at < this.#bytes.length) {
      const row: Record<string, unknown> = {};
      for (const [name, type] of columns) row[name] = this.#value(type);
      rows.push(row);
    }
    return rows;
  }

  native(columns: Columns): Row[] {
    if (this.#length() !== columns.length) throw new Error('another number of columns');
    const rows = Array.from({ length: this.#length() }, (): Record<string, unknown> => ({}));
    for (const [name, type] of columns) {
      if (this.#text() !== name || this.#text() !== type) throw new Error(`the column ${name} should be here`);
      if (name === 'properties') break; // the last one
      const isNullable = type.startsWith('Nullable(');
      const nulls = isNullable ? rows.map(() => this.#byte() === 1) : [];
      const inner = isNullable ? type.slice('Nullable('.length, -1) : type;
      for (const [i, row] of rows.entries()) {
        const value = this.#value(inner);
        row[name] = nulls[i] === true ? null : value;
      }
    }
    return rows;
  }

  #value(type: string): unknown {
    if (type === 'String') return this.#text();
    if (type === 'UUID') return this.#uuid();
    if (type === 'UInt8') return this.#byte();
    if (type === 'Bool') return this.#byte() === 1;
    if (type === 'UInt64' || type.startsWith('DateTime64')) return this.#u64();
    if (type === 'UInt32' || type.startsWith('DateTime')) return this.#u32();
    if (type.startsWith('Nullable(')) return this.#byte() === 1 ? null : this.#value(type.slice(9, -1));
    if (type === 'Map(String, UInt64)') {
      return Object.fromEntries(Array.from({ length: this.#length() }, () => [this.#text(), this.#u64()]));
    }
    if (type === 'Tuple(UInt64, UUID)') return [this.#u64(), this.#uuid()];
    throw new Error(`no reader for ${type}`);
  }

  #byte(): number {
    return this.#bytes[this.#at++] ?? 0;
  }

  #length(): number {
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#byte();
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) return length;
    }
  }

  #text(): string {
    const length = this.#length();
    this.#at += length;
    return this.#bytes.toString('utf8', this.#at - length, this.#at);
  }

  #u32(): number {
    this.#at += 4;
    return this.#bytes.readUInt32LE(this.#at - 4);
  }

  #u64(): number {
    this.#at += 8;
    return Number(this.#bytes.readBigInt64LE(this.#at - 8));
  }

  /** Two halves, each with its bytes reversed. */
  #uuid(): string {
    const raw = this.#bytes.subarray(this.#at, this.#at + 16);
    this.#at += 16;
    return formatUuid(Uint8Array.from([...raw.subarray(0, 8)].reverse().concat([...raw.subarray(8)].reverse())), 0);
  }
}
