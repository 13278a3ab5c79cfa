/**
 * The `distinct_id` as the text we keep (protocol.md 3.5): any JSON value becomes text, NUL becomes U+FFFD, and what is
 * longer than 200 code points is cut. Surrounding white space stays.
 */
import { stringText } from '../wire/json/json-text.ts';
import type { RawEvent } from '../wire/raw-event.ts';
import { compactJson } from './compact-json.ts';

export const MAX_CODE_POINTS = 200;
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
    form === 'other' ? compactJson(body, start, end) : stringText(body, { start, end, isEscaped: form === 'escaped' });
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
