/** What the store has, by SQL over the query API, as any client would read it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { CommandFailure } from '../command-failure.ts';
import { requestText } from '../server-request.ts';
import type { Comparison } from './comparison.ts';
import { digestSql } from './event-series.ts';
import type { Load } from './load.ts';
import type { VerifiedServer } from './server-process.ts';

/** Below the 50,000 rows of an answer, since a hash does not divide evenly. */
const PAGE_ROWS = 40_000;
/** Without any progress. */
const LOAD_DEADLINE_MS = 60_000;
const POLL_MS = 50;

const answer = z.object({ results: z.array(z.array(z.unknown())), hasMore: z.boolean() });

/** @throws CommandFailure with the server's own sentence */
export async function rowsOf(server: VerifiedServer, sql: string): Promise<readonly (readonly unknown[])[]> {
  const address = { url: server.url, personalKey: server.keys.personal };
  const text = await requestText(address, '/api/projects/@current/query/', {
    query: { kind: 'HogQLQuery', query: sql },
  });
  const { results, hasMore } = answer.parse(JSON.parse(text));
  if (hasMore) throw new CommandFailure('A page of the comparison held more rows than an answer may have.');
  return results;
}

/** A count of rows. */
export async function countOf(server: VerifiedServer, where: string): Promise<number> {
  return Number((await rowsOf(server, `select count() from events where ${where}`))[0]?.[0]);
}

/** Every row of `events` and `rejections`; pages by a hash, so that no row is between two pages. */
export async function feed(
  server: VerifiedServer,
  comparison: Comparison,
  onPage: (rows: number) => void,
): Promise<void> {
  const total = await countOf(server, '1');
  const pages = Math.max(1, Math.ceil(total / PAGE_ROWS));
  for (let page = 0; page < pages; page++) {
    const rows = await rowsOf(
      server,
      `select toString(uuid), ${digestSql} from events where cityHash64(uuid) % ${pages} = ${page}`,
    );
    for (const [uuid, digest] of rows) comparison.seeEvent(String(uuid), String(digest));
    onPage(comparison.rows);
  }
  const refused = Number((await rowsOf(server, 'select count() from rejections'))[0]?.[0]);
  const refusedPages = Math.max(1, Math.ceil(refused / PAGE_ROWS));
  for (let page = 0; page < refusedPages; page++) {
    const rows = await rowsOf(
      server,
      `select toString(uuid) from rejections where cityHash64(uuid) % ${refusedPages} = ${page}`,
    );
    for (const [uuid] of rows) comparison.seeRejection(String(uuid));
  }
}

/**
 * An event is sent and waited for first: just after a start the lag may read as 0, since the loader does not know yet what
 * the log holds.
 *
 * @returns whether the store has all that was acknowledged; false when it stopped loading, or `signal` came
 */
export async function untilLoaded(
  server: VerifiedServer,
  load: Load,
  { signal, onLag = () => undefined }: { readonly signal: AbortSignal; readonly onLag?: (lag: number) => void },
): Promise<boolean> {
  let last: string | undefined;
  let isLastFound = false;
  let least = Number.POSITIVE_INFINITY;
  let endMs = Date.now() + LOAD_DEADLINE_MS;
  while (Date.now() < endMs && !server.hasDied && !signal.aborted) {
    last ??= await load.sendOne(server);
    isLastFound ||= last !== undefined && (await countOf(server, `uuid = '${last}'`)) > 0;
    const lag = await loaderLag(server);
    if (isLastFound && lag === 0) return true;
    if (lag > 0 && lag < least) {
      least = lag;
      endMs = Date.now() + LOAD_DEADLINE_MS; // it goes on
    }
    onLag(lag);
    await sleep(POLL_MS);
  }
  return false;
}

const LAG = /^hedgerow_loader_lag_events (\d+)/m;

/** Events that are acknowledged and not in the store yet. */
async function loaderLag(server: VerifiedServer): Promise<number> {
  const address = { url: server.url, personalKey: undefined };
  return Number(LAG.exec(await requestText(address, '/metrics'))?.[1] ?? Number.NaN);
}
