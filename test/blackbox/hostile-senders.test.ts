/** Senders that would make the server hold much for little: each is bounded, and everybody else is served meanwhile. */
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { makeBadDisk } from '../harness/bad-disk.ts';
import { captureRequest } from '../harness/flood.ts';
import {
  metric,
  post,
  residentMib,
  startHedgerow,
  stopAndRemove,
  testKeys,
  untilCounted,
  type Hedgerow,
} from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';

const MIB = 1 << 20;
const event = (name: string): string =>
  JSON.stringify({ api_key: testKeys.public, event: name, distinct_id: 'hostile' });

let server: Hedgerow;
const sockets: Conversation[] = [];
afterEach(async () => {
  for (const { socket } of sockets.splice(0)) socket.destroy();
  await stopAndRemove(server);
});

async function start(...args: readonly string[]): Promise<void> {
  server = await startHedgerow({ args: ['--log-level', 'error', ...args] });
}

/** No disk has that much to spare: nothing can be kept. */
async function startWithoutRoom(): Promise<void> {
  const args = ['--log-level', 'error', '--reserve-bytes', String(1024 * 1024 * MIB)];
  server = await startHedgerow({ args, probe: '/_liveness' });
}

interface Conversation {
  readonly socket: Socket;
  text: string;
  isClosed: boolean;
}

/** Resolves once it is open; reads what comes unless told not to. */
function open(reads: 'reads' | 'never_reads' = 'reads'): Promise<Conversation> {
  return new Promise((resolve) => {
    const socket = connect(server.port, '127.0.0.1', () => {
      resolve(conversation);
    });
    const conversation: Conversation = { socket, text: '', isClosed: false };
    sockets.push(conversation);
    socket.on('error', () => undefined);
    socket.on('close', () => (conversation.isClosed = true));
    socket.setEncoding('latin1');
    if (reads === 'reads') socket.on('data', (text: string) => (conversation.text += text));
    else socket.pause();
  });
}

const openMany = (count: number): Promise<Conversation[]> => Promise.all(Array.from({ length: count }, () => open()));
const statusesIn = (text: string): readonly number[] =>
  [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));

async function expectServed(): Promise<void> {
  const startedMs = performance.now();
  expect((await post(`${server.url}/e/`, event('served'))).status).toBe(200);
  expect(performance.now() - startedMs).toBeLessThan(5_000);
}

describe('connections', () => {
  it('one too many is told so and closed; when one ends, the next is let in', async () => {
    // With room for ten more that are told: fetch keeps up to two of its own open, and what is beyond those ten is closed
    // without a word.
    await start('--max-connections', '40');
    await until(async () => (await metric(server, 'hedgerow_http_open_connections')) <= 2, {
      deadlineMs: 10_000,
      what: 'it is idle',
    });
    const all = await openMany(44);
    await until(() => all.every(({ socket }) => socket.readyState === 'open'), {
      deadlineMs: 5_000,
      what: 'all are open',
    });
    for (const { socket } of all) socket.write(captureRequest(event('many'), '/e/'));
    await until(() => all.every(({ text }) => text.includes('\r\n\r\n')), {
      deadlineMs: 10_000,
      what: 'all are answered',
    });
    const turnedAway = all.filter(({ text }) => !text.startsWith('HTTP/1.1 200'));
    expect(turnedAway.length).toBeGreaterThanOrEqual(4);
    expect(turnedAway.length).toBeLessThanOrEqual(7);
    for (const { text } of turnedAway) {
      expect(text).toMatch(/^HTTP\/1\.1 503 [\s\S]*"code":"too_many_connections"/);
      expect(text).toMatch(/\r\nRetry-After: \d+\r\n/);
    }
    await until(() => turnedAway.every(({ isClosed }) => isClosed), { deadlineMs: 5_000, what: 'they are closed' });
    expect(all.filter(({ isClosed }) => isClosed).length).toBe(turnedAway.length);
    for (const { socket } of all) socket.destroy();
    await until(async () => (await post(`${server.url}/e/`, event('again'))).status === 200, {
      deadlineMs: 5_000,
      what: 'there is room again',
    });
  });

  it('one too many that asks for nothing is closed soon, and far too many are closed at once', async () => {
    await start('--max-connections', '20');
    const all = await openMany(40);
    await until(() => all.filter(({ isClosed }) => isClosed).length >= 40 - 20 - 5, {
      deadlineMs: 2_000,
      what: 'the excess ends',
    });
    await until(() => all.filter(({ isClosed }) => isClosed).length >= 40 - 20, {
      deadlineMs: 8_000,
      what: 'the rest ends',
    });
  });
});

