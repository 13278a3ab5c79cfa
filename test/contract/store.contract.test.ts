import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { asProjectId } from '../../src/event/ids.ts';
import { uuidV5 } from '../../src/event/id-source.ts';
import { formatUuid, parseUuid } from '../../src/event/uuid.ts';
import { recordFlags } from '../../src/record/layout.ts';
import { RecordView } from '../../src/record/record-view.ts';
import { openChdbStore } from '../../src/store/chdb/chdb-store.ts';
import { EventRows, RejectionRows, UuidKeys, type PropertiesMode } from '../../src/store/row-binary.ts';
import { personNamespace } from '../../src/store/schema.ts';
import type { QueryAnswer, QueryFault, QueryRequest, Store } from '../../src/store/store.ts';
import { compiledChild } from './compiled-child.ts';
import { nextUuid, recordOf, type RecordFields } from './record-fixtures.ts';

const one = asProjectId(1);
const two = asProjectId(2);
const requestId = '0190a000-ffff-7000-8000-000000000001';
let tokens = 0;

async function insertEvents(
  store: Store,
  records: readonly RecordFields[],
  options: { mode?: PropertiesMode; token?: string; firstSequence?: number } = {},
): Promise<void> {
  const rows = new EventRows();
  let sequence = options.firstSequence ?? 0;
  for (const fields of records) {
    const view = new RecordView(recordOf(fields));
    view.next();
    rows.add(view, { stream: 'one', sequence }, options.mode ?? { kind: 'parse' });
    sequence += 1;
  }
  tokens += 1;
  const deduplicationToken = options.token ?? `t:${tokens}`;
  await store.insert({ kind: 'events', rows: rows.rows(), count: rows.count, deduplicationToken });
}

function request(sql: string, more: Partial<QueryRequest> = {}): QueryRequest {
  return { sql, parameters: {}, limits: { timeoutMs: 10_000, maxRows: 1000 }, signal: undefined, ...more };
}

function rowsOf(answer: QueryAnswer | QueryFault): unknown {
  if (answer.kind === 'fault') throw new Error(`${answer.reason}: ${answer.message}`);
  return JSON.parse(answer.rowsJson);
}

function faultOf(answer: QueryAnswer | QueryFault): QueryFault {
  if (answer.kind !== 'fault') throw new Error(`expected a fault, got ${answer.rowsJson.slice(0, 500)}`);
  return answer;
}

