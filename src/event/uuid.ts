/**
 * UUIDs as 16 bytes and as text. Any spelling that PostHog accepts is read: hyphenated, 32 hex digits, braces,
 * `urn:uuid:`; any version, nil included (protocol.md 3.6). Output is lower case with hyphens.
 */

const HEX = new Int8Array(256).fill(-1);
for (let i = 0; i < 10; i++) HEX[0x30 + i] = i;
for (let i = 0; i < 6; i++) HEX[0x41 + i] = HEX[0x61 + i] = 10 + i;

const URN = 'urn:uuid:';

/**
 * Reads the uuid that fills `text[start, end)` into `into[at, at + 16)`.
 *
 * @returns false when it is no uuid; `into` is then unspecified. Cost: allocates nothing.
 */
export function readUuid(
  text: Uint8Array,
  span: { start: number; end: number },
  into: Uint8Array,
  at: number,
): boolean {
  let { start, end } = span;
  if (end - start === 45) {
    for (let i = 0; i < 9; i++) if ((text[start + i] ?? 0) !== URN.charCodeAt(i)) return false;
    start += 9;
  } else if (end - start === 38) {
    if (text[start] !== 0x7b || text[end - 1] !== 0x7d) return false;
    start += 1;
    end -= 1;
  }
  const isHyphenated = end - start === 36;
  if (!isHyphenated && end - start !== 32) return false;
  let position = start;
  for (let byte = 0; byte < 16; byte++) {
    if (isHyphenated && (byte === 4 || byte === 6 || byte === 8 || byte === 10)) {
      if (text[position] !== 0x2d) return false;
      position += 1;
    }
    const high = HEX[text[position] ?? 0] ?? -1;
    const low = HEX[text[position + 1] ?? 0] ?? -1;
    if ((high | low) < 0) return false;
    into[at + byte] = (high << 4) | low;
    position += 2;
  }
  return true;
}

/** @returns the 16 bytes of `text`, or undefined when it is no uuid. */
export function parseUuid(text: string): Uint8Array | undefined {
  const source = Buffer.from(text, 'latin1');
  if (source.length !== text.length || Buffer.byteLength(text) !== text.length) return undefined;
  const bytes = new Uint8Array(16);
  return readUuid(source, { start: 0, end: source.length }, bytes, 0) ? bytes : undefined;
}

const BYTE_TEXT = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Formats the 16 bytes at `bytes[at]`: lower case, hyphenated. */
export function formatUuid(bytes: Uint8Array, at = 0): string {
  let text = '';
  for (let i = 0; i < 16; i++) {
    if (i === 4 || i === 6 || i === 8 || i === 10) text += '-';
    text += BYTE_TEXT[bytes[at + i] ?? 0];
  }
  return text;
}
