/** `hedgerow query`: SQL over the query API, as a table, JSON or CSV. */
import type { Command } from 'commander';
import { CommandFailure, usageFailure } from './command-failure.ts';
import { elementTexts, memberText, plainText } from './json-text.ts';
import { dataDirOption, jsonOption, keyOption, projectOption, urlOption } from './options.ts';
import { serverAddress, type AddressFlags } from './server-address.ts';
import { requestText } from './server-request.ts';
import { formatCsv, formatTable, type Column } from './table.ts';
import type { Terminal } from './terminal.ts';

interface QueryFlags extends AddressFlags {
  readonly project?: string;
  readonly json?: true;
  readonly csv?: true;
}

export function addQueryCommand(program: Command, terminal: Terminal): void {
  program
    .command('query')
    .description('runs SQL and prints a table')
    .argument('<sql>', 'ClickHouse SQL over the tables of your project, such as events')
    .option('--csv', 'as CSV')
    .addOption(jsonOption().conflicts('csv'))
    .addOption(projectOption())
    .addOption(urlOption())
    .addOption(keyOption())
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      `
Examples:
  $ hedgerow query "select event, distinct_id, timestamp from events order by timestamp desc limit 10"
  $ hedgerow query "select event, count() as n from events group by event order by n desc"
  $ hedgerow query 'select properties.$browser as browser, count() from events group by browser' --csv`,
    )
    .action(async (sql: string, flags: QueryFlags) => {
      if (sql.trim() === '') throw usageFailure('The SQL is empty. "hedgerow query --help" shows examples.');
      const address = serverAddress(flags, terminal.env);
      const path = `/api/projects/${encodeURIComponent(flags.project ?? '@current')}/query/`;
      const answer = await requestText(address, path, { query: { kind: 'HogQLQuery', query: sql } });
      if (flags.json === true) {
        terminal.out(`${answer.trimEnd()}\n`);
        return;
      }
      const { columns, rows, hasMore } = readAnswer(answer);
      if (flags.csv === true) {
        const titles = columns.map((column) => column.title);
        terminal.out(formatCsv(titles, rows));
      } else {
        terminal.out(formatTable(columns, rows, terminal.columns));
        terminal.err(`${rows.length} ${rows.length === 1 ? 'row' : 'rows'}\n`);
      }
      if (hasMore)
        terminal.err('There are more rows than an answer may hold. Narrow the query, or page with LIMIT and OFFSET.\n');
    });
}

interface QueryAnswer {
  readonly columns: readonly Column[];
  readonly rows: readonly (readonly string[])[];
  readonly hasMore: boolean;
}

/** Cells are the answer's own text, so that 64-bit integers and decimals are shown exactly. */
export function readAnswer(text: string): QueryAnswer {
  const names = memberText(text, 'columns');
  const results = memberText(text, 'results');
  if (names === undefined || results === undefined) {
    throw new CommandFailure('The answer is no query result. Is this the address of a Hedgerow server?');
  }
  const types = elementTexts(memberText(text, 'types') ?? '[]').map((type) => plainText(type));
  return {
    columns: elementTexts(names).map((name, i) => ({
      title: plainText(name),
      align: isNumeric(types[i] ?? '') ? 'right' : 'left',
    })),
    rows: elementTexts(results).map((row) => elementTexts(row).map((cell) => plainText(cell))),
    hasMore: memberText(text, 'hasMore') === 'true',
  };
}

function isNumeric(type: string): boolean {
  return /^(?:Nullable\(|LowCardinality\()*(?:U?Int|Float|Decimal)/.test(type);
}
