/**
 * Changes members of a JSON object in its text, and leaves every other byte as it was written. For texts that are known to
 * be valid JSON. Reads by hand, in time and memory that grow with the text alone: a rejected event may have 100 MiB.
 */
export interface Member {
  readonly name: string;
  /** The member with its name: `text[start, end)`. */
  readonly start: number;
  readonly end: number;
  readonly valueText: string;
}

/** The members of the object that `text` is, in order; undefined when it is no object. */
export function membersOf(text: string): readonly Member[] | undefined {
  let at = behindSpace(text, 0);
  if (text[at] !== '{') return undefined;
  const members: Member[] = [];
  at = behindSpace(text, at + 1);
  while (text[at] === '"') {
    const start = at;
    const nameEnd = stringEnd(text, at);
    const valueStart = behindSpace(text, behindSpace(text, nameEnd) + 1);
    const end = valueEnd(text, valueStart);
    const name: unknown = JSON.parse(text.slice(start, nameEnd));
    members.push({ name: String(name), start, end, valueText: text.slice(valueStart, end) });
    at = behindSpace(text, end);
    if (text[at] === ',') at = behindSpace(text, at + 1);
  }
  return members;
}

/** The text of a member; the last of one name counts, as in `JSON.parse`. Undefined when there is none. */
export function valueOf(members: readonly Member[], name: string): string | undefined {
  return members.findLast((member) => member.name === name)?.valueText;
}

/** The object without the members of these names, and with `added` at its end. */
export function changed(
  text: string,
  removed: readonly string[],
  added: readonly (readonly [name: string, valueText: string])[],
): string {
  const members = membersOf(text) ?? [];
  if (added.length === 0 && !members.some(({ name }) => removed.includes(name))) return text;
  const kept = members.filter(({ name }) => !removed.includes(name)).map(({ start, end }) => text.slice(start, end));
  const more = added.map(([name, valueText]) => `${JSON.stringify(name)}:${valueText}`);
  return `{${[...kept, ...more].join(',')}}`;
}

function behindSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && ' \t\n\r'.includes(text.charAt(at))) at += 1;
  return at;
}

/** @param start of the opening quote @returns behind the closing one */
function stringEnd(text: string, start: number): number {
  let at = start + 1;
  for (;;) {
    const quote = text.indexOf('"', at);
    if (quote < 0) return text.length;
    let backslashes = 0;
    while (text[quote - 1 - backslashes] === '\\') backslashes += 1;
    if (backslashes % 2 === 0) return quote + 1;
    at = quote + 1;
  }
}

function valueEnd(text: string, start: number): number {
  let depth = 0;
  let at = start;
  while (at < text.length) {
    const char = text.charAt(at);
    if (char === '"') {
      at = stringEnd(text, at);
      if (depth === 0) return at;
      continue;
    }
    if (char === '{' || char === '[') depth += 1;
    else if (char === '}' || char === ']') {
      depth -= 1;
      if (depth < 0) return trimmedEnd(text, at); // a number or word in front of the object's own end
      if (depth === 0) return at + 1;
    } else if (depth === 0 && char === ',') return trimmedEnd(text, at);
    at += 1;
  }
  return at;
}

function trimmedEnd(text: string, end: number): number {
  let at = end;
  while (' \t\n\r'.includes(text.charAt(at - 1))) at -= 1;
  return at;
}
