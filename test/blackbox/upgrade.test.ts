/**
 * A data folder of every earlier format is opened and migrated. The folders are made by make-folder.mjs beside them, with
 * the build of the commit in their name; `now` is of the format as it is, so that a change of it that forgets about folders
 * that exist fails here.
 */
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it, onTestFinished } from 'vitest';
import {
  ask,
  bearer,
  freshFolder,
  type Hedgerow,
  post,
  root,
  sql,
  startHedgerow,
  testKeys,
} from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';

const fixtures = join(root, 'test', 'fixtures', 'data-folders');
const names = readdirSync(fixtures).filter((name) => name.endsWith('.tar.gz'));

/** What make-folder.mjs sends: `killed` has a second burst, of which the log alone knows a part. */
const expectedOf = {
  stopped: { events: 301, rejections: 2, duplicates: 20 },
  killed: { events: 501, rejections: 3, duplicates: 21 },
} as const;

/** Records that these had loaded; the ledger came later. */
const loadedWithoutLedger: Readonly<Record<string, number>> = {
  '48b97fe-stopped.tar.gz': 323,
  '48b97fe-killed.tar.gz': 373,
};

const scratch = freshFolder();
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function uuidOf(n: number): string {
  return `018f0000-0000-7000-8000-${String(n).padStart(12, '0')}`;
}

async function opened(name: string): Promise<Hedgerow> {
  const dataDir = join(scratch, name);
  mkdirSync(dataDir);
  execFileSync('tar', ['-C', dataDir, '-xzf', join(fixtures, name)]);
  // The keys are those of the folder: none are given.
  const server = await startHedgerow({
    dataDir,
    env: { HEDGEROW_PROJECT_API_KEY: '', HEDGEROW_PUBLIC_API_KEY: '', HEDGEROW_PERSONAL_API_KEY: '' },
  });
  onTestFinished(async () => {
    await server.stop();
  });
  return server;
}

async function look(server: Hedgerow, uuid: string): Promise<Record<string, unknown>> {
  return (await ask(`${server.url}/api/projects/@current/events/${uuid}/`, { headers: bearer })).json as Record<
    string,
    unknown
  >;
}

describe('folders of earlier formats', () => {
  it('are there: the first release, stopped and killed, and the format as it is now', () => {
    for (const name of ['48b97fe-stopped', '48b97fe-killed', 'now-stopped', 'now-killed']) {
      expect(names).toContain(`${name}.tar.gz`);
    }
  });

  it.each(names)(
    '%s is opened, has every event once, takes new ones, and answers look-ups',
    async (name) => {
      const expected = expectedOf[name.includes('-killed') ? 'killed' : 'stopped'];
      const server = await opened(name);
      expect(server.output.stdout).not.toContain('phx_');
      await until(async () => Number((await sql(server, 'select count() from events'))[0]?.[0]) >= expected.events, {
        deadlineMs: 60_000,
        what: `${expected.events} events are stored`,
      });

      const rows = await sql(
        server,
        `select toString(uuid), event, distinct_id, toString(properties.n), toString(properties.text), toString(timestamp)
        from events order by toString(uuid)`,
      );
      expect(rows).toEqual(
        Array.from({ length: expected.events }, (_, n) => [
        uuidOf(n), n % 3 === 0 ? 'paid' : 'viewed', `user ${n % 7}`, String(n), `größe ${n}`, '2026-01-02 03:04:05.678000',
      ]), // prettier-ignore
      );
      await until(
        async () => Number((await sql(server, 'select count() from rejections'))[0]?.[0]) === expected.rejections,
        {
          deadlineMs: 20_000,
          what: `${expected.rejections} rejections are stored`,
        },
      );
      const codes = (await sql(server, 'select code, count() from rejections group by code order by code')).map(
        ([code]) => code,
      );
      expect(codes).toEqual(['invalid_uuid', 'missing_distinct_id']);
      for (const n of [0, 5, 300]) expect(await look(server, uuidOf(n))).toMatchObject({ status: 'stored' });

      const fresh = randomUUID();
      const sent = await post(`${server.url}/batch/`, {
        api_key: testKeys.public,
        batch: [
          { event: 'new', distinct_id: 'd', uuid: fresh },
          { event: 'again', distinct_id: 'd', uuid: uuidOf(7) },
          { event: 'bad' },
        ],
      });
      expect(sent.status).toBe(200);
      await until(async () => (await look(server, fresh))['status'] === 'stored', {
        deadlineMs: 20_000,
        what: 'the new event is stored',
      });
      expect((await sql(server, 'select count(), uniqExact(uuid) from events'))[0]).toEqual([
        expected.events + 1,
        expected.events + 1,
      ]);

      // What was loaded before there was a ledger is not in it.
      const all = expected.events + expected.rejections + expected.duplicates;
      const received = all - (loadedWithoutLedger[name] ?? 0) + 3;
      const ledger = await until(
        async () => {
          const [row = []] = await sql(
            server,
            'select sum(received), sum(accepted), sum(rejected), sum(stored), sum(duplicate) from ledger',
          );
          return Number(row[0]) >= received ? row.map(Number) : undefined;
        },
        { deadlineMs: 20_000, what: `the ledger has ${received} events` },
      );
      const [, accepted = 0, rejected = 0, stored = 0, duplicate = 0] = ledger;
      expect(ledger[0]).toBe(received);
      expect(received).toBe(accepted + rejected);
      expect(accepted).toBe(stored + duplicate);
      if (loadedWithoutLedger[name] === undefined) {
        expect({ rejected, stored, duplicate }).toEqual({
          rejected: expected.rejections + 1,
          stored: expected.events + 1,
          duplicate: expected.duplicates + 1,
        });
      }
    },
    120_000,
  );
});
