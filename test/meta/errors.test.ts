/** The one table of errors, docs/errors.md and the code agree. `npx vitest run --project meta -u` writes the document anew. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { type ErrorEntry, errors } from '../../src/errors.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const table: Readonly<Record<string, ErrorEntry>> = errors;

/** Any field a text may ask for. */
const sample: Readonly<Record<string, unknown>> = {
  allowed: 'GET, OPTIONS', bytes: 1_000_001, column: 9, expected: 'a whole number', line: 1, maxBytes: 1_000_000, message: '(the engine’s words)',
  method: 'PUT', name: 'limit', problem: '(what was wrong)', reason: 'empty', scope: 'query', seconds: 30, timeoutMs: 10_000, maxQueries: 100,
}; // prettier-ignore

function textOf(entry: ErrorEntry): string {
  const detail = entry.detail as (fields: unknown) => string;
  return detail(new Proxy(sample, { get: (target, key) => target[String(key)] ?? `(${String(key)})` }));
}

function sources(): string {
  return readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter(
      (name) =>
        name.endsWith('.ts') &&
        !name.endsWith('.test.ts') &&
        name !== 'errors.ts' &&
        !name.endsWith('event/outcome.ts') &&
        !name.includes('openapi/'), // tells of them, and raises none
    )
    .map((name) => readFileSync(join(root, 'src', name), 'utf8'))
    .join('\n');
}

function document(): string {
  const rows = Object.entries(table).map(
    ([code, entry]) =>
      `| \`${code}\` | ${entry.status} | \`${entry.type}\` | ${entry.retry === 'later' ? 'yes, after `Retry-After`' : 'no'} | ${textOf(entry).replaceAll('|', '\\|')} |`,
  );
  return [
    '# Errors',
    '',
    'Every way Hedgerow says no over HTTP, from the table in `src/errors.ts`. The body is `{"type","code","detail","attr"}`; values in',
    'parentheses stand for what the request had. Codes are never renamed or reused. On protocol V1 the same faults come in its own',
    'envelope, some under its own name (protocol.md 8.4); codes that only an event can have are its `details` there.',
    '',
    '| Code | Status | Type | Send again? | Detail |',
    '| --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

describe('errors', () => {
  it.each(Object.keys(table))('%s says what to do, and shows nothing undefined', (code) => {
    const entry = table[code];
    if (entry === undefined) throw new Error('no entry');
    const text = textOf(entry);
    expect(text.length).toBeGreaterThan(15);
    expect(text).not.toContain('undefined');
    if (entry.status >= 500) expect(entry.retry).toBe('later');
  });

  it('stand in the table sorted by code', () => {
    const codes = Object.keys(table);
    expect(codes).toEqual([...codes].sort());
  });

  it('are all raised somewhere', () => {
    const text = sources();
    expect(Object.keys(table).filter((code) => !text.includes(`'${code}'`))).toEqual([]);
  });

  it('are all in docs/errors.md, as they are', async () => {
    await expect(document()).toMatchFileSnapshot(join(root, 'docs/errors.md'));
  });
});
