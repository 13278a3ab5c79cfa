/** SIGTERM loses no request that was sent in full (interface.md 1). */
import { randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { afterAll, describe, expect, it } from 'vitest';
import {
  freshFolder,
  metric,
  post,
  sql,
  startHedgerow,
  testKeys,
  untilLoaded,
  type Hedgerow,
} from '../harness/hedgerow.ts';
import { startLoad } from '../harness/steady-load.ts';
import { until } from '../harness/until.ts';

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

async function started(args: readonly string[] = []): Promise<Hedgerow> {
  const dataDir = freshFolder();
  folders.push(dataDir);
  return startHedgerow({ dataDir, args });
}

/** All that a next start has, once `expected` of it is there and the log is empty. */
async function storedAfterRestart(dataDir: string, expected: Iterable<string>): Promise<string[]> {
  const server = await startHedgerow({ dataDir });
  const wanted = [...expected];
  const read = async (): Promise<string[]> => {
    const found: string[] = [];
    for (let offset = 0; ; offset += 40_000) {
      const rows = await sql(server, `select toString(uuid) from events order by uuid limit 40000 offset ${offset}`);
      found.push(...rows.map(([uuid]) => String(uuid)));
      if (rows.length < 40_000) return found;
    }
  };
  await until(
    async () => {
      const all = new Set(await read());
      return wanted.every((uuid) => all.has(uuid));
    },
    { deadlineMs: 30_000, what: `${wanted.length} acknowledged events are stored` },
  );
  await untilLoaded(server);
  const found = await read();
  await server.stop();
  return found;
}

interface Raw {
  readonly socket: Socket;
  readonly text: () => string;
  readonly isEnded: () => boolean;
}

async function rawConnection(server: Hedgerow): Promise<Raw> {
  const socket = connect(server.port, '127.0.0.1');
  let text = '';
  let isEnded = false;
  socket.setEncoding('latin1').on('data', (piece: string) => (text += piece));
  socket.on('close', () => (isEnded = true));
  socket.on('error', () => undefined);
  await new Promise<void>((resolve) => socket.once('connect', () => resolve()));
  return { socket, text: () => text, isEnded: () => isEnded };
}

function eventRequest(uuid: string, pad = ''): string {
  const body = JSON.stringify({
    api_key: testKeys.public,
    event: 'drained',
    distinct_id: 'd',
    uuid,
    properties: { pad },
  });
  return `POST /e/ HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

function statusesIn(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status));
}

describe('SIGTERM under load', () => {
  it('keeps each event that was answered 200, refuses no connection that it took without an answer, and ends with 0', async () => {
    const server = await started(['--drain-delay', '500']);
    const small = startLoad(server.url, { clients: 24, batchEvents: 1 });
    const large = startLoad(server.url, { clients: 4, batchEvents: 400 });
    await until(() => small.acknowledged.size > 300 && large.acknowledged.size > 2000, {
      deadlineMs: 60_000,
      what: 'both loads run',
    });
    server.process.kill('SIGTERM');
    const termMs = performance.now();
    const exit = server.exited;
    const [code] = await Promise.all([exit, exit.then(() => Promise.all([small.stop(), large.stop()]))]);
    expect(code).toBe(0);
    expect(performance.now() - termMs).toBeLessThan(15_000);
    const stored = await storedAfterRestart(server.dataDir, [...small.acknowledged, ...large.acknowledged]);
    expect(new Set(stored).size).toBe(stored.length);
    const all = new Set(stored);
    // 0: the listener was gone, or the connection ended between two requests, as HTTP allows; nothing of it may be stored.
    const answers = new Set([...small.statuses.keys(), ...large.statuses.keys()]);
    expect([...answers].filter((status) => ![0, 200, 503].includes(status))).toEqual([]);
    expect([...small.unsure, ...large.unsure].filter((uuid) => all.has(uuid))).toEqual([]);
  }, 120_000);

  it('answers every request that came in full, pipelined ones too, on connections that were open', async () => {
    const server = await started();
    const connections = await Promise.all(Array.from({ length: 10 }, () => rawConnection(server)));
    const uuids = connections.map(() => Array.from({ length: 5 }, () => randomUUID()));
    // Sent in full, and perhaps not read yet when the signal comes: five requests a connection.
    for (const [index, { socket }] of connections.entries()) {
      socket.write((uuids[index] ?? []).map((uuid) => eventRequest(uuid, 'p'.repeat(2_000))).join(''));
    }
    await new Promise((resolve) => setImmediate(resolve)); // the writes have reached the kernel
    server.process.kill('SIGTERM');
    expect(await server.exited).toBe(0);
    await until(() => connections.every(({ isEnded }) => isEnded()), {
      deadlineMs: 5_000,
      what: 'all connections end',
    });
    for (const [index, { text }] of connections.entries()) {
      const sent = uuids[index] ?? [];
      expect(statusesIn(text())).toEqual(sent.map(() => 200));
    }
    expect((await storedAfterRestart(server.dataDir, uuids.flat())).length).toBe(uuids.flat().length);
  }, 60_000);
});

describe('after SIGTERM', () => {
  it('readiness is 503 at once, requests are served with Connection: close, and the port stays open for the delay', async () => {
    const server = await started(['--drain-delay', '2s']);
    const kept = await rawConnection(server);
    const signalled = performance.now();
    server.process.kill('SIGTERM');
    await until(async () => (await fetch(`${server.url}/_readiness`)).status === 503, {
      deadlineMs: 1_000,
      what: 'readiness is 503',
    });
    const uuids = [randomUUID(), randomUUID()] as const;
    const fresh = await post(`${server.url}/e/`, {
      api_key: testKeys.public,
      event: 'e',
      distinct_id: 'd',
      uuid: uuids[0],
    });
    expect([fresh.status, fresh.headers.get('connection')]).toEqual([200, 'close']);
    kept.socket.write(eventRequest(uuids[1]));
    await until(() => kept.isEnded(), { deadlineMs: 5_000, what: 'the kept connection is ended behind its answer' });
    expect(statusesIn(kept.text())).toEqual([200]);
    expect(kept.text()).toMatch(/connection: close/i);
    expect(await server.exited).toBe(0);
    expect(performance.now() - signalled).toBeGreaterThanOrEqual(1_990);
    expect((await storedAfterRestart(server.dataDir, uuids)).length).toBe(2);
  }, 60_000);

  it('a body that is still on its way is waited for and kept; one that never ends holds nobody longer than 10 s', async () => {
    const server = await started(['--body-timeout-ms', '60000']);
    const slow = await rawConnection(server);
    const stuck = await rawConnection(server);
    const uuid = randomUUID();
    const whole = eventRequest(uuid, 'p'.repeat(1000));
    slow.socket.write(whole.slice(0, -500));
    stuck.socket.write(eventRequest(randomUUID(), 'p'.repeat(1000)).slice(0, -500));
    await until(async () => (await metric(server, 'hedgerow_http_requests_in_flight')) === 3, {
      deadlineMs: 5_000,
      what: 'both bodies are being read',
    });
    const signalled = performance.now();
    server.process.kill('SIGTERM');
    await until(
      async () =>
        fetch(`${server.url}/_liveness`).then(
          () => false,
          () => true,
        ),
      {
        deadlineMs: 5_000,
        what: 'the listener is closed',
      },
    );
    slow.socket.write(whole.slice(-500));
    await until(() => slow.isEnded(), { deadlineMs: 5_000, what: 'the slow request is answered' });
    expect(statusesIn(slow.text())).toEqual([200]);
    expect(await server.exited).toBe(0);
    expect(performance.now() - signalled).toBeLessThan(10_000);
    expect(statusesIn(stuck.text()).filter((status) => status === 200)).toEqual([]);
    expect(await storedAfterRestart(server.dataDir, [uuid])).toEqual([uuid]);
  }, 60_000);

  it('a second signal ends the process at once, and what was answered is kept', async () => {
    const server = await started(['--drain-delay', '600s']);
    const uuid = randomUUID();
    server.process.kill('SIGTERM');
    await until(async () => (await fetch(`${server.url}/_readiness`)).status === 503, {
      deadlineMs: 2_000,
      what: 'draining',
    });
    expect(
      (await post(`${server.url}/e/`, { api_key: testKeys.public, event: 'e', distinct_id: 'd', uuid })).status,
    ).toBe(200);
    const secondMs = performance.now();
    server.process.kill('SIGINT');
    expect(await server.exited).toBe(1);
    expect(performance.now() - secondMs).toBeLessThan(2_000);
    expect(await storedAfterRestart(server.dataDir, [uuid])).toEqual([uuid]);
  }, 60_000);
});
