import { describe, expect, it } from 'vitest';
import { displayWidth, formatCsv, formatTable, printable, type Column } from './table.ts';

const columns: readonly Column[] = [
  { title: 'event', align: 'left' },
  { title: 'count', align: 'right' },
];

describe('the table', () => {
  it('aligns text to the left and numbers to the right, without spaces at the end of a line', () => {
    const rows = [
      ['signed up', '12'],
      ['paid', '1000000'],
    ];
    expect(formatTable(columns, rows, undefined)).toBe(
      'event        count\n---------  -------\nsigned up       12\npaid       1000000\n',
    );
  });

  it('shows only the head when there is no row', () => {
    expect(formatTable(columns, [], 80)).toBe('event  count\n-----  -----\n');
  });

  it.each([20, 40, 80, 81])('fits a terminal of %i columns and marks what it cut', (width) => {
    const table = formatTable(columns, [['x'.repeat(200), 'y'.repeat(200)]], width);
    const widest = Math.max(...table.split('\n').map((line) => displayWidth(line)));
    expect(widest).toBe(width);
    expect(table).toContain('x…');
  });

  it('gives narrow columns all they need before it cuts the wide one', () => {
    expect(formatTable(columns, [['x'.repeat(100), '1234567']], 30)).toContain(`${'x'.repeat(20)}…  1234567`);
  });

  it('counts wide characters twice and combining marks not at all', () => {
    expect([displayWidth('日本'), displayWidth('e\u0301'), displayWidth('🙂'), displayWidth('é')]).toEqual([
      4, 1, 2, 1,
    ]);
  });

  it('never passes a control character on to the terminal', () => {
    expect(printable('a\u001b[31m\nb\u009b\u202e')).toBe('a\\u001b[31m\\nb\\u009b\\u202e');
  });
});

describe('CSV', () => {
  it('quotes cells that hold a comma, a quote or a line break, and doubles quotes', () => {
    expect(formatCsv(['a', 'b'], [['1,2', 'say "hi"\nthere']])).toBe('a,b\n"1,2","say ""hi""\nthere"\n');
  });
});
