import { z } from 'zod';
import { fault, type Fault } from '../errors.ts';
import { bindPlaceholders } from './placeholders.ts';
import { jsonAnswer, type ProjectRead, type ReadAnswer } from './read-exchange.ts';
import type { StoreReads } from './store-reads.ts';

// Loose: PostHog's clients send `refresh`, `client_query_id`, `modifiers` and more, which say how and not what.
const anyQuery = z.object({ query: z.object({ kind: z.string() }) });
const hogqlQuery = z.object({
  query: z.object({
    query: z.string().refine((text) => text.trim() !== ''),
    values: z.record(z.string(), z.unknown()).nullish(),
  }),
});

/** `POST /api/projects/:project/query/`: SQL, read-only and confined to the project. */
export async function answerQuery(read: ProjectRead, store: StoreReads): Promise<ReadAnswer | Fault> {
  const sent = parseBody(read.request.body);
  if (sent.kind === 'fault') return sent;
  const named = anyQuery.safeParse(sent.value);
  if (!named.success)
    return refusal('query', 'an object such as {"kind": "HogQLQuery", "query": "select count() from events"}');
  if (named.data.query.kind !== 'HogQLQuery')
    return refusal('query.kind', '"HogQLQuery", the one kind of query that this version answers');
  const hogql = hogqlQuery.safeParse(sent.value);
  if (!hogql.success) {
    return hogql.error.issues[0]?.path[1] === 'values'
      ? refusal('query.values', 'an object that gives each {name} of the SQL its value')
      : refusal('query.query', 'SQL, such as "select count() from events"');
  }
  const sql = bindPlaceholders(hogql.data.query.query, hogql.data.query.values ?? {});
  if ('kind' in sql) return sql;

  const answer = await store.projectRows(read.project.id, sql, read.request.signal);
  if (answer.kind === 'fault') return answer;
  const columns = JSON.stringify(answer.columns);
  const types = JSON.stringify(answer.types);
  // The rows' text goes through as it is: 64-bit integers are exact in it.
  return jsonAnswer(
    `{"columns":${columns},"types":${types},"results":${answer.rowsJson},"hasMore":${String(answer.hasMore)}}`,
  );
}

function refusal(name: string, expected: string): Fault {
  return fault('invalid_parameter', { name, expected });
}

/** The JSON of a body, or where it is none. */
export function parseBody(body: Buffer): { readonly kind: 'json'; readonly value: unknown } | Fault {
  const text = body.toString('utf8');
  try {
    return { kind: 'json', value: JSON.parse(text) };
  } catch (error) {
    // The engine's message may quote the body, so only its position is used; some messages have none.
    const position = /at position (\d+)/.exec(error instanceof Error ? error.message : '')?.[1];
    const before = text.slice(0, position === undefined ? text.length : Number(position)).split('\n');
    const problem = text.trim() === '' ? 'the body is empty' : 'the body is not JSON';
    return fault('invalid_json', { problem, line: before.length, column: (before.at(-1)?.length ?? 0) + 1 });
  }
}
