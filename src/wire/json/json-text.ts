/** Reads single JSON values that a scanner has already checked. */

/** The contents of a JSON string, between its quotes. */
export function stringText(body: Buffer, span: { start: number; end: number; isEscaped: boolean }): string {
  if (!span.isEscaped) return body.toString('utf8', span.start, span.end);
  const text: unknown = JSON.parse(body.toString('utf8', span.start - 1, span.end + 1));
  if (typeof text !== 'string') throw new TypeError('a scanned string was none');
  return text;
}

/** True when `body[start, end)` is exactly `word`. */
export function isWord(body: Buffer, span: { start: number; end: number }, word: Buffer): boolean {
  return span.end - span.start === word.length && body.compare(word, 0, word.length, span.start, span.end) === 0;
}

/** Line and column, both from 1, of a byte offset, for messages. */
export function placeOf(body: Buffer, position: number): { readonly line: number; readonly column: number } {
  let line = 1;
  let lineStart = 0;
  const end = Math.min(position, body.length);
  for (let i = 0; i < end; i++) {
    if (body[i] === 0x0a) {
      line += 1;
      lineStart = i + 1;
    }
  }
  return { line, column: Math.max(1, end - lineStart + 1) };
}
