/**
 * Properties that we take apart read back as if the engine had parsed the text: each text goes in both ways, and the two
 * rows are compared, path by path, type by type.
 */
import fc from 'fast-check';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { recordFlags } from '../../src/record/layout.ts';
import { RecordView } from '../../src/record/record-view.ts';
import { openChdbStore } from '../../src/store/chdb/chdb-store.ts';
import { EventColumns } from '../../src/store/event-columns.ts';
import { EventRows } from '../../src/store/row-binary.ts';
import type { Store } from '../../src/store/store.ts';
import { compiledChild } from './compiled-child.ts';
import { recordOf, type RecordFields } from './record-fixtures.ts';

const fieldsOf = (last: string): RecordFields => ({
  last,
  sentAtMs: 1_700_000_000_250,
  flags: recordFlags.isAuthenticated | recordFlags.isHistorical,
  second: 'ünïcode',
});

function viewOf(projectId: number, last: string): RecordView {
  const view = new RecordView(
    recordOf({ ...fieldsOf(last), projectId, requestId: '0190a000-ffff-7000-8000-000000000001' }),
  );
  view.next();
  return view;
}

const isTaken = (last: string): boolean => new EventColumns().add(viewOf(1, last), { stream: 'one', sequence: 0 });

describe('event columns', () => {
  const dir = mkdtempSync(join(tmpdir(), 'hedgerow-columns-'));
  let store: Store;
  let projectId = 0;
  let columns = new EventColumns();

  beforeAll(async () => {
    store = await openChdbStore({ dir, childPath: compiledChild() });
  }, 30_000);
  afterAll(async () => {
    await store.close();
    rmSync(dir, { recursive: true, force: true });
  });

  async function readBack(project: number): Promise<readonly unknown[]> {
    const answer = await store.query({
      sql: `SELECT toString(sequence), toString(properties), arrayMap(x -> [x.1, x.2], arraySort(JSONAllPathsWithTypes(properties)::Array(Tuple(String, String)))),
          event, distinct_id, toString(person_id) != '', timestamp, received_at, sent_at, ip, authenticated, request_id,
          lib, lib_version, properties_raw, properties_state, stream, request_index, is_cookieless, is_historical
        FROM hedgerow.events WHERE project_id = {project:UInt32} ORDER BY sequence`,
      parameters: { project },
      limits: { timeoutMs: 20_000, maxRows: 100_000 },
      signal: undefined,
    });
    if (answer.kind === 'fault') throw new Error(answer.message);
    const rows: unknown = JSON.parse(answer.rowsJson);
    if (!Array.isArray(rows)) throw new TypeError('no rows');
    return rows;
  }

  /** @returns how many were taken apart */
  async function compare(texts: readonly string[]): Promise<number> {
    const asText = (projectId += 1);
    const apart = (projectId += 1);
    const rows = new EventRows();
    columns.reset();
    for (const [sequence, text] of texts.entries()) {
      const origin = { stream: 'one', sequence };
      if (!columns.add(viewOf(apart, text), origin)) continue;
      rows.add(viewOf(asText, text), origin, { kind: 'parse' });
    }
    const { count } = columns;
    if (count === 0) return 0;
    await store.insert({ kind: 'events', rows: rows.rows(), count, deduplicationToken: `t:${asText}` });
    await store.insert({ kind: 'event_columns', rows: columns.rows(), count, deduplicationToken: `t:${apart}` });
    const found = await readBack(apart);
    expect(found).toHaveLength(count);
    expect(found).toEqual(await readBack(asText));
    return count;
  }

  it('read back like parsed text: each kind of value, and each kind in one path', async () => {
    const values = [
      '1', '0', '-0', '-1', '123456789012345', '1234567890123456', '-999999999999999999', '1.0', '1.5', '-0.0', '-0.25',
      '0.1', '3.14159265358979', '3.141592653589793', '0.30000000000000004', '1e3', '-1E-7', '2.5e+10', '1e-400',
      '12345678901234567890.5', '4.35', '1764072000.123456', 'true', 'false', 'null', '""', '"x"', '"a\\nb\\u00e9\\"\\\\"',
      '"\\u0000"', '"–"', '"2026-01-01"', '"2026-01-01 00:00:00"', '"17"', '"true"', `"${'long '.repeat(100)}"`, '{}', '{"b":1}',
      '{"b":{"c":"d","e":[1]}}', '[]', '["x"]', '["x",null,"y\\n"]', '[1,2,null]',
      '[null]', '[ 1 , 2 ]', '{ "b" : "spaced" , "c" : [ "x" , "y" ] }',
    ]; // prettier-ignore
    const texts = [
      ...values.map((value) => `{"a":${value}}`),
      '{}',
      ' { } ',
      '{"a.b":2}',
      '{"x":{"y.z":1}}',
      '{"f":[1.5,2.0]}',
      '{"g":[true,null]}',
      '{"f":[]}',
    ];
    expect(await compare(texts)).toBe(texts.length);
    expect(await compare(texts.toReversed())).toBe(texts.length);
  });

  it('decline what the engine must read itself', () => {
    const declined = [
      '{"a":9223372036854775807}', '{"a":18446744073709551616}', '{"a":1e400}', '{"a":1,"a":2}', '{"a.b":1,"a":{"b":2}}',
      '{"a":[1,"x"]}', '{"a":[[1]]}', '{"a":[{"b":1}]}', '{"a":[1,1.5]}', '{"\\u0061":1}', '{"":1}',
      `${'{"a":'.repeat(20)}1${'}'.repeat(20)}`,
    ]; // prettier-ignore
    expect(declined.filter(isTaken)).toEqual([]);
  });

  it('leave nothing of a row that they decline, and take the next', async () => {
    const texts = ['{"a":1,"b":"x"}', '{"a":2,"b":[[1]]}', '{"c":["x"],"a":3}', '{"c":{"d":1},"c":2,"c":3}', '{"c":4}'];
    expect(await compare(texts)).toBe(3);
    // The engine turns integers into floats when the path has arrays of floats already, and only then.
    expect(await compare(['{"a":[1.5]}', '{"a":[1]}', '{"a":[2.5]}', '{"a":["x"]}', '{"a":[]}'])).toBe(4);
  });

  it('take as many paths as the engine has columns for, and decline rows that bring more', async () => {
    columns = new EventColumns();
    const texts = Array.from({ length: 300 }, (_, i) => `{"always":${i},"key${i}":"value"}`);
    expect(await compare(texts)).toBe(255);
    // What one block left behind does not shut out the next.
    expect(await compare(texts.slice(250))).toBe(50);
  });

  it('keep thousands of rows apart', async () => {
    const texts = Array.from({ length: 5000 }, (_, i) =>
      JSON.stringify({
        i,
        half: i / 2,
        ...(i % 3 === 0 ? { third: `t${i}` } : {}),
        ...(i % 1000 === 999 ? { rare: [i] } : {}),
      }),
    );
    expect(await compare(texts)).toBe(5000);
  });

  it('read back like parsed text, whatever the JSON', async () => {
    const key = fc.constantFrom('a', 'b', 'c', '$d', 'a.b', 'ключ', 'a b', 'b`', "q'");
    const number = fc.oneof(
      fc.integer().map(String),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
      fc
        .tuple(fc.integer({ min: -999, max: 999 }), fc.stringMatching(/^\d{1,18}$/))
        .map(([whole, part]) => `${whole}.${part}`),
      fc.stringMatching(/^-?[1-9]\d{0,18}$/),
    );
    const scalar = fc.oneof(
      number,
      fc.constantFrom('true', 'false', 'null'),
      fc.string({ unit: 'grapheme' }).map((text) => JSON.stringify(text)),
    );
    const space = fc.constantFrom('', '', '', ' ', '\n\t');
    const { object } = fc.letrec<{ value: string; array: string; object: string }>((tie) => ({
      value: fc.oneof({ maxDepth: 3 }, scalar, tie('array'), tie('object')),
      array: fc
        .oneof(
          fc.array(tie('value'), { maxLength: 3 }),
          fc.array(number, { maxLength: 3 }),
          fc.array(scalar, { maxLength: 3 }),
        )
        .map((items) => `[${items.join(', ')}]`),
      object: fc
        .tuple(fc.array(fc.tuple(key, tie('value')), { maxLength: 5 }), space)
        .map(
          ([entries, gap]) =>
            `{${entries.map(([name, value]) => `${gap}"${name}"${gap}:${gap}${value}${gap}`).join(',')}}`,
        ),
    }));
    await fc.assert(
      fc.asyncProperty(fc.array(object, { minLength: 30, maxLength: 60 }), async (texts) => {
        await compare(texts);
      }),
      { numRuns: 25 },
    );
  });
});
