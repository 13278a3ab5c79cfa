/** Starts that cannot succeed say why in one sentence, and leave what runs alone; stops lose nothing. */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { open as openLmdb } from 'lmdb';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ask,
  bin,
  cleanEnv,
  freshFolder,
  post,
  startHedgerow,
  stopAndRemove,
  testEnv,
  testKeys,
  untilCounted,
  type Hedgerow,
} from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a start that should end by itself. */
function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): Run {
  const done = spawnSync(process.execPath, [bin, 'start', ...args], {
    env: cleanEnv({ ...testEnv, ...env }),
    encoding: 'utf8',
    timeout: 20_000, // a start that wrongly succeeds is ended
  });
  return { code: done.status, stdout: done.stdout, stderr: done.stderr };
}

/** No stack, no second opinion: what a person reads who starts a server. */
function expectOneSentence(run: Run, code: number, saying: RegExp): void {
  expect(run.stderr).toMatch(saying);
  expect(run.stderr).not.toMatch(/\n\s+at |node:internal|Error:/);
  expect(run.stderr.trim().split('\n').length).toBeLessThanOrEqual(2);
  expect(run.code).toBe(code);
}

const event = (name: string): object => ({ api_key: testKeys.public, event: name, distinct_id: 'd' });

describe('beside a server that runs', () => {
  let running: Hedgerow;

  beforeAll(async () => {
    running = await startHedgerow();
  });
  afterAll(async () => {
    await stopAndRemove(running);
  });

  async function expectRunning(name: string): Promise<void> {
    expect((await post(`${running.url}/e/`, event(name))).status).toBe(200);
    await untilCounted(running, `event = '${name}'`, 1);
    expect(readFileSync(join(running.dataDir, 'server.json'), 'utf8')).toContain(running.url);
  }

  it('the same port is refused, naming the port and the way out', async () => {
    const folder = freshFolder();
    const run = start(['--port', String(running.port), '--data-dir', folder]);
    expectOneSentence(run, 1, new RegExp(`[Pp]ort ${running.port}.*in use.*--port`));
    await expectRunning('after a port in use');
  });

  it('a first start that failed on its port prints no keys, and the next one does', async () => {
    const folder = freshFolder();
    const refused = start(['--port', String(running.port), '--data-dir', folder]);
    expect(refused.stdout).not.toContain(testKeys.personal);
    const second = await startHedgerow({ dataDir: folder });
    await until(() => second.output.stdout.includes(testKeys.personal), { deadlineMs: 5_000, what: 'keys' });
    await stopAndRemove(second);
  });

  it('the same data folder is refused, and both of its answers stay readable', async () => {
    const run = start(['--port', '0', '--data-dir', running.dataDir]);
    expectOneSentence(run, 1, /[Aa]nother Hedgerow uses this/);
    await expectRunning('after a folder in use');
  });

  it('a capture process on the same folder works, and the running loader has its events', async () => {
    const capture = await startHedgerow({ dataDir: running.dataDir, args: ['--role', 'capture'] });
    for (let i = 0; i < 20; i++) expect((await post(`${capture.url}/e/`, event('from aside'))).status).toBe(200);
    await untilCounted(running, "event = 'from aside'", 20);
    expect((await ask(`${capture.url}/api/projects/`)).status).toBe(404);
    await expectRunning('beside a capture process');
    expect(await capture.stop()).toBe(0);
    await expectRunning('after a capture process');
  });

  it('a capture process that is killed loses nothing that it answered', async () => {
    const capture = await startHedgerow({ dataDir: running.dataDir, args: ['--role', 'capture'], ownGroup: true });
    for (let i = 0; i < 5; i++) expect((await post(`${capture.url}/e/`, event('from the dead'))).status).toBe(200);
    await capture.killGroup();
    await untilCounted(running, "event = 'from the dead'", 5);
    await expectRunning('after a killed capture process');
  });

  it('a query process on the same folder is refused', async () => {
    expectOneSentence(
      start(['--port', '0', '--data-dir', running.dataDir, '--role', 'query']),
      1,
      /[Aa]nother Hedgerow uses this/,
    );
    await expectRunning('after a refused query process');
  });
});