describe('headers', () => {
  it('that never end, on 1,000 connections, hold little, and others are served', async () => {
    await start();
    await expectServed();
    const beforeMib = residentMib(server);
    const all = await openMany(1_000);
    const fill = `X-Fill: ${'a'.repeat(1_000)}\r\n`;
    for (const { socket } of all) socket.write(`POST /e/ HTTP/1.1\r\nHost: h\r\n${fill.repeat(12)}`);
    await expectServed();
    expect(await metric(server, 'hedgerow_http_requests_in_flight')).toBe(1); // not one of them is a request yet
    expect(residentMib(server) - beforeMib).toBeLessThan(100);
    for (const { socket } of all) socket.write(fill.repeat(12));
    await until(() => all.every(({ isClosed }) => isClosed), {
      deadlineMs: 20_000,
      what: 'too many end the connection',
    });
    expect(new Set(all.flatMap(({ text }) => statusesIn(text)))).toEqual(new Set([statusesIn(all[0]?.text ?? '')[0]]));
  });

  it('that come too slowly are 408 with Retry-After, a minute after the first byte', { timeout: 120_000 }, async () => {
    await start();
    const slow = await open();
    slow.socket.write('POST /e/ HTTP/1.1\r\nHost: h\r\n');
    const drip = setInterval(() => slow.socket.write('X-Drip: a\r\n'), 1_000);
    await until(() => slow.isClosed, { deadlineMs: 70_000, what: 'the slow one is cut' }).finally(() =>
      clearInterval(drip),
    );
    expect(slow.text).toMatch(/^HTTP\/1\.1 408 [\s\S]*\r\nRetry-After: \d+\r\n/);
  });
});

describe('bodies', () => {
  it('that are announced with 20 MiB and hardly come hold what came, not what was announced', async () => {
    await start('--body-timeout-ms', '2000');
    await expectServed();
    const beforeMib = residentMib(server);
    const all = await openMany(500);
    for (const { socket } of all)
      socket.write(`POST /e/ HTTP/1.1\r\nHost: h\r\nContent-Length: ${20 * MIB}\r\n\r\n{"api_key":`);
    await expectServed();
    expect(residentMib(server) - beforeMib).toBeLessThan(60);
    await until(() => all.every(({ isClosed }) => isClosed), { deadlineMs: 15_000, what: 'they are cut' });
    for (const { text } of all) expect(text).toMatch(/^HTTP\/1\.1 408 [\s\S]*\r\nRetry-After: \d+\r\n/);
  });

  it('in a million chunks of one byte cost no more than some copies of them', async () => {
    await start();
    await expectServed();
    const beforeMib = residentMib(server);
    const one = await open();
    const text = event('bytewise');
    one.socket.write('POST /e/ HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n');
    const spaces = '1\r\n \r\n'.repeat(10_000);
    let mostMib = 0;
    for (let i = 0; i < 100; i++) {
      if (!one.socket.write(spaces)) await new Promise((resolve) => one.socket.once('drain', resolve));
      mostMib = Math.max(mostMib, residentMib(server));
    }
    one.socket.write(`${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`);
    await until(() => statusesIn(one.text).length === 1, { deadlineMs: 20_000, what: 'it is answered' });
    expect(statusesIn(one.text)).toEqual([200]);
    expect(mostMib - beforeMib).toBeLessThan(60);
    await untilCounted(server, "event = 'bytewise'", 1);
  });

  it('that are refused unread leave the connection usable, or cut it when they do not come', async () => {
    await startWithoutRoom();
    const one = await open();
    const large = captureRequest('x'.repeat(3 * MIB));
    one.socket.write(large);
    one.socket.write('GET /_liveness HTTP/1.1\r\nHost: h\r\n\r\n');
    await until(() => statusesIn(one.text).length === 2, { deadlineMs: 10_000, what: 'both are answered' });
    expect(statusesIn(one.text)).toEqual([503, 200]);
    expect(one.text).toMatch(/"code":"disk_full"/);

    const stalled = await open();
    stalled.socket.write(large.subarray(0, 1_000));
    await until(() => stalled.text.startsWith('HTTP/1.1 503'), {
      deadlineMs: 2_000,
      what: 'it is told before the body is there',
    });
    await until(() => stalled.isClosed, { deadlineMs: 8_000, what: 'it is cut' });
  });

  it('are not asked for where they would be refused', async () => {
    await startWithoutRoom();
    const one = await open();
    one.socket.write('POST /e/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n');
    await until(() => one.isClosed, { deadlineMs: 5_000, what: 'it is refused' });
    expect(statusesIn(one.text)).toEqual([503]);
  });
});

