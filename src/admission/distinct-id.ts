/**
 * The `distinct_id` as the text we keep (protocol.md 3.5): any JSON value becomes text, NUL becomes U+FFFD, and what is
 * longer than 200 code points is cut. Surrounding white space stays.
 */
import { stringText } from '../wire/json/json-text.ts';
import type { RawEvent } from '../wire/raw-event.ts';

const MAX_CODE_POINTS = 200;
const BLANK = /^\p{White_Space}*$/u;

/** `missing`: absent, empty or blank. `as_sent`: the bytes in the body are the text. */
export type DistinctId =
  { readonly kind: 'missing' } | { readonly kind: 'as_sent' } | { readonly kind: 'text'; readonly bytes: Uint8Array };

const missing: DistinctId = { kind: 'missing' };
const asSent: DistinctId = { kind: 'as_sent' };

export function readDistinctId(event: RawEvent): DistinctId {
  const { body, distinctIdStart: start, distinctIdEnd: end, distinctIdForm: form } = event;
  if (form === 'absent') return missing;
  if (form === 'plain' && end > start && end - start <= MAX_CODE_POINTS) {
    const first = body[start] as number;
    // A first byte that is visible ASCII: not blank, and no raw NUL can stand in a JSON string.
    if (first > 0x20 && first < 0x7f) return asSent;
  }
  const text =
    form === 'other'
      ? compactJson(body.toString('utf8', start, end))
      : stringText(body, { start, end, isEscaped: form === 'escaped' });
  if (BLANK.test(text)) return missing;
  return { kind: 'text', bytes: Buffer.from(cut(text.replaceAll('\0', '\ufffd')), 'utf8') };
}

function cut(text: string): string {
  if (text.length <= MAX_CODE_POINTS) return text;
  let units = 0;
  for (let points = 0; points < MAX_CODE_POINTS && units < text.length; points++) {
    units += (text.codePointAt(units) ?? 0) > 0xffff ? 2 : 1;
  }
  return text.slice(0, units);
}

const NUMBER_KEY = '\0number';
const TOKENS = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;

/** Compact JSON as PostHog writes it: keys sorted, floats always with a fraction or exponent (`1e3` → `1000.0`). */
export function compactJson(json: string): string {
  const marked = json.replace(TOKENS, (token) =>
    token.startsWith('"') ? token : JSON.stringify({ [NUMBER_KEY]: numberText(token) }),
  );
  return write(JSON.parse(marked));
}

function write(value: unknown): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(write).join(',')}]`;
  const entries = Object.entries(value);
  const [first] = entries;
  if (entries.length === 1 && first !== undefined && first[0] === NUMBER_KEY) return String(first[1]);
  const sorted = entries.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return `{${sorted.map(([key, inner]) => `${JSON.stringify(key)}:${write(inner)}`).join(',')}}`;
}

function numberText(token: string): string {
  if (/^-?\d+$/.test(token) && token !== '-0') {
    const integer = BigInt(token);
    if (integer >= -(2n ** 63n) && integer < 2n ** 64n) return token;
  }
  const number = Number(token);
  const size = Math.abs(number);
  if (size !== 0 && (size >= 1e16 || size < 1e-5)) return number.toExponential().replace('e+', 'e');
  if (Object.is(number, -0)) return '-0.0';
  return Number.isInteger(number) ? `${number}.0` : String(number);
}
