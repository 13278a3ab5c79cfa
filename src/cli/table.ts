/** Rows of text as an aligned table, or as CSV. Pure. */
export interface Column {
  readonly title: string;
  readonly align: 'left' | 'right';
}

const GAP = '  ';
const MIN_COLUMN_WIDTH = 6;

// Control characters come from event names and properties: printed raw, they could move the cursor or set a title.
// Bidirectional overrides could show a row's cells in another order.
// eslint-disable-next-line no-control-regex
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;
const COMBINING = /\p{Mark}|\u200d|\ufe0f/u;
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}|[\u{20000}-\u{3fffd}]/u;

/** One line that a terminal shows as it is. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, (char) => {
    if (char === '\n') return '\\n';
    if (char === '\t') return '\\t';
    if (char === '\r') return '\\r';
    return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

function charWidth(char: string): number {
  if (char < '\u0300') return 1;
  if (COMBINING.test(char)) return 0;
  return WIDE.test(char) ? 2 : 1;
}

/** Columns that the text takes on a terminal, nearly always. */
export function displayWidth(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length; // most cells, and far cheaper
  let width = 0;
  for (const char of text) width += charWidth(char);
  return width;
}

/** Cut to `maxWidth` columns; an ellipsis says that something is missing. */
function clip(text: string, maxWidth: number): string {
  if (displayWidth(text) <= maxWidth) return text;
  let kept = '';
  let width = 0;
  for (const char of text) {
    if (width + charWidth(char) > maxWidth - 1) break;
    kept += char;
    width += charWidth(char);
  }
  return `${kept}…`;
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}

/** Takes width from the widest columns first, until all fit or none is wider than the least. */
function fittedWidths(natural: readonly number[], maxTotal: number): readonly number[] {
  const room = maxTotal - GAP.length * (natural.length - 1);
  let low = MIN_COLUMN_WIDTH;
  let high = Math.max(low, ...natural);
  if (sum(natural) <= room) return natural;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (sum(natural.map((width) => Math.min(width, middle))) <= room) low = middle;
    else high = middle - 1;
  }
  const widths = natural.map((width) => Math.min(width, low));
  let spare = room - sum(widths);
  return widths.map((width, i) => {
    if (spare <= 0 || width >= (natural[i] ?? 0)) return width;
    spare--;
    return width + 1;
  });
}

/** `maxWidth` undefined: as wide as it gets. Lines end without spaces, each with a newline. */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  maxWidth: number | undefined,
): string {
  const lines = [columns.map((column) => column.title), ...rows].map((row) => row.map((cell) => printable(cell)));
  const natural = columns.map((_, i) => lines.reduce((widest, row) => Math.max(widest, displayWidth(row[i] ?? '')), 0));
  const widths = maxWidth === undefined ? natural : fittedWidths(natural, maxWidth);
  const rule = widths.map((width) => '-'.repeat(width)).join(GAP);
  const body = lines.map((row) =>
    columns
      .map((column, i) => {
        const width = widths[i] ?? 0;
        const cell = clip(row[i] ?? '', width);
        const padding = ' '.repeat(width - displayWidth(cell));
        return column.align === 'right' ? padding + cell : cell + padding;
      })
      .join(GAP)
      .trimEnd(),
  );
  return [body[0] ?? '', rule, ...body.slice(1)].map((line) => `${line}\n`).join('');
}

function csvCell(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** RFC 4180, with a head line; lines end in LF. */
export function formatCsv(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  return [titles, ...rows].map((row) => `${row.map((cell) => csvCell(cell)).join(',')}\n`).join('');
}
