import { type Fault, fault } from '../../errors.ts';

/** What the query string of a v0 request says (protocol.md 2.1); other parameters are ignored. */
export interface QueryParameters {
  readonly kind: 'parameters';
  /** The payload, percent-decoded; undefined when absent or empty. */
  readonly data: string | undefined;
  readonly compression: string | undefined;
  /** `_` or `sent_at`: the client's send time, epoch ms, as given. */
  readonly sentAtMs: number | undefined;
  readonly isBeacon: boolean;
  /** Ours: all or nothing. */
  readonly isStrict: boolean;
}

const NONE: QueryParameters = {
  kind: 'parameters',
  data: undefined,
  compression: undefined,
  sentAtMs: undefined,
  isBeacon: false,
  isStrict: false,
};

const WHOLE_NUMBER = /^[+-]?\d{1,19}$/;

/** A whole number of so many bits, signed. */
function isWholeNumber(text: string, bits: 32 | 64): boolean {
  if (!WHOLE_NUMBER.test(text)) return false;
  const value = BigInt(text.startsWith('+') ? text.slice(1) : text);
  return BigInt.asIntN(bits, value) === value;
}

/** @param query what stands behind the `?`, undecoded */
export function parseQuery(query: string): QueryParameters | Fault {
  if (query === '') return NONE;
  let data: string | undefined;
  let compression: string | undefined;
  let sentAt: string | undefined;
  let beacon: string | undefined;
  let isStrict = false;
  for (const [name, value] of new URLSearchParams(query)) {
    switch (name) {
      case 'data':
        if (data !== undefined) return fault('invalid_query', { problem: 'duplicate field `data`' });
        data = value;
        break;
      case 'compression':
        if (compression !== undefined) return fault('invalid_query', { problem: 'duplicate field `compression`' });
        compression = value;
        break;
      case '_':
      case 'sent_at':
        if (sentAt !== undefined) return fault('invalid_query', { problem: 'duplicate field `sent_at`' });
        if (!isWholeNumber(value, 64)) {
          return fault('invalid_query', { problem: `"${name}" is no whole number of milliseconds` });
        }
        sentAt = value;
        break;
      case 'beacon':
        if (beacon !== undefined) return fault('invalid_query', { problem: 'duplicate field `beacon`' });
        if (!isWholeNumber(value, 32)) return fault('invalid_query', { problem: '"beacon" is no whole number' });
        beacon = value;
        break;
      case 'strict':
        if (!/^(?:1|0|true|false)$/.test(value)) return fault('invalid_query', { problem: '"strict" must be 1 or 0' });
        isStrict = value === '1' || value === 'true';
        break;
      default:
        break;
    }
  }
  return {
    kind: 'parameters',
    data: data === '' ? undefined : data,
    compression,
    sentAtMs: sentAt === undefined ? undefined : Number(sentAt),
    isBeacon: beacon !== undefined && Number(beacon) === 1,
    isStrict,
  };
}
