// Drives a server with wrk (installed by scripts/services/wrk.sh), or with autocannon where there is none.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const hasWrk = spawnSync('wrk', ['--version']).error === undefined;
export const loadTool = hasWrk ? 'wrk' : 'autocannon';
const folder = mkdtempSync(join(tmpdir(), 'hedgerow-bench-'));

function capture(command, args) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    child.stdout.on('data', (chunk) => (text += chunk));
    child.stderr.on('data', (chunk) => (text += chunk));
    child.on('error', reject);
    child.on('exit', () => resolve(text));
  });
}

const toMs = (text) => Number.parseFloat(text) * (text.endsWith('us') ? 0.001 : text.endsWith('ms') ? 1 : 1000);

/** @returns requests a second, latencies in ms, and answers that were not 2xx */
export async function load({ url, body, headers = {}, connections, seconds, cpu }) {
  const bodyFile = join(folder, 'body');
  writeFileSync(bodyFile, body);
  if (hasWrk) {
    const script = join(folder, 'post.lua');
    const lines = Object.entries({ 'Content-Type': 'application/json', ...headers }).map(
      ([name, value]) => `wrk.headers["${name}"] = "${value}"`,
    );
    writeFileSync(
      script,
      `wrk.method = "POST"\nlocal f = io.open("${bodyFile}", "rb")\nwrk.body = f:read("*a")\nf:close()\n${lines.join('\n')}\n`,
    );
    const text = await capture('taskset', [
      '-c',
      String(cpu),
      'wrk',
      '-t1',
      `-c${connections}`,
      `-d${seconds}s`,
      '--latency',
      '-s',
      script,
      url,
    ]);
    const rate = /Requests\/sec:\s+([\d.]+)/.exec(text);
    if (rate === null) throw new Error(`wrk failed: ${text}`);
    return {
      requestsPerSecond: Number(rate[1]),
      p50Ms: toMs(/50%\s+(\S+)/.exec(text)?.[1] ?? '0ms'),
      p99Ms: toMs(/99%\s+(\S+)/.exec(text)?.[1] ?? '0ms'),
      failures: Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0),
    };
  }
  const autocannon = fileURLToPath(new URL('../node_modules/autocannon/autocannon.js', import.meta.url));
  const args = [
    '-c',
    String(connections),
    '-d',
    String(seconds),
    '-m',
    'POST',
    '-i',
    bodyFile,
    '-j',
    '-n',
    '-H',
    'Content-Type=application/json',
  ];
  for (const [name, value] of Object.entries(headers)) args.push('-H', `${name}=${value}`);
  const text = await capture('taskset', ['-c', String(cpu), process.execPath, autocannon, ...args, url]);
  const result = JSON.parse(text.slice(text.indexOf('{')));
  return {
    requestsPerSecond: result.requests.average,
    p50Ms: result.latency.p50,
    p99Ms: result.latency.p99,
    failures: result.non2xx,
  };
}

/** Memory that belongs to these processes alone, MB. */
export function privateMegabytes(pids) {
  let kilobytes = 0;
  for (const pid of pids) {
    const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    for (const [, value] of text.matchAll(/Private_(?:Clean|Dirty):\s+(\d+)/g)) kilobytes += Number(value);
  }
  return kilobytes / 1024;
}
