// `npm run bench [-- --short] [-- --only http,all,decoder,log]`: each figure beside the yardstick, both in this one run. The server is
// pinned to core 0, the load to core 1. Claims are ratios: these machines are shared and noisy.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { benchDecoder } from './decoder.mjs';
import { load, loadTool, privateMegabytes } from './load.mjs';
import { benchLog } from './log.mjs';
import { benchResident } from './resident.mjs';
import { asciiBatch, batch, key, single } from './payloads.mjs';

const isShort = process.argv.includes('--short');
const onlyAt = process.argv.indexOf('--only');
const only = onlyAt < 0 ? ['decoder', 'log', 'http', 'resident', 'all'] : (process.argv[onlyAt + 1] ?? '').split(',');
const seconds = isShort ? 3 : 6;
const root = fileURLToPath(new URL('..', import.meta.url));
const serverCpu = 0;
const loadCpu = 1;

const env = {
  ...process.env,
  HEDGEROW_PUBLIC_API_KEY: key,
  HEDGEROW_PERSONAL_API_KEY: 'phx_bench',
  HEDGEROW_SKIP_BUILD: '1',
  HEDGEROW_LOG_LEVEL: 'error',
};

function start(args, isReady) {
  const child = spawn('taskset', ['-c', String(serverCpu), process.execPath, ...args], {
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.add(child);
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout.on('data', (chunk) => {
      text += chunk;
      const found = isReady(text);
      if (found) resolve({ child, url: found });
    });
    child.on('exit', (code) => reject(new Error(`exited with ${code}: ${text}`)));
  });
}

const startBare = () => start([join(root, 'bench/bare-server.mjs')], (text) => /http:\/\/[\d.:]+/.exec(text)?.[0]);

async function startHedgerow(role) {
  const dataDir = mkdtempSync(join(tmpdir(), 'hedgerow-bench-data-'));
  const started = await start(
    [join(root, 'bin/hedgerow.mjs'), 'start', '--port', '0', '--data-dir', dataDir, '--role', role],
    (text) => /http:\/\/[\d.:]+/.exec(text)?.[0],
  );
  return { ...started, dataDir };
}

async function stop({ child, dataDir }) {
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.removeAllListeners('exit');
  child.once('exit', () => {});
  child.kill('SIGTERM');
  await Promise.race([
    new Promise((resolve) => child.once('exit', resolve)),
    gone,
    new Promise((resolve) => setTimeout(resolve, 12_000)),
  ]);
  if (dataDir !== undefined) rmSync(dataDir, { recursive: true, force: true });
}

const children = new Set();
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

const cases = [
  { name: 'one event, 32 connections', body: single(1), events: 1, connections: 32 },
  { name: 'one event, 256 connections', body: single(1), events: 1, connections: 256 },
  { name: 'batch of 100, 8 connections', body: batch(), events: 100, connections: 8 },
  { name: 'batch of 100, 32 connections', body: batch(), events: 100, connections: 32 },
  { name: 'the same, ASCII alone, 32 connections', body: asciiBatch(), events: 100, connections: 32 },
  { name: 'batch of 100 gzipped, 32 connections', body: gzipSync(batch()), events: 100, connections: 32 },
];

const round = (value, digits = 0) => value.toFixed(digits).padStart(9);
function row(name, hedgerow, bare, events) {
  const ratio = hedgerow.requestsPerSecond / bare.requestsPerSecond;
  process.stdout.write(
    `${name.padEnd(38)} ${round(hedgerow.requestsPerSecond * events)} ${round(bare.requestsPerSecond * events)} ${ratio.toFixed(2).padStart(7)}   p50 ${hedgerow.p50Ms.toFixed(1)} ms, p99 ${hedgerow.p99Ms.toFixed(1)} ms${hedgerow.failures > 0 ? `, ${hedgerow.failures} not 2xx` : ''}\n`,
  );
  return ratio;
}

