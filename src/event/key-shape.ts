/**
 * What a key may look like, whoever chose it. A key that we make passes too.
 * Source: protocol.md 4 for project keys; design.md 3 for personal keys.
 */

/** Why a text cannot be a project API key: the words that follow `API key is not valid: `. */
export type ProjectKeyProblem = 'empty' | 'too_long' | 'not_ascii' | 'personal_api_key' | 'null_byte';

export const MAX_PROJECT_KEY_BYTES = 64; // protocol.md 4
/** Ours: a personal key travels in a header; 4 + 43 bytes is what we make. */
export const MAX_PERSONAL_KEY_BYTES = 256;

const PERSONAL_KEY_PREFIX = 'phx_';
const VISIBLE_ASCII = /^[\x21-\x7e]+$/;

/** The first problem in the order of protocol.md 4, or undefined. Cost: allocates nothing. */
export function projectKeyProblem(text: string): ProjectKeyProblem | undefined {
  if (text === '') return 'empty';
  if (text.length > MAX_PROJECT_KEY_BYTES) return 'too_long'; // never fewer bytes than code units
  let isAscii = true;
  let hasNul = false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 0x7f) isAscii = false;
    else if (unit === 0) hasNul = true;
  }
  if (!isAscii) return Buffer.byteLength(text) > MAX_PROJECT_KEY_BYTES ? 'too_long' : 'not_ascii';
  if (isPersonalKeyLike(text)) return 'personal_api_key';
  return hasNul ? 'null_byte' : undefined;
}

/** Claims to be a personal API key; whether one exists is the registry's to say. */
export function isPersonalKeyLike(text: string): boolean {
  return text.startsWith(PERSONAL_KEY_PREFIX);
}

/** May an operator choose this text as a personal key? It must survive an HTTP header unchanged. */
export function isPersonalKeyShape(text: string): boolean {
  return (
    isPersonalKeyLike(text) &&
    text.length > PERSONAL_KEY_PREFIX.length &&
    text.length <= MAX_PERSONAL_KEY_BYTES &&
    VISIBLE_ASCII.test(text)
  );
}
