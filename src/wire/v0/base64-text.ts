/**
 * Finds and undoes base64 around a payload (protocol.md 2.3, 2.4), kinder than PostHog (design.md 4): standard and
 * URL-safe alphabets, padded or not, with a newline at the end, with `+` turned into a space on its way through a query.
 */
const CLASS = new Uint8Array(256);
for (const char of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_ ') CLASS[char.charCodeAt(0)] = 1;
const PADDING = 0x3d;
const SPACE = 0x20;
const PLUS = 0x2b;

/** @returns the decoded bytes, or undefined when `payload` is no base64: it then goes on as it came. */
export function unwrapBase64(payload: Buffer): Buffer | undefined {
  let end = payload.length;
  while (end > 0 && (payload[end - 1] === 0x0a || payload[end - 1] === 0x0d)) end -= 1;
  let textEnd = end;
  while (textEnd > 0 && end - textEnd < 2 && payload[textEnd - 1] === PADDING) textEnd -= 1;
  if (textEnd === 0 || textEnd % 4 === 1) return undefined;
  if (textEnd < end && end % 4 !== 0) return undefined;
  if (payload[0] === SPACE) return undefined;
  let hasSpaces = false;
  for (let i = 0; i < textEnd; i++) {
    const byte = payload[i] as number;
    if (CLASS[byte] === 0) return undefined;
    if (byte === SPACE) hasSpaces = true;
  }
  if (!hasSpaces) return Buffer.from(payload.toString('latin1', 0, textEnd), 'base64');
  // In place on a copy: replacing in a string takes seconds where somebody sends megabytes of spaces.
  const repaired = Buffer.from(payload.subarray(0, textEnd));
  for (let i = 0; i < textEnd; i++) if (repaired[i] === SPACE) repaired[i] = PLUS;
  return Buffer.from(repaired.toString('latin1'), 'base64');
}