describe('requests without waiting for answers', () => {
  it('whose answers are never read are not read on either', async () => {
    await start();
    await expectServed();
    const many = 'GET /_liveness HTTP/1.1\r\nHost: h\r\n\r\n'.repeat(1_000);
    // First as many whose answers are read: what the heap grows to for that is nothing that is held.
    const reader = await open();
    for (let i = 0; i < 30; i++) reader.socket.write(many);
    await until(() => statusesIn(reader.text).length >= 30_000, { deadlineMs: 30_000, what: 'all are answered' });
    const beforeMib = residentMib(server);
    const one = await open('never_reads');
    let writtenBytes = 0;
    // 40 MB, or until the server takes no more.
    for (let i = 0; i < 1_000; i++) {
      if (!one.socket.write(many)) {
        const isDrained = await Promise.race([
          new Promise<true>((resolve) => one.socket.once('drain', () => resolve(true))),
          new Promise<false>((resolve) => setTimeout(() => resolve(false), 1_000)),
        ]);
        if (!isDrained) break;
      }
      writtenBytes += many.length;
    }
    expect(writtenBytes).toBeLessThan(30 * MIB);
    expect(residentMib(server) - beforeMib).toBeLessThan(60);
    await expectServed();
  });

  const disk = makeBadDisk();
  it.runIf(disk !== undefined)('that wait for a disk that hangs are bounded in number', async () => {
    server = await startHedgerow({
      args: ['--log-level', 'error', '--max-connections', '300', '--max-queue-age-ms', '60000'],
      env: disk?.env ?? {},
    });
    await expectServed();
    disk?.order('hold', '/segment-');
    const one = await open();
    const requests = 5_000;
    const request = captureRequest(event('piped'), '/e/');
    for (let i = 0; i < requests; i++) one.socket.write(request);
    await until(async () => (await metric(server, 'hedgerow_http_requests_in_flight')) >= 300, {
      deadlineMs: 10_000,
      what: 'many wait',
    });
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(await metric(server, 'hedgerow_http_requests_in_flight')).toBeLessThanOrEqual(302);
    disk?.order('pass');
    await until(() => statusesIn(one.text).length === requests, { deadlineMs: 30_000, what: 'all are answered' });
    const statuses = statusesIn(one.text);
    expect(statuses.slice(0, 200)).toEqual(Array.from({ length: 200 }, () => 200));
    expect(statuses.filter((status) => status !== 200 && status !== 503)).toEqual([]);
    await untilCounted(server, "event = 'piped'", statuses.filter((status) => status === 200).length);
    disk?.remove();
  });
});