export function storeContract(engine: string, open: (dir: string) => Promise<Store>): void {
  describe(`store on ${engine}`, () => {
    const dir = mkdtempSync(join(tmpdir(), 'hedgerow-store-'));
    let store: Store;
    beforeAll(async () => {
      store = await open(dir);
    });
    afterAll(async () => {
      await store.close();
      rmSync(dir, { recursive: true, force: true });
    });

    it('gives back each field of an event as it came, and shows no column of its own in *', async () => {
      const uuid = nextUuid();
      await insertEvents(store, [
        {
          projectId: 10,
          uuid,
          requestId,
          first: 'näme',
          second: 'd’1',
          last: '{"$browser":"Firefox","n":9007199254740993,"t":"2024-01-01T00:00:00Z","deep":{"x":[1,{"y":null}]}}',
          timestampMs: 1_700_000_000_000.125,
          sentAtMs: 1_700_000_000_001,
          flags: recordFlags.isAuthenticated | recordFlags.isHistorical,
        },
      ]);
      const answer = await store.queryProject(asProjectId(10), request('select * from events'));
      if (answer.kind === 'fault') throw new Error(answer.message);
      expect(answer.columns.join(' ')).toBe(
        'uuid event distinct_id person_id timestamp received_at sent_at properties ip authenticated request_id lib lib_version',
      );
      const person = formatUuid(uuidV5(parseUuid(personNamespace) ?? new Uint8Array(), '10:d’1'));
      expect(answer.rowsJson).toContain('9007199254740993');
      expect(JSON.parse(answer.rowsJson)).toEqual([
        [
          uuid,
          'näme',
          'd’1',
          person,
          '2023-11-14T22:13:20.000125Z',
          '2023-11-14T22:13:20.500000Z',
          '2023-11-14T22:13:20.001000Z',
          { $browser: 'Firefox', n: 9007199254740992, t: '2024-01-01T00:00:00Z', deep: { x: [1, {}] } },
          '127.0.0.1',
          true,
          requestId,
          'web',
          '1.2.3',
        ],
      ]);
      const hidden = 'properties.$browser, is_historical, is_cookieless, stream, sequence, properties_state';
      const named = await store.queryProject(asProjectId(10), request(`select ${hidden} from events`));
      expect(rowsOf(named)).toEqual([['Firefox', true, false, 'one', 0, 'exact']]);
    });

    it('clamps instants that its column cannot hold', async () => {
      await insertEvents(store, [
        { projectId: 11, timestampMs: Date.parse('0001-01-01T00:00:00Z') },
        { projectId: 11, timestampMs: Date.parse('9999-01-01T00:00:00Z') },
      ]);
      const answer = await store.queryProject(
        asProjectId(11),
        request('select timestamp from events order by timestamp'),
      );
      expect(rowsOf(answer)).toEqual([['1900-01-01T00:00:00.000000Z'], ['2299-12-31T23:59:59.999000Z']]);
    });

    const hard: readonly (readonly [string, string, string])[] = [
      ['an integer at the end of 64 bits', '{"a":18446744073709551615}', 'exact'],
      ['an integer beyond 64 bits', '{"a":18446744073709551616}', 'raw_only'],
      ['a number beyond float64', '{"a":1e400}', 'raw_only'],
      ['a repeated key', '{"a":1,"a":2}', 'exact'],
      ['a dotted key beside an object', '{"a.b":1,"a":{"b":2}}', 'exact'],
      ['an object and a scalar under one key', '{"a":{"b":1},"a":3}', 'exact'],
      ['half a surrogate pair', '{"a":"\\ud800"}', 'raw_only'],
      ['an empty key', '{"":1}', 'exact'],
      ['a NUL', '{"a":"\\u0000"}', 'exact'],
      ['arrays of mixed types', '{"a":[1,"x",{"b":[[1.5],null]}]}', 'exact'],
      ['objects 900 deep', `${'{"a":'.repeat(900)}1${'}'.repeat(900)}`, 'exact'],
      ['arrays 5000 deep', `{"a":${'['.repeat(5000)}${']'.repeat(5000)}}`, 'raw_only'],
      ['5000 keys', JSON.stringify(Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`k${i}`, i]))), 'exact'],
    ];
    it.each(hard)('keeps an event with %s, and its raw text', async (_name, last, state) => {
      const uuid = nextUuid();
      await insertEvents(store, [{ projectId: 12, uuid, last }, { projectId: 12 }]);
      const answer = await store.query(
        request('select properties_raw, properties_state from hedgerow.events where uuid = {uuid:UUID}', {
          parameters: { uuid },
        }),
      );
      expect(rowsOf(answer)).toEqual([[last, state]]);
    });

    it('parses the repaired text instead of the raw one', async () => {
      const mode: PropertiesMode = { kind: 'repaired', text: Buffer.from('{"a":1.5e30}') };
      await insertEvents(store, [{ projectId: 13, last: '{"a":1500000000000000000000000000000}' }], { mode });
      const answer = await store.queryProject(
        asProjectId(13),
        request('select properties.a, properties_state from events'),
      );
      expect(rowsOf(answer)).toEqual([[1.5e30, 'repaired']]);
    });

    it('does nothing when a block with a known token comes again', async () => {
      const records = [{ projectId: 14 }];
      await insertEvents(store, records, { token: 'again:1' });
      await insertEvents(store, records, { token: 'again:1' });
      expect(rowsOf(await store.queryProject(asProjectId(14), request('select count() from events')))).toEqual([[1]]);
    });

    it('finds stored uuids with their origin, each in its own project', async () => {
      const uuid = nextUuid();
      await insertEvents(store, [{ projectId: 15, uuid }], { firstSequence: 4_294_967_300 });
      const keys = new UuidKeys();
      for (const projectId of [15, 16]) {
        const view = new RecordView(recordOf({ projectId, uuid }));
        view.next();
        keys.add(view);
      }
      const found = await store.findUuids({ rows: keys.rows(), count: keys.count });
      expect(found).toEqual([{ projectId: 15, uuid, stream: 'one', sequence: 4_294_967_300 }]);
    });

    it('keeps rejections with their reason, and finds them by origin', async () => {
      const rows = new RejectionRows();
      const uuid = nextUuid();
      const raw = '{"event":"x","distinct_id":"me"}';
      const records = [
        recordOf({
          kind: 'rejection',
          projectId: 17,
          uuid,
          flags: recordFlags.hasUuid,
          first: 'c',
          second: 'why',
          last: raw,
        }),
        recordOf({
          kind: 'rejection',
          projectId: 17,
          requestId,
          index: 1,
          first: 'd',
          second: 'why',
          last: 'nonsense',
        }),
      ];
      records.forEach((record, sequence) => {
        const view = new RecordView(record);
        view.next();
        rows.add(view, { stream: 'r', sequence });
      });
      await store.insert({ kind: 'rejections', rows: rows.rows(), count: 2, deduplicationToken: 'r:1' });
      const sql = 'select index, code, detail, event, distinct_id, uuid, raw from rejections order by index';
      expect(rowsOf(await store.queryProject(asProjectId(17), request(sql)))).toEqual([
        [0, 'c', 'why', 'x', 'me', uuid, raw],
        [1, 'd', 'why', '', '', null, 'nonsense'],
      ]);
      expect(await store.findRejections({ stream: 'r', first: 1, next: 9 })).toEqual([
        { sequence: 1, requestId, index: 1 },
      ]);
    });

    it('shows persons of one project with their distinct_ids', async () => {
      await insertEvents(store, [
        { projectId: 18, second: 'p' },
        { projectId: 19, second: 'p' },
      ]);
      const answer = await store.queryProject(asProjectId(18), request('select distinct_ids, properties from persons'));
      expect(rowsOf(answer)).toEqual([[['p'], {}]]);
    });

    it('cuts an answer at maxRows and says that there is more', async () => {
      for (const [maxRows, rowCount, hasMore] of [
        [9, 9, true],
        [10, 10, false],
        [11, 10, false],
      ] as const) {
        const limits = { timeoutMs: 10_000, maxRows };
        const answer = await store.queryProject(one, request('select number from numbers(10)', { limits }));
        expect(answer).toMatchObject({ kind: 'rows', rowCount, hasMore });
        expect(rowsOf(answer)).toEqual(Array.from({ length: rowCount }, (_, i) => [i]));
      }
    });

    it('takes parameters of each type', async () => {
      const parameters = { s: "a'\\b\nü", n: null, i: 12345678901234567n, l: ["x'", 'y'], b: true, f: 1.5 };
      const sql =
        'select {s:String} s, {n:Nullable(String)} n, {i:Int64} i, {l:Array(String)} l, {b:Bool} b, {f:Float64} f';
      const answer = await store.queryProject(one, request(sql, { parameters }));
      if (answer.kind === 'fault') throw new Error(answer.message);
      expect(answer.rowsJson).toBe('[["a\'\\\\b\\nü", null, 12345678901234567, ["x\'","y"], true, 1.5]]');
    });

    it('gives several answers at once, and stops one whose caller has gone', async () => {
      const abort = new AbortController();
      const endless = 'select count() from numbers(100000000000) where sipHash64(number) = 1';
      const slow = store.queryProject(one, request(endless, { signal: abort.signal }));
      expect(rowsOf(await store.queryProject(one, request('select 1')))).toEqual([[1]]);
      abort.abort();
      expect(faultOf(await slow).reason).toBe('timeout');
      const limits = { timeoutMs: 300, maxRows: 1 };
      expect(faultOf(await store.queryProject(one, request(endless, { limits }))).reason).toBe('timeout');
    });

    it('says in one clean sentence, with its place, what is wrong with a query', async () => {
      for (const [sql, words] of [
        ['select nonsense from events', /nonsense/],
        ['select\n  1 1 1 from events', /line 2, column \d+/],
        ['select count( from events', /line 1/],
        ['select nofunction(1)', /nofunction/],
        ['select * from nowhere', /nowhere/],
        ["select toInt64('x')", /x/],
      ] as const) {
        const found = faultOf(await store.queryProject(one, request(sql)));
        expect(found.reason, sql).toBe('invalid');
        expect(found.message, sql).toMatch(words);
        expect(found.message, sql).not.toMatch(/DB::|Code:|Stack|\/tmp|\/home|hedgerow|__table/);
      }
    });

    it('never mixes rows of a query that failed into the next answer', async () => {
      const partial = 'select number, throwIf(number = 200000) from numbers(300000)';
      const limits = { timeoutMs: 10_000, maxRows: 1_000_000 };
      for (let i = 0; i < 8; i++) {
        expect(faultOf(await store.queryProject(one, request(partial, { limits }))).reason).toBe('invalid');
        expect(rowsOf(await store.queryProject(two, request('select 7')))).toEqual([[7]]);
      }
    });

    describe('a user’s SQL', () => {
      beforeAll(async () => {
        await insertEvents(store, [
          { projectId: 1, first: 'mine' },
          { projectId: 2, first: 'secret of another' },
        ]);
      });

      it.each([
        'select event from events',
        'select event from hedgerow.events',
        'select e.event from events as e join (select uuid from events) u on u.uuid = e.uuid',
        'with x as (select * from events) select event from x',
        'select event from events where uuid in (select uuid from events)',
        'select event from (select * from events union all select * from events) union distinct select event from events',
        'select event from events group by event having count() > 0;',
        '-- a comment; with words FORMAT\nselect event /* settings */ from events -- end',
        "select event from events where 1 or throwIf(event = 'secret of another')",
        "select event from events where throwIf(event = 'secret of another') = 0",
        "select event from events where not throwIf(event = 'secret of another') and length(event) > 0",
        'select event from events as `hedgerow.rejections`',
        'select any(event) from events where person_id in (select id from persons where throwIf(length(distinct_ids) > 1) = 0)',
        "select a.event from events a join events b on a.uuid = b.uuid and throwIf(b.event = 'secret of another') = 0",
        "select event from events where toUInt8(if(event = 'mine', '1', event)) = 1",
      ])('sees only its project: %s', async (sql) => {
        const answer = await store.queryProject(one, request(sql));
        expect(JSON.stringify(answer)).not.toContain('secret of another');
        expect(rowsOf(answer)).toEqual([['mine']]);
      });

      it.each([
        // Evaluated at the bounds of the index, before the project's filter: the column is refused in every form.
        'select event from events where project_id in (1, 2)',
        'select event from events order by throwIf(project_id = 2)',
        'select event from events where event in (select event from events where throwIf(project_id = 2) = 0)',
        'select event from events where (select max(throwIf(project_id = 2)) from events) = 0',
        'select * from system.tables',
        'select * from `system`.`tables`',
        'select * from "system"."tables"',
        'select * from system . tables',
        'select * from INFORMATION_SCHEMA.tables',
        'select * from hedgerow_internal.schema_version',
        'select 1 where 1 in system.one',
        'select 1 where 1 not in (system.one)',
        'select 1 where (1, 1) global in system.one',
        'select 1 where in(1, system.one)',
        'with x as (select * from system.tables) select * from x',
        'select (select count() from system.tables)',
        'select exists(select 1 from system.tables)',
        "select * from file('/etc/passwd', 'LineAsString')",
        "select file('/etc/passwd')",
        "select * from url('http://127.0.0.1:1/', 'CSV')",
        "select * from remote('127.0.0.1', system.one)",
        "select * from merge('hedgerow', '.*')",
        "select * from merge(hedgerow, 'events')",
        'select * from cluster(default, hedgerow.events)',
        'select * from mergeTreeIndex(hedgerow, events)',
        'select * from loop(hedgerow.events)',
        'select * from view(select * from system.tables)',
        "select * from executable('x', 'CSV', 'a String', (select 1))",
        "select * from dictionary('x')",
        "select dictGet('x', 'y', 1)",
        "select joinGet('x', 'y', 1)",
        "select * from input('a String')",
        "select * from eval('select 1')",
        "select * from viewExplain('EXPLAIN', '', (select 1))",
        'select sleep(3)',
        "select * apply(file) from (select '/etc/passwd')",
        "select * /**/ aPPLY file from (select '/etc/passwd')",
        "select columns('a') apply(x -> file(x)) from (select '/etc/passwd' as a)",
        'select 1 where (1 as `a\n Y`) in system.one',
        'select 1 where (1 as `a\\n Y`) in system.one',
        'select 1 where (1 as "a\n Y") in system.one',
        "select 1 where 'a\n Y' in system.one",
        "select 1 where 'a\\n Y' in (system.one)",
        'select * from {t : identifier }',
        'select 1 where 1 in hedgerow_internal.duplicates',
        'select * from {t:Identifier}',
        'select 1 where 1 in {t:Identifier}',
        'select * from events settings readonly = 0',
        'select * from (select * from events settings additional_table_filters = {})',
        'select * from events format CSV',
        "select * from events into outfile '/tmp/x'",
        'select 1; select 2',
        'select 1; drop table events',
        'insert into events (event) values (1)',
        'drop table events',
        'alter table events delete where 1',
        'set readonly = 0',
        'show tables',
        'describe events',
        'explain select 1',
        'use system',
        "select event from events prewhere throwIf(event = 'secret of another') = 0",
        'select 1 # comment\n',
        'select $x$ FORMAT $x$',
        'select ‘x’',
        'select 0x1FORMAT',
        'select * from (select 1',
        'select 1) union all (select 2',
        '1 select',
        '',
        ' ',
      ])('is refused when it reaches elsewhere: %s', async (sql) => {
        const answer = await store.queryProject(one, request(sql, { parameters: { t: 'system.tables' } }));
        const found = faultOf(answer);
        expect(['refused', 'invalid']).toContain(found.reason);
        expect(found.message).toMatch(/^[A-Z].*[.?\])…]$/s);
        expect(found.message).not.toMatch(/secret of another|DB::/);
      });

      it('may use what PostHog users use', async () => {
        for (const sql of [
          'select count(), uniq(distinct_id) from events where timestamp > now() - interval 10 year',
          "select properties.$browser, format('{}-{}', event, lib) from events",
          "select windowFunnel(60)(toDateTime(timestamp), event = 'a', event = 'b') from events group by person_id",
          'select properties.a, count() from events group by properties.a order by properties.a',
          'select count() from events where properties.a > 0 and properties.a = 1',
          'select arrayJoin([1, 2]) as x where x in (1, 2)',
          "select event from events where toString(properties.a) in ('1', '2') or event in ['a']",
          'select toStartOfDay(timestamp) as day, count() from events group by day order by day with fill',
          'select quantile(0.9)(toFloat64OrZero(toString(properties.a))) from events',
          'select lagInFrame(event) over (partition by person_id order by timestamp) from events',
          'select \'a;b\', "event" from events',
        ]) {
          expect(rowsOf(await store.queryProject(one, request(sql))), sql).toBeInstanceOf(Array);
        }
      });
    });
  });
}

const childPath = compiledChild();
storeContract('chdb', (dir) => openChdbStore({ dir, childPath }));
