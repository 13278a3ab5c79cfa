/**
 * A request's payload becomes JSON text: base64, form, compression (protocol.md 2.2-2.6). Pure: inflating is asked for,
 * not done, since a large one must leave the event loop (capture/inflate.ts).
 */
import { isUtf8 } from 'node:buffer';
import { type Fault, fault } from '../../errors.ts';
import { unwrapBase64 } from './base64-text.ts';
import { decodeForm, isFormType, looksLikeForm } from './form.ts';

export interface PayloadSource {
  /** From the query; wins over the body. */
  readonly data: string | undefined;
  readonly body: Buffer;
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly queryCompression: string | undefined;
}

/** Text as it came, or bytes that have to be inflated first; then `toText` checks the result. */
export type Payload =
  { readonly kind: 'plain'; readonly bytes: Buffer } | { readonly kind: 'gzip'; readonly bytes: Buffer };

type Hint = 'gzip' | 'lz64' | undefined;

function hintOf(value: string | undefined): Hint | 'unknown' {
  switch (value) {
    case 'gzip':
    case 'gzip-js':
      return 'gzip';
    case 'lz64':
    case 'lz-string':
      return 'lz64';
    case 'base64':
    case 'b64':
      return undefined;
    default:
      return 'unknown';
  }
}

/** The first usable hint wins: query, form, header (protocol.md 2.5). */
function compressionHint(query: string | undefined, form: string | undefined, header: string | undefined): Hint {
  for (const value of [query?.toLowerCase(), form?.toLowerCase(), header]) {
    const hint = hintOf(value);
    if (hint !== 'unknown') return hint;
  }
  return undefined;
}

function isGzip(bytes: Buffer): boolean {
  return bytes.length >= 3 && bytes[0] === 0x1f && bytes[1] === 0x8b && bytes[2] === 0x08;
}

export function choosePayload(source: PayloadSource): Payload | Fault {
  let bytes = source.data === undefined ? source.body : Buffer.from(source.data, 'utf8');
  if (bytes.length === 0) return fault('missing_payload');
  let formCompression: string | undefined;
  if (!looksLikeForm(bytes)) bytes = unwrapBase64(bytes) ?? bytes;
  if (isFormType(source.contentType) && (source.data === undefined || looksLikeForm(bytes))) {
    if (!looksLikeForm(bytes)) {
      return fault('invalid_form', { problem: 'expected form data in POST request payload: no "data=" in it' });
    }
    const form = decodeForm(bytes);
    if (form.kind === 'fault') return form;
    formCompression = form.compression;
    if (form.data !== undefined) bytes = unwrapBase64(form.data) ?? form.data;
  }
  const hint = compressionHint(source.queryCompression, formCompression, source.contentEncoding);
  if (isGzip(bytes)) return { kind: 'gzip', bytes };
  if (hint === 'lz64') {
    return fault('invalid_encoding', {
      problem: 'decompress_lz64: LZ-string is not decoded by this version. Send JSON or gzip',
    });
  }
  // A gzip hint on a plain body is kept as plain: clients exist that send the hint after a fallback (design.md 4).
  return { kind: 'plain', bytes };
}

/** @param wasCompressed chooses PostHog's words for bytes that are no UTF-8 */
export function toText(bytes: Buffer, wasCompressed: boolean): Buffer | Fault {
  // What unwraps to no text was not wrapped: it goes on as it came (protocol.md 2.4).
  const unwrapped = unwrapBase64(bytes);
  if (unwrapped !== undefined && isUtf8(unwrapped)) return unwrapped;
  if (isUtf8(bytes)) return bytes;
  return fault('invalid_encoding', {
    problem: wasCompressed
      ? 'invalid gzip data: the text inside is not UTF-8'
      : 'invalid UTF8 in request payload: send JSON as UTF-8, and name any compression',
  });
}
