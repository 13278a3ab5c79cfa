/** JSON whose integers stay text: a 64-bit integer does not survive `JSON.parse`. */

const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
const INTEGER = /^-?\d+$/;

/**
 * Parses `text` with each number as a string: `#` and its digits for an integer, `#` and JavaScript's spelling for any
 * other, so that `1.0`, `1` and `1e0` are equal and 9007199254740993 is not 9007199254740992.
 */
export function parseExact(text: string): unknown {
  return JSON.parse(
    text.replace(TOKEN, (token) => {
      if (token.startsWith('"')) return token;
      return JSON.stringify(`#${INTEGER.test(token) ? String(BigInt(token)) : String(Number(token))}`);
    }),
  );
}