describe('a data folder that cannot be used', () => {
  it('is a file', () => {
    const file = join(freshFolder(), 'file');
    writeFileSync(file, 'mine');
    expectOneSentence(start(['--port', '0', '--data-dir', file]), 1, /no folder/);
    expect(readFileSync(file, 'utf8')).toBe('mine');
  });

  it('lies below a file', () => {
    const file = join(freshFolder(), 'file');
    writeFileSync(file, 'mine');
    expectOneSentence(start(['--port', '0', '--data-dir', join(file, 'below')]), 1, /no folder/);
  });

  it('is read-only', () => {
    expectOneSentence(start(['--port', '0', '--data-dir', '/proc/hedgerow']), 1, /data folder \/proc\/hedgerow/);
  });

  it.each(['registry', 'log', 'store'])('has a file in place of its folder %s', (part) => {
    const folder = freshFolder();
    writeFileSync(join(folder, part), 'mine');
    const run = start(['--port', '0', '--data-dir', folder]);
    expectOneSentence(run, 1, new RegExp(`${part}|${folder}`));
  });
});

describe('a data folder of a newer version is refused without a change', () => {
  async function usedFolder(): Promise<string> {
    const server = await startHedgerow();
    await post(`${server.url}/e/`, event('old'));
    await untilCounted(server, "event = 'old'", 1);
    await server.stop();
    return server.dataDir;
  }

  it('its registry', async () => {
    const folder = await usedFolder();
    const registry = openLmdb<unknown>({ path: join(folder, 'registry'), noSubdir: false, encoding: 'json' });
    await registry.put(['meta', 'format'], 99);
    await registry.close();
    expectOneSentence(start(['--port', '0', '--data-dir', folder]), 1, /newer version.*99/s);
    rmSync(folder, { recursive: true });
  });

  it('its log', async () => {
    const folder = await usedFolder();
    const [stream = ''] = readdirSync(join(folder, 'log'));
    const segment = readdirSync(join(folder, 'log', stream)).find((name) => /seg/i.test(name)) ?? '';
    const path = join(folder, 'log', stream, segment);
    const bytes = readFileSync(path);
    bytes.writeUInt16LE(99, 8);
    writeFileSync(path, bytes);
    expectOneSentence(start(['--port', '0', '--data-dir', folder]), 1, /version 99/);
    expect(readFileSync(path).equals(bytes)).toBe(true);
    rmSync(folder, { recursive: true });
  });
});

describe('usage', () => {
  it.each<[string, string[], Record<string, string>, RegExp]>([
    ['an unknown flag', ['--prot', '1'], {}, /--prot.*--port/s],
    ['an unknown variable', [], { HEDGEROW_PROT: '1' }, /HEDGEROW_PROT.*HEDGEROW_PORT/s],
    ['a port that is none', ['--port', '70000'], {}, /port.*65535/is],
    ['a role that is none', ['--role', 'captur'], {}, /captur.*capture/is],
    ['a flag without its value', ['--port'], {}, /--port/],
    ['an argument too many', ['extra'], {}, /extra|argument/],
    ['a file that is not there', ['--config', '/nowhere/hedgerow.yaml'], {}, /\/nowhere\/hedgerow\.yaml/],
    ['a personal key as project key', [], { HEDGEROW_PROJECT_API_KEY: 'phx_secret_1234' }, /PROJECT_API_KEY/],
  ])('%s is exit code 2 with the reason', (_name, args, env, saying) => {
    const run = start(args, env);
    expect(run.stderr).toMatch(saying);
    expect(run.stderr).not.toMatch(/phx_secret_1234|\n\s+at /);
    expect(run.code).toBe(2);
  });

  it('an engine that this version has not is refused instead of being ignored', () => {
    const folder = freshFolder();
    for (const flag of ['--store-url=clickhouse://u:p@localhost:8123/db', '--log-url=kafka://localhost:9092/x']) {
      expect(start([flag, '--print-config']).stdout).not.toContain('u:p@');
      const run = start(['--port', '0', '--data-dir', folder, flag]);
      expect(run.stderr).toMatch(/clickhouse|kafka/);
      expect(run.code).not.toBe(0);
    }
  });

  it('--print-config shows each value and its origin, and masks secrets', () => {
    const run = start(['--print-config', '--port', '1234'], { HEDGEROW_HOST: '127.0.0.9' });
    expect(run.code).toBe(0);
    expect(run.stdout).toMatch(/port.*1234.*flag|1234.*--port/i);
    expect(run.stdout).toMatch(/127\.0\.0\.9.*HEDGEROW_HOST/);
    for (const key of Object.values(testKeys)) expect(run.stdout).not.toContain(key);
  });
});