async function benchHttp() {
  process.stdout.write(
    `\nHTTP, ${loadTool}, ${seconds} s a figure; server on core ${serverCpu}, load on core ${loadCpu}\n${'--role capture, every 200 synced'.padEnd(38)} hedgerow/s     bare/s   ratio\n`,
  );
  const bare = await startBare();
  const hedgerow = await startHedgerow('capture');
  for (const { name, body, events, connections } of cases) {
    const options = { body, connections, cpu: loadCpu };
    // Alternating, so that both meet the same weather.
    await load({ ...options, url: `${hedgerow.url}/batch/`, seconds: 1 });
    const b1 = await load({ ...options, url: bare.url, seconds: Math.ceil(seconds / 2) });
    const h1 = await load({ ...options, url: `${hedgerow.url}/batch/`, seconds });
    const b2 = await load({ ...options, url: bare.url, seconds: Math.ceil(seconds / 2) });
    row(name, h1, { requestsPerSecond: (b1.requestsPerSecond + b2.requestsPerSecond) / 2 }, events);
  }
  process.stdout.write(`private memory after that: ${privateMegabytes([hedgerow.child.pid]).toFixed(0)} MB\n`);
  await stop(hedgerow);
  await stop(bare);
}

/** All of them at one moment: @returns the number of a name */
async function metrics(url) {
  const text = await (await fetch(`${url}/metrics`)).text();
  return (name) => Number(new RegExp(`^${name} (\\S+)`, 'm').exec(text)?.[1] ?? Number.NaN);
}

const metric = async (url, name) => (await metrics(url))(name);

/** Means of a fifth of the samples each. */
function fifths(samples) {
  const length = Math.max(1, Math.floor(samples.length / 5));
  return [0, 1, 2, 3, 4].map((i) => {
    const part = samples.slice(i * length, (i + 1) * length);
    return part.reduce((sum, each) => sum + each, 0) / part.length;
  });
}

async function benchAll() {
  process.stdout.write(
    `\nEverything on one core, loading included: what waits to be loaded in the first, the middle and the last fifth of the time (means)\n`,
  );
  const bare = await startBare();
  for (const { name, body, events, connections, share } of [
    { ...cases[1], share: 0.35 },
    { ...cases[3], share: 0.1 },
  ]) {
    const measured = await load({ url: bare.url, body, connections, cpu: loadCpu, seconds: 3 });
    const hedgerow = await startHedgerow('capture,loader,query');
    const target = measured.requestsPerSecond * share;
    const lastMs = isShort ? 10_000 : 60_000;
    const before = await metric(hedgerow.url, 'hedgerow_events_stored_total');
    const waiting = [];
    const sample = async () => {
      const numbers = await metrics(hedgerow.url);
      const stored = numbers('hedgerow_events_stored_total') + numbers('hedgerow_events_duplicate_total') - before;
      waiting.push(numbers('hedgerow_events_accepted_total') - stored);
    };
    const sampler = setInterval(() => void sample(), lastMs / 60);
    const sent = await paced({ url: `${hedgerow.url}/batch/`, body: Buffer.from(body), perSecond: target, lastMs });
    clearInterval(sampler);
    const [first, , middle, , last] = fifths(waiting);
    const perSecond = target * events;
    const trend = last > middle + perSecond ? 'grows' : 'does not grow by a second of load';
    process.stdout.write(
      `${name.padEnd(38)} asked for ${perSecond.toFixed(0)} events/s (${share} of bare), took ${((sent.answered * events * 1000) / lastMs).toFixed(0)}/s for ${lastMs / 1000} s, waiting ${first.toFixed(0)} / ${middle.toFixed(0)} / ${last.toFixed(0)} events: ${trend}; p99 ${sent.p99Ms.toFixed(1)} ms\n`,
    );
    await stop(hedgerow);
  }
  await stop(bare);
}

/** A steady rate, by a worker pinned to the load's core. */
function paced(options) {
  return new Promise((resolve, reject) => {
    const child = spawn(
      'taskset',
      [
        '-c',
        String(loadCpu),
        process.execPath,
        join(root, 'bench/paced.mjs'),
        options.url,
        String(options.perSecond),
        String(options.lastMs),
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    let text = '';
    child.stdout.on('data', (chunk) => (text += chunk));
    child.on('exit', (code) =>
      code === 0 ? resolve(JSON.parse(text)) : reject(new Error(`paced load exited with ${code}`)),
    );
    child.stdin.end(options.body);
  });
}

if (only.includes('decoder')) benchDecoder({ seconds: isShort ? 1 : 3 });
if (only.includes('log')) await benchLog({ seconds: isShort ? 1 : 3 });
if (only.includes('http')) await benchHttp();
if (only.includes('resident')) await benchResident({ root, env, isShort });
if (only.includes('all')) await benchAll();
