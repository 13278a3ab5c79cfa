/**
 * Whether a user's SQL may run: one SELECT that names only readable tables and harmless functions.
 *
 * Two steps, both before the engine runs anything. `textFault` reads the text as the engine's lexer does and refuses
 * what could reach past it: FORMAT, SETTINGS and INTO OUTFILE (which `EXPLAIN` itself would obey), a second statement,
 * PREWHERE (it runs before the project's filter and could tell of other rows by failing), and every spelling that the
 * two readers might see differently. `treeFault` reads the engine's own parse (`EXPLAIN AST`), with parameters filled
 * in. The engine then runs it with `readonly = 1` and the project's filter on each table.
 */
import { database, internalDatabase, readableTables } from './schema.ts';

const refusedWords = new Map([
  ['FORMAT', 'The answer has a format of its own: leave FORMAT out.'],
  ['SETTINGS', 'A query cannot change settings: leave SETTINGS out.'],
  ['OUTFILE', 'A query cannot write files: leave INTO OUTFILE out.'],
  ['INTO', 'A query only reads: leave INTO out.'],
  // The syntax tree does not show what it calls.
  ['APPLY', 'APPLY is not available; call the function on each column.'],
  ['PREWHERE', 'Write WHERE instead of PREWHERE; the engine moves conditions by itself.'],
]);

const NON_ASCII = /[^\t\n\r\x20-\x7e]/;

/** @returns the text without its last semicolon, or what is wrong with it. */
export function readUserSql(sql: string): { readonly text: string } | { readonly fault: string } {
  let at = 0;
  let end = sql.length;
  let hasWord = false;
  while (at < end) {
    const char = sql.charAt(at);
    if (char === "'" || char === '"' || char === '`') {
      const close = quotedEnd(sql, at, char);
      if (close < 0) return { fault: `A quoted text that begins with ${char} does not end.` };
      // The syntax tree shows names as they are, a line a node: a line break in one could pass for a node.
      if (char !== "'" && /[\n\r\\]/.test(sql.slice(at, close))) {
        return { fault: 'A quoted name cannot hold a backslash or a line break.' };
      }
      if (char !== "'" && isRefusedFunction(sql.slice(at + 1, close - 1).toLowerCase()) && isCall(sql, close)) {
        return { fault: `The function ${sql.slice(at + 1, close - 1)} is not available in queries.` };
      }
      at = close;
    } else if (sql.startsWith('--', at)) {
      const lineEnd = sql.indexOf('\n', at);
      at = lineEnd < 0 ? end : lineEnd + 1;
    } else if (sql.startsWith('/*', at)) {
      const close = sql.indexOf('*/', at + 2);
      if (close < 0) return { fault: 'A comment that begins with /* does not end.' };
      at = close + 2;
    } else if (char === '{' && /^\{[^}]*:\s*Identifier\s*\}/i.test(sql.slice(at, at + 4096))) {
      return { fault: 'A parameter cannot be a name: give it another type than Identifier.' };
    } else if (char === ';') {
      if (sql.slice(at + 1).trim() !== '')
        return { fault: 'Only one statement at a time: leave out what follows the ;.' };
      end = at;
    } else if (char === '#' || sql.startsWith('//', at)) {
      return { fault: 'Write comments with -- instead of # or //.' };
    } else if (char === '$' && /^\$\w*\$/.test(sql.slice(at, at + 200))) {
      return { fault: 'Quote a name that holds two $ signs with backticks.' };
    } else if (NON_ASCII.test(char)) {
      return { fault: 'Put letters beyond ASCII into quotes: names into backticks, texts into single quotes.' };
    } else if (/\d/.test(char)) {
      const word = /^\w+/.exec(sql.slice(at, at + 4096))?.[0] ?? char;
      if (/format|settings|into|outfile|prewhere/i.test(word))
        return { fault: `Put a space into ${word.slice(0, 40)}.` };
      at += word.length;
    } else if (/[A-Za-z_]/.test(char)) {
      const word = /^[\w$]+/.exec(sql.slice(at, at + 4096))?.[0] ?? char;
      const refusal = refusedWords.get(word.toUpperCase());
      const isField = sql.charAt(at - 1) === '.';
      const isFunction = isCall(sql, at + word.length);
      if (refusal !== undefined && !isField && !(isFunction && word.toUpperCase() === 'FORMAT'))
        return { fault: refusal };
      if (isFunction && isRefusedFunction(word.toLowerCase())) {
        return { fault: `The function ${word} is not available in queries.` };
      }
      if (!hasWord && !/^(select|with)$/i.test(word)) return { fault: 'Only SELECT can be run, with or without WITH.' };
      hasWord = true;
      at += word.length;
    } else {
      at += 1;
    }
  }
  if (!hasWord) return { fault: 'The query is empty.' };
  return { text: sql.slice(0, end) };
}