describe('a stop', () => {
  function openRequest(server: Hedgerow, body: string): { socket: Socket; text: () => string; rest: () => void } {
    let text = '';
    const socket = connect(server.port, '127.0.0.1', () => {
      const head = `POST /e/ HTTP/1.1\r\nHost: x\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
      socket.write(head + body.slice(0, 20));
    });
    socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    socket.on('error', () => undefined);
    return { socket, text: () => text, rest: () => socket.write(body.slice(20)) };
  }

  it('answers the request in flight, then exits 0 within 10 s, and the event is there after the next start', async () => {
    const server = await startHedgerow();
    const open = openRequest(server, JSON.stringify(event('in flight')));
    await until(() => open.socket.bytesWritten > 20, { deadlineMs: 2_000, what: 'the head is sent' });
    await ask(`${server.url}/_liveness`);
    const startedMs = Date.now();
    server.process.kill('SIGTERM');
    await until(() => (server.output.stdout + server.output.stderr).includes('stopping'), {
      deadlineMs: 5_000,
      what: 'the drain begins',
    });
    open.rest();
    expect(await server.exited).toBe(0);
    expect(Date.now() - startedMs).toBeLessThan(10_000);
    expect(open.text()).toMatch(/^HTTP\/1\.1 200 [\s\S]*connection: close[\s\S]*"Ok"/i);
    const again = await startHedgerow({ dataDir: server.dataDir });
    await untilCounted(again, "event = 'in flight'", 1);
    await stopAndRemove(again);
  });

  it('does not wait for ever for a client that sends nothing more', async () => {
    const server = await startHedgerow({ args: ['--body-timeout-ms', '600000'] });
    const open = openRequest(server, JSON.stringify(event('never')));
    await until(() => open.socket.bytesWritten > 20, { deadlineMs: 2_000, what: 'the head is sent' });
    await ask(`${server.url}/_liveness`);
    const startedMs = Date.now();
    expect(await server.stop()).toBe(0);
    expect(Date.now() - startedMs).toBeLessThan(10_000);
    rmSync(server.dataDir, { recursive: true });
  });

  it('ends at once with the second signal', async () => {
    const server = await startHedgerow({ args: ['--drain-delay', '30000'] });
    server.process.kill('SIGTERM');
    await until(async () => (await ask(`${server.url}/_readiness`)).status === 503, {
      deadlineMs: 5_000,
      what: 'readiness says 503',
    });
    const late = await post(`${server.url}/e/`, event('late'));
    expect(late.status).toBe(200);
    expect(late.headers.get('connection')).toBe('close');
    const startedMs = Date.now();
    server.process.kill('SIGTERM');
    expect(await server.exited).not.toBe(0);
    expect(Date.now() - startedMs).toBeLessThan(2_000);
    const again = await startHedgerow({ dataDir: server.dataDir });
    await untilCounted(again, "event = 'late'", 1);
    await stopAndRemove(again);
  });

  it('during the start is a stop, too', async () => {
    const folder = freshFolder();
    for (const delayMs of [50, 200, 400, 800]) {
      const child = spawn(process.execPath, [bin, 'start', '--port', '0', '--data-dir', folder], {
        env: cleanEnv(testEnv),
        stdio: 'ignore',
      });
      const exited = new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      child.kill('SIGTERM');
      await exited;
    }
    const server = await startHedgerow({ dataDir: folder });
    await stopAndRemove(server);
  });
});

it('a port that another program holds is named', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as AddressInfo;
  const folder = freshFolder();
  mkdirSync(folder, { recursive: true });
  const run = start(['--port', String(port), '--data-dir', folder]);
  other.close();
  expectOneSentence(run, 1, new RegExp(String(port)));
});
