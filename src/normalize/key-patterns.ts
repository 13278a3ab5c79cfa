/**
 * Which property keys a project redacts.
 *
 * A pattern is compared with the whole key, whatever its case: `*` stands for any characters, `?` for one. A pattern with a
 * dot is compared with the key's path from `properties` on too (`$set.email`, `cart.items.price`; an array is no step).
 *
 * Bounds   a key or a path longer than MAX_COMPARED_CHARACTERS counts as a match, so that what a client sends cannot make
 *          the comparison slow: rather a value too few is kept than one too many.
 */
const MAX_COMPARED_CHARACTERS = 1_000;
const MAX_REMEMBERED_KEYS = 4_096;
const MAX_REMEMBERED_CHARACTERS = 100;

type Test = (text: string) => boolean;

export class KeyPatterns {
  /** Paths need not be put together when no pattern looks at them. */
  readonly usesPaths: boolean;
  readonly #keyTests: readonly Test[];
  readonly #pathTests: readonly Test[];
  /** Answers of `#keyTests`: clients send the same keys again and again. */
  readonly #remembered = new Map<string, boolean>();

  constructor(patterns: readonly string[]) {
    const tests = patterns.map((pattern) => ({ hasPath: pattern.includes('.'), test: testOf(pattern.toLowerCase()) }));
    this.#keyTests = tests.map(({ test }) => test);
    this.#pathTests = tests.filter(({ hasPath }) => hasPath).map(({ test }) => test);
    this.usesPaths = this.#pathTests.length > 0;
  }

  /** @param path of the key itself, joined by dots; only looked at where `usesPaths` */
  matches(key: string, path: string): boolean {
    if (this.#keyMatches(key)) return true;
    if (!this.usesPaths) return false;
    if (path.length > MAX_COMPARED_CHARACTERS) return true;
    const lower = path.toLowerCase();
    return this.#pathTests.some((test) => test(lower));
  }

  #keyMatches(key: string): boolean {
    const known = this.#remembered.get(key);
    if (known !== undefined) return known;
    if (this.#keyTests.length > 0 && key.length > MAX_COMPARED_CHARACTERS) return true;
    const lower = key.toLowerCase();
    const isMatch = this.#keyTests.some((test) => test(lower));
    if (key.length <= MAX_REMEMBERED_CHARACTERS) {
      if (this.#remembered.size >= MAX_REMEMBERED_KEYS) this.#remembered.clear();
      this.#remembered.set(key, isMatch);
    }
    return isMatch;
  }
}

/** The plain forms are the engine's own searches; what is left goes step by step. */
function testOf(pattern: string): Test {
  const inner = pattern.replace(/^\*+/, '').replace(/\*+$/, '');
  if (/[*?]/.test(inner)) return (text) => isGlobMatch(text, pattern);
  const isOpenAtStart = pattern.startsWith('*');
  const isOpenAtEnd = pattern.endsWith('*');
  if (isOpenAtStart && isOpenAtEnd) return (text) => text.includes(inner);
  if (isOpenAtStart) return (text) => text.endsWith(inner);
  if (isOpenAtEnd) return (text) => text.startsWith(inner);
  return (text) => text === inner;
}

/** Goes back to the last star alone, so that it takes at most the product of both lengths. */
function isGlobMatch(text: string, pattern: string): boolean {
  let at = 0;
  let place = 0;
  let starPlace = -1;
  let starAt = 0;
  while (at < text.length) {
    const wanted = pattern[place];
    if (wanted === '*') {
      starPlace = place;
      starAt = at;
      place += 1;
    } else if (wanted === '?' || wanted === text[at]) {
      place += 1;
      at += 1;
    } else if (starPlace >= 0) {
      starAt += 1;
      at = starAt;
      place = starPlace + 1;
    } else {
      return false;
    }
  }
  while (pattern[place] === '*') place += 1;
  return place === pattern.length;
}
