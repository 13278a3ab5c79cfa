// A server at home: how fast it loads a backlog, how fast it starts with that data in place, what it costs when idle, and how long an
// event takes from its 200 to SQL at 1,000 events/s. No core is pinned: this is the laptop's case.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { load, privateMegabytes } from './load.mjs';
import { batch, key } from './payloads.mjs';

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function startServer({ root, env, dataDir, role }) {
  const startedMs = performance.now();
  const child = spawn(
    process.execPath,
    [join(root, 'bin/hedgerow.mjs'), 'start', '--port', '0', '--data-dir', dataDir, '--role', role],
    { env, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const exited = new Promise((resolve) => child.once('exit', resolve));
  const listening = new Promise((resolve, reject) => {
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
      const url = /http:\/\/[\d.:]+/.exec(text)?.[0];
      if (url !== undefined) resolve(url);
    });
    child.once('exit', (code) => reject(new Error(`exited with ${code}: ${text}`)));
  });
  const url = await listening;
  while (!(await fetch(`${url}/_readiness`)).ok) await sleep(5);
  return { child, url, exited, readyMs: performance.now() - startedMs };
}

async function stopServer({ child, exited }) {
  child.kill('SIGTERM');
  await exited;
}

async function metric(url, name) {
  return Number(
    new RegExp(`^${name} (\\S+)`, 'm').exec(await (await fetch(`${url}/metrics`)).text())?.[1] ?? Number.NaN,
  );
}

const childrenOf = (pid) =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);

function cpuTicks(pids) {
  return pids.reduce((sum, pid) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return sum + Number(fields[11]) + Number(fields[12]);
  }, 0);
}

const ticksASecond = Number(spawnSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }).stdout);
const percentOfACore = (ticks, seconds) => (ticks / ticksASecond / seconds) * 100;

function dirtyMegabytes(pids) {
  return pids.reduce((sum, pid) => {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    return sum + Number(/^Private_Dirty:\s+(\d+)/m.exec(text)?.[1] ?? 0) / 1024;
  }, 0);
}

/**
 * What it costs at rest. Merges go on behind a load: the figure is taken once two seconds have used less than 2 % of a
 * core, or after a minute, and says how long that took.
 */
async function idle(label, server) {
  const pids = [server.child.pid, ...childrenOf(server.child.pid)];
  const startMs = performance.now();
  for (let percent = 100; percent >= 2 && performance.now() - startMs < 60_000;) {
    const before = cpuTicks(pids);
    await sleep(2000);
    percent = percentOfACore(cpuTicks(pids) - before, 2);
  }
  const settledS = (performance.now() - startMs) / 1000;
  const before = cpuTicks(pids);
  await sleep(10_000);
  const percent = percentOfACore(cpuTicks(pids) - before, 10);
  // Clean private pages are code that no other process happens to use; the kernel takes them back at will.
  process.stdout.write(
    `idle, ${label}: ${percent.toFixed(2)} % of a core, at rest after ${settledS.toFixed(0)} s; ${privateMegabytes(pids).toFixed(0)} MB private in ${pids.length} processes, ${dirtyMegabytes(pids).toFixed(0)} MB of it written to\n`,
  );
}

async function count(url, where) {
  const query = `select count() from events where ${where}`;
  const answer = await fetch(`${url}/api/projects/@current/query/`, {
    method: 'POST',
    headers: { Authorization: 'Bearer phx_bench', 'Content-Type': 'application/json' },
    body: JSON.stringify({ query: { kind: 'HogQLQuery', query } }),
  });
  return Number((await answer.json()).results[0][0]);
}

/** One event in every 50 ms is watched while 1,000 a second come in. */
async function freshness(url, seconds) {
  const post = (body) =>
    fetch(`${url}/batch/`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body });
  const delays = [];
  const watches = [];
  const endMs = performance.now() + seconds * 1000;
  for (let tick = 0; performance.now() < endMs; tick++) {
    const dueMs = performance.now() + 50;
    const name = `watched-${tick}`;
    const events = Array.from({ length: 50 }, (_, i) => ({
      event: i === 0 ? name : 'steady',
      distinct_id: `d${i}`,
      properties: { i },
    }));
    await post(JSON.stringify({ api_key: key, batch: events }));
    const ackedMs = performance.now();
    if (tick % 10 === 0) {
      watches.push(
        (async () => {
          while ((await count(url, `event = '${name}'`)) === 0) await sleep(10);
          delays.push(performance.now() - ackedMs);
        })(),
      );
    }
    await sleep(Math.max(0, dueMs - performance.now()));
  }
  await Promise.all(watches);
  delays.sort((a, b) => a - b);
  return {
    p50Ms: delays[Math.floor(delays.length / 2)],
    p99Ms: delays[Math.floor(delays.length * 0.99)],
    watched: delays.length,
  };
}

export async function benchResident({ root, env, isShort }) {
  const dataDir = mkdtempSync(join(tmpdir(), 'hedgerow-bench-home-'));
  const writer = await startServer({ root, env, dataDir, role: 'capture' });
  await load({ url: `${writer.url}/batch/`, body: batch(), connections: 32, seconds: isShort ? 1 : 3, cpu: 1 });
  const accepted = await metric(writer.url, 'hedgerow_events_accepted_total');
  await stopServer(writer);

  const loading = await startServer({ root, env, dataDir, role: 'capture,loader,query' });
  const startMs = performance.now();
  while ((await metric(loading.url, 'hedgerow_events_stored_total')) < accepted) await sleep(50);
  const tookS = (performance.now() - startMs) / 1000;
  process.stdout.write(
    `\nloader, a backlog of ${accepted} events: ${(accepted / tookS).toFixed(0)} events/s, both cores free\n`,
  );
  await idle('after that load', loading);
  await stopServer(loading);

  const server = await startServer({ root, env, dataDir, role: 'capture,loader,query' });
  process.stdout.write(`start to ready with ${accepted} events in place: ${server.readyMs.toFixed(0)} ms\n`);
  await idle('started anew', server);
  const fresh = await freshness(server.url, isShort ? 5 : 20);
  process.stdout.write(
    `200 to visible in SQL at 1,000 events/s: p50 ${fresh.p50Ms.toFixed(0)} ms, p99 ${fresh.p99Ms.toFixed(0)} ms (${fresh.watched} watched)\n`,
  );
  await stopServer(server);
  rmSync(dataDir, { recursive: true, force: true });
}
