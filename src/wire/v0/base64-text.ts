/**
 * Finds and undoes base64 around a payload (protocol.md 2.3, 2.4), kinder than PostHog (design.md 4): standard and
 * URL-safe alphabets, padded or not, with a newline at the end, with `+` turned into a space on its way through a query.
 */
const CLASS = new Uint8Array(256);
for (const char of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_ ') CLASS[char.charCodeAt(0)] = 1;
const PADDING = 0x3d;

/** @returns the decoded bytes, or undefined when `payload` is no base64: it then goes on as it came. */
export function unwrapBase64(payload: Buffer): Buffer | undefined {
  let end = payload.length;
  while (end > 0 && (payload[end - 1] === 0x0a || payload[end - 1] === 0x0d)) end -= 1;
  let textEnd = end;
  while (textEnd > 0 && end - textEnd < 2 && payload[textEnd - 1] === PADDING) textEnd -= 1;
  if (textEnd === 0 || textEnd % 4 === 1) return undefined;
  if (textEnd < end && end % 4 !== 0) return undefined;
  for (let i = 0; i < textEnd; i++) if (CLASS[payload[i] as number] === 0) return undefined;
  const text = payload.toString('latin1', 0, textEnd);
  return Buffer.from(text.includes(' ') ? text.replaceAll(' ', '+') : text, 'base64');
}
