/**
 * Takes JSON apart without reading its numbers, since a 64-bit integer does not survive `JSON.parse`. For texts that
 * are known to be valid JSON: the server's answers, and lines that `JSON.parse` has accepted before.
 */
const TOKEN = /"(?:[^"\\]|\\.)*"|[[\]{},:]|[^\s"[\]{},:]+/gs;

interface Slice {
  readonly start: number;
  readonly end: number;
}

/** Where the elements of an array, or the members (`"name": value`) of an object, lie in `text`. */
function slicesOf(text: string): readonly Slice[] {
  const slices: Slice[] = [];
  let depth = 0;
  let start = -1;
  let end = -1;
  const opening = text.search(/\S/);
  for (const token of text.matchAll(TOKEN)) {
    const word = token[0];
    if (word === '[' || word === '{') depth++;
    const closes = word === ']' || word === '}';
    if (closes) depth--;
    if (depth === 0 && !closes) continue;
    if (depth === 0 || (depth === 1 && word === ',')) {
      if (start >= 0) slices.push({ start, end });
      start = -1;
    } else if (token.index !== opening) {
      if (start < 0) start = token.index;
      end = token.index + word.length;
    }
  }
  return slices;
}

/** The texts of an array's elements; none when `text` is no array. */
export function elementTexts(text: string): readonly string[] {
  if (!text.trimStart().startsWith('[')) return [];
  return slicesOf(text).map((slice) => text.slice(slice.start, slice.end));
}

/** The text of an object's member; the last one counts, as in `JSON.parse`. Undefined when there is none. */
export function memberText(text: string, name: string): string | undefined {
  if (!text.trimStart().startsWith('{')) return undefined;
  let found: string | undefined;
  for (const slice of slicesOf(text)) {
    const member = text.slice(slice.start, slice.end);
    const key = /^"(?:[^"\\]|\\.)*"/s.exec(member)?.[0] ?? '""';
    if (JSON.parse(key) === name) found = member.slice(key.length).replace(/^\s*:\s*/, '');
  }
  return found;
}

/** What a person reads: strings without quotes, `null` as nothing, everything else as it was sent. */
export function plainText(valueText: string): string {
  if (valueText === 'null') return '';
  if (!valueText.startsWith('"')) return valueText;
  const value: unknown = JSON.parse(valueText);
  return typeof value === 'string' ? value : valueText;
}
