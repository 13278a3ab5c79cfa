/**
 * A request's payload becomes JSON text: base64, form, compression (protocol.md 2.2-2.6). Pure: decompressing is asked
 * for, not done, since a large one must leave the event loop (capture/inflate.ts).
 */
import { isUtf8 } from 'node:buffer';
import { type Fault, fault } from '../../errors.ts';
import { unwrapBase64 } from './base64-text.ts';
import { decodeForm, isFormType, looksLikeForm } from './form.ts';
import { isLzStringText } from './lz-string.ts';

export interface PayloadSource {
  /** From the query; wins over the body. */
  readonly data: string | undefined;
  readonly body: Buffer;
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly queryCompression: string | undefined;
}

/** Text as it came, or bytes that have to be decompressed first; then `toText` checks the result. */
export interface Payload {
  readonly kind: 'plain' | 'gzip' | 'lz64';
  readonly bytes: Buffer;
}

type Hint = 'gzip' | 'lz64' | 'base64';

const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;

/** Undefined: no hint, so that the next source is asked. */
function hintOf(value: string | undefined): Hint | undefined {
  switch (value) {
    case 'gzip':
    case 'gzip-js':
      return 'gzip';
    case 'lz64':
    case 'lz-string':
      return 'lz64';
    case 'base64':
    case 'b64':
      return 'base64';
    default:
      return undefined;
  }
}

/** The first usable hint wins: query, form, header; the header's is compared exactly (protocol.md 2.5). */
function compressionHint(source: PayloadSource, form: string | undefined): Hint | undefined {
  return (
    hintOf(source.queryCompression?.toLowerCase()) ?? hintOf(form?.toLowerCase()) ?? hintOf(source.contentEncoding)
  );
}

function isGzip(bytes: Buffer): boolean {
  return bytes.length >= 3 && bytes[0] === 0x1f && bytes[1] === 0x8b && bytes[2] === 0x08;
}

/** What nearly every request is: an object or array as the body, with nothing said about compression or forms. */
function isPlainJson(source: PayloadSource): boolean {
  const first = source.body[0];
  return (
    source.data === undefined &&
    (first === OPEN_BRACE || first === OPEN_BRACKET) &&
    source.queryCompression === undefined &&
    source.contentEncoding === undefined &&
    !isFormType(source.contentType)
  );
}

export function choosePayload(source: PayloadSource): Payload | Fault {
  if (isPlainJson(source)) return { kind: 'plain', bytes: source.body };
  if (source.data === undefined && isGzip(source.body) && !isFormType(source.contentType)) {
    return { kind: 'gzip', bytes: source.body };
  }
  const raw = source.data === undefined ? source.body : Buffer.from(source.data, 'utf8');
  if (raw.length === 0) return fault('missing_payload');
  const unwrapped = looksLikeForm(raw) ? undefined : unwrapBase64(raw);
  if (!isFormType(source.contentType)) return packed(raw, unwrapped, compressionHint(source, undefined));
  const text = unwrapped ?? raw;
  if (!looksLikeForm(text)) {
    return fault('invalid_form', { problem: 'expected form data in POST request payload: no "data=" in it' });
  }
  const form = decodeForm(text);
  if (form.kind === 'fault') return form;
  const hint = compressionHint(source, form.compression);
  return form.data === undefined ? packed(text, undefined, hint) : packed(form.data, unwrapBase64(form.data), hint);
}

/**
 * @param unwrapped what base64 around `raw` held, where it was base64. PostHog goes on with that in any case, so that
 * LZ-string sent bare, itself base64 text, mostly fails (protocol.md 2.5); it never does here.
 */
function packed(raw: Buffer, unwrapped: Buffer | undefined, hint: Hint | undefined): Payload | Fault {
  const bytes = unwrapped ?? raw;
  if (isGzip(bytes)) return { kind: 'gzip', bytes };
  if (hint === 'lz64') {
    // Base64 around LZ-string's own text holds nothing but its alphabet; bytes packed six bits a character do not.
    const isWrapped = unwrapped !== undefined && isLzStringText(unwrapped);
    return { kind: 'lz64', bytes: isWrapped ? unwrapped : raw };
  }
  if (isUtf8(bytes)) return { kind: 'plain', bytes }; // a gzip hint too: clients send it after a fallback (design.md 4)
  if (hint === 'gzip')
    return fault('invalid_encoding', { problem: 'invalid GZIP data: it does not begin as gzip does' });
  // A word or number that happens to be base64: as itself it gets the better answer.
  return { kind: 'plain', bytes: raw };
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
      : 'invalid UTF8 in request payload: send JSON as UTF-8; of compressions, gzip and LZ-string are read here',
  });
}
