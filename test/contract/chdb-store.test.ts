import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { compiledChild } from './compiled-child.ts';
import { recordOf } from './record-fixtures.ts';
import { RecordView } from '../../src/record/record-view.ts';
import { EventRows } from '../../src/store/row-binary.ts';
import {
  StoreFromNewerVersion,
  StoreInUse,
  StoreUnavailable,
  type QueryAnswer,
  type QueryFault,
} from '../../src/store/store.ts';
import { openChdbStore, type ChdbStore } from '../../src/store/chdb/chdb-store.ts';

async function until(what: () => boolean, deadlineMs = 10_000): Promise<void> {
  const endMs = performance.now() + deadlineMs;
  while (!what()) {
    if (performance.now() > endMs) throw new Error(`not within ${deadlineMs} ms: ${what.toString()}`);
    await sleep(20);
  }
}

/** Process ids of the engines that hold `dir`. */
function engines(dir: string): number[] {
  try {
    const found = execFileSync('pgrep', ['-f', `child.js .*${dir}`], { encoding: 'utf8' });
    return found.trim().split('\n').map(Number);
  } catch {
    return [];
  }
}

function ask(store: ChdbStore, sql: string): Promise<QueryAnswer | QueryFault> {
  return store.query({ sql, parameters: {}, limits: { timeoutMs: 10_000, maxRows: 10 }, signal: undefined });
}

function insertOne(store: ChdbStore, deduplicationToken: string): Promise<void> {
  const rows = new EventRows();
  const view = new RecordView(recordOf({}));
  view.next();
  rows.add(view, { stream: 'one', sequence: 0 }, { kind: 'parse' });
  return store.insert({ kind: 'events', rows: rows.rows(), count: 1, deduplicationToken });
}

describe('the store’s child process', () => {
  let childPath = '';
  const dirs: string[] = [];
  const newDir = (): string => {
    const dir = mkdtempSync(join(tmpdir(), 'hedgerow-chdb-'));
    dirs.push(dir);
    return dir;
  };
  beforeAll(() => {
    childPath = compiledChild();
  }, 30_000);
  afterEach(() => {
    for (const dir of dirs.splice(0)) rmSync(dir, { recursive: true, force: true });
  });

  it('is started again when it dies; what was in flight ends as unavailable, what was answered is there', async () => {
    const dir = newDir();
    const lost: string[] = [];
    const store = await openChdbStore({ dir, childPath, onChildLost: (reason) => lost.push(reason) });
    await insertOne(store, 'a:1');
    const slow = ask(store, 'SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1');
    await sleep(200);
    for (const pid of engines(dir)) process.kill(pid, 'SIGKILL');
    expect(await slow).toMatchObject({ kind: 'fault', reason: 'unavailable' });
    expect(store.isReady()).toBe(false);
    await expect(insertOne(store, 'a:2')).rejects.toBeInstanceOf(StoreUnavailable);
    await until(() => store.isReady());
    expect(lost).toHaveLength(1);
    expect(await ask(store, 'SELECT count() FROM hedgerow.events')).toMatchObject({ rowsJson: '[[1]]' });
    await store.close();
    expect(engines(dir)).toEqual([]);
    expect(readdirSync(join(dir, 'incoming'))).toEqual([]);
  }, 30_000);

  it('ignores the signals that a terminal sends to the whole group', async () => {
    const dir = newDir();
    const store = await openChdbStore({ dir, childPath });
    for (const pid of engines(dir)) for (const signal of ['SIGINT', 'SIGTERM']) process.kill(pid, signal);
    await sleep(200);
    expect(await ask(store, 'SELECT 1')).toMatchObject({ rowsJson: '[[1]]' });
    await store.close();
    await expect(insertOne(store, 'a:3')).rejects.toBeInstanceOf(StoreUnavailable);
    await store.close();
  }, 30_000);

  it('ends when its parent is killed, and a new parent waits for the folder', async () => {
    const dir = newDir();
    const compiled = join(dirname(childPath), 'chdb-store.js');
    const script = `import(${JSON.stringify(compiled)}).then(async (m) => {
      const store = await m.openChdbStore({ dir: ${JSON.stringify(dir)} });
      process.stdout.write('open');
      store.query({ sql: 'SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1', parameters: {},
        limits: { timeoutMs: 60000, maxRows: 1 } });
    })`;
    const parent = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(parent.stdout, 'data');
    await expect(openChdbStore({ dir, childPath, lockWaitMs: 500 })).rejects.toBeInstanceOf(StoreInUse);
    await sleep(200);
    parent.kill('SIGKILL');
    const store = await openChdbStore({ dir, childPath });
    expect(engines(dir)).toHaveLength(1);
    await store.close();
  }, 30_000);

  it('refuses a folder that a newer version wrote, and says what to do', async () => {
    const dir = newDir();
    const store = await openChdbStore({ dir, childPath });
    await ask(store, "INSERT INTO hedgerow_internal.schema_version (version, title) VALUES (999, 'x')");
    await store.close();
    const again = openChdbStore({ dir, childPath });
    await expect(again).rejects.toBeInstanceOf(StoreFromNewerVersion);
    await expect(again).rejects.toThrow(/999.*newer Hedgerow/);
    expect(engines(dir)).toEqual([]);
  }, 30_000);
});