function isCall(sql: string, nameEnd: number): boolean {
  return /^\s*\(/.test(sql.slice(nameEnd, nameEnd + 100));
}

/** @returns the position behind the closing quote, -1 when there is none. */
function quotedEnd(sql: string, start: number, quote: string): number {
  let at = start + 1;
  while (at < sql.length) {
    const char = sql.charAt(at);
    if (char === '\\') {
      at += 2;
    } else if (char !== quote) {
      at += 1;
    } else if (sql.charAt(at + 1) === quote) {
      at += 2;
    } else {
      return at + 1;
    }
  }
  return -1;
}

const tableFunctions = new Set([
  'numbers',
  'numbers_mt',
  'zeros',
  'zeros_mt',
  'generateseries',
  'generate_series',
  'values',
]);

/** Names that read files, networks, other tables or the machine, or only burn time. */
const refusedFunctions =
  /^(file|filesystem\w*|dict\w*|joinget\w*|getserver\w*|getmacro|getmergetreesetting|hascolumnintable|addressto\w*|demangle|catboostevaluate|evalmlmethod|executable\w*|url|urlcluster|remote\w*|cluster\w*|s3\w*|gcs|oss|cosn|hdfs\w*|azure\w*|iceberg\w*|deltalake\w*|hudi\w*|paimon\w*|mysql|postgresql|mongodb|redis|sqlite|odbc|jdbc|ytsaurus|arrowflight|arrowstream|input|merge|mergetree\w*|loop|dictionary|view\w*|eval|fuzz\w*|timeseries(data|tags|metrics|samples|selector)|prometheus\w*|sleep\w*|ai\w*|hostname|fullhostname|displayname|logtrace|fqdn|showcertificate|\w*profiles|getsetting\w*|python|generaterandom|transactionid|servertimezone|serveruuid|icebergtruncate|getoskernelversion|tcpport|buildid|zookeeper\w*|trace\w*|reload\w*)$/;

/**
 * Names that tell of rows which the project's filter shuts out: what the engine keeps for a whole part (the dictionary of a
 * text column, the paths of `properties`), or what it finds out from an index before it filters.
 */
const tellingFunctions =
  /^(indexhint|lowcardinality(keys|indices)|dumpcolumnstructure|blockserializedsize|gettypeserializationstreams|distinctjsonpaths\w*|blocknumber|runningconcurrency|estimatecompressionratio)$/;

/** Names that tell of the server: versions, uptime, who and what is connected. */
const serverFunctions =
  /^(version|uptime|revision|chdb|tid|user|current_?(user|roles|queryid)|authenticateduser|defaultroles|enabledroles|connection_?id|queryid|query_id|initial_?query\w*|global_?variable|getclienthttpheader|getmaxtablenamelengthfordatabase|hasthreadfuzzer|shardnum|shardcount|transaction\w*|generateserialid|ismergetreepartcoveredby|region(to|in|hierarchy)\w*|naivebayes\w*|__\w+)$/;

/** What the engine offers beside a table's columns: the parts, blocks and marks that a row lies in, with all projects' rows. */
const virtualColumns =
  /(?:^|\.)_(?:part|partition|block|row|sample|disk|table|database|distance|shard|data|granule|bucket|path|file|size|time|headers|etag)(?:_\w+)?$/i;

/** @param name in lower case */
function isRefusedFunction(name: string): boolean {
  return refusedFunctions.test(name) || tellingFunctions.test(name) || serverFunctions.test(name);
}

const readable = new Set(readableTables.map((table) => `${database}.${table}`));

/** Refused wherever it stands, should the place of a node ever be misread. */
const otherDatabase = new RegExp(`^(system|information_schema|default|${internalDatabase})\\.`, 'i');

/** @param ast the lines of `EXPLAIN AST` */
export function treeFault(ast: string): string | undefined {
  const lines = ast.split('\n');
  if (!/^Select\w*Query\b/.test(lines[0] ?? '')) return 'Only SELECT can be run, with or without WITH.';
  let tableAt = -1;
  const inArguments: { readonly depth: number; seen: number }[] = [];
  for (const line of lines) {
    const depth = line.length - line.trimStart().length;
    const [kind = '', name = ''] = line.trimStart().split(' ');
    while (inArguments.length > 0 && depth <= (inArguments.at(-1)?.depth ?? 0)) inArguments.pop();
    if (kind.endsWith('ApplyTransformer')) return 'APPLY is not available; call the function on each column.';
    // A pattern reaches columns that no name in the text shows, project_id among them.
    if (kind.endsWith('ColumnsRegexpMatcher')) return 'COLUMNS with a pattern is not available; name the columns.';
    if (kind === 'Set') return 'A query cannot change settings: leave SETTINGS out.';
    if (kind === 'Identifier' && otherDatabase.test(name)) return unknownTable(name);
    // The engine tries a condition on the key at the bounds of its index before the project's filter: a division by zero
    // there would tell which other projects' rows lie beside.
    if (kind === 'Identifier' && /(?:^|\.)project_id$/i.test(name)) {
      return 'The column project_id is not available: a query sees one project alone.';
    }
    if (kind === 'Identifier' && virtualColumns.test(name)) {
      return `The column ${shownName(name)} is not available: it tells how the store keeps the rows of all projects.`;
    }
    if (kind === 'TableIdentifier' && !isReadableName(name)) return unknownTable(name);
    if (kind === 'Function') {
      const lower = name.toLowerCase();
      const isTable = tableAt >= 0 && depth === tableAt + 1;
      if (isTable ? !tableFunctions.has(lower) : isRefusedFunction(lower)) {
        return `The function ${name} is not available in queries.`;
      }
      if (/^(global)?(not)?(null)?in(ignoreset)?$/i.test(lower)) inArguments.push({ depth, seen: 0 });
    }
    const within = inArguments.at(-1);
    if (within !== undefined && depth === within.depth + 2) {
      within.seen += 1;
      if (within.seen === 2 && kind === 'Identifier' && !isReadableName(name)) return unknownTable(name);
    }
    tableAt = kind === 'TableExpression' ? depth : tableAt >= 0 && depth > tableAt ? tableAt : -1;
  }
  return undefined;
}

/** A name without a dot is a table of our own database, a CTE, or nothing; `properties.x` may stand behind IN. */
function isReadableName(name: string): boolean {
  if (/^\w+$/.test(name)) return true;
  return readable.has(name) || /^(properties|\w+\.properties)\.[\w$.]+$/.test(name);
}

function unknownTable(name: string): string {
  const shown = shownName(name);
  return `There is no table${shown === '' ? '' : ` ${shown}`} here; a query can read ${readableTables.join(', ')}.`;
}

/** Empty when it is better not shown. */
function shownName(name: string): string {
  return /^[\w.$]{1,100}$/.test(name) ? name : '';
}
