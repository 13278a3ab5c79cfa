/** The events of one run, by number: what number `n` looks like is computed, so that a run of millions keeps a byte each. */
import { createHash } from 'node:crypto';

const UUID = /^([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3})-([0-9a-f]{12})$/;
const NAMES = ['page viewed', 'signed up', 'paid', 'opened ✓'] as const;
/** Beyond 2^53: a JavaScript number on the way would show. */
const BIG = 9_007_199_254_740_993n;

/** `copy` is the same event sent on purpose once more, with other properties: the first one must stay. */
export type Variant = 'first' | 'copy';

export class EventSeries {
  readonly #prefix: string;
  readonly #firstMs: number;

  /** @param seed at least 16 random bytes */
  constructor(seed: Uint8Array, firstMs: number) {
    const hex = Buffer.from(seed).toString('hex');
    this.#prefix = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(12, 15)}-8${hex.slice(15, 18)}`;
    this.#firstMs = firstMs;
  }

  uuidOf(n: number): string {
    return `${this.#prefix}-${n.toString(16).padStart(12, '0')}`;
  }

  /** Undefined for a uuid of another run. */
  numberOf(uuid: string): number | undefined {
    const match = UUID.exec(uuid);
    return match?.[1] === this.#prefix ? Number.parseInt(match[2] ?? '', 16) : undefined;
  }

  /** JSON as it is sent. */
  jsonOf(n: number, variant: Variant = 'first'): string {
    return (
      `{"uuid":"${this.uuidOf(n)}","event":"${nameOf(n)}","distinct_id":"${distinctIdOf(n)}",` +
      `"timestamp":"${new Date(this.#msOf(n)).toISOString()}","properties":${propertiesOf(n, variant)}}`
    );
  }

  /** Refused wherever it is sent: it says not who did it. */
  refusedJsonOf(n: number): string {
    return `{"uuid":"${this.uuidOf(n)}","event":"${nameOf(n)}","properties":${propertiesOf(n, 'first')}}`;
  }

  /** What `digestSql` must give for the row of number `n`. */
  digestOf(n: number): string {
    const parts = [nameOf(n), distinctIdOf(n), this.#msOf(n), propertiesOf(n, 'first'), n, bigOf(n)];
    return createHash('md5').update(parts.join('\n')).digest('hex');
  }

  #msOf(n: number): number {
    return this.#firstMs + n;
  }
}

/** Over the text that was kept, and over what queries read from it. */
export const digestSql =
  'lower(hex(MD5(arrayStringConcat([event, distinct_id, toString(toUnixTimestamp64Milli(timestamp)), properties_raw, ' +
  "toString(properties.n), toString(properties.big)], '\\n'))))";

function nameOf(n: number): string {
  return NAMES[n % NAMES.length] ?? NAMES[0];
}

function distinctIdOf(n: number): string {
  return `user-${n % 997}`;
}

function bigOf(n: number): bigint {
  return BIG + BigInt(n);
}

function propertiesOf(n: number, variant: Variant): string {
  const mark = Math.imul(n, 0x9e3779b1) >>> 0;
  const text = `${mark.toString(36)} `.repeat(12);
  return (
    `{"n":${n},"big":${bigOf(n)},"price":${(n % 1000) / 8},"plan":"${n % 3 === 0 ? 'pro' : 'free'}",` +
    `"text":"${text}","copy":${variant === 'copy'}}`
  );
}
