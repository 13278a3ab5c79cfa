/** The gate of the SDK suites (test/harness/gate.ts): it changes nothing that it lets through, and says 503 otherwise. */
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { openGate, type Gate } from '../harness/gate.ts';

const opened: { gate?: Gate; server?: Server } = {};
afterEach(async () => {
  await opened.gate?.close();
  opened.server?.close();
});

const ANSWER = 'HTTP/1.1 207 Odd Reason\r\nX-oDD: a  b\r\nContent-Length: 3\r\nConnection: close\r\n\r\n\u0000\u00ffz';

/** A server of bytes: keeps what one request said, up to `lastBytes`, and answers `ANSWER`. */
async function listen(lastBytes: string, heard: (text: string) => void): Promise<string> {
  const server = createServer((socket) => {
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (!text.endsWith(lastBytes)) return;
      heard(text);
      socket.end(Buffer.from(ANSWER, 'latin1'));
    });
  });
  opened.server = server;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function exchange(url: string, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(request, 'latin1'));
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString('latin1')));
    socket.on('close', () => resolve(text));
    socket.on('error', reject);
  });
}

const REQUEST =
  'POST /batch/?a=%20b&&c HTTP/1.1\r\nhOST: example.com\r\ncontent-ENCODING: gzip\r\nX-Twice: 1\r\nX-Twice: 2\r\n' +
  'Content-Length: 6\r\nConnection: close\r\n\r\n\u001f\u008b\u0000\u00ff\r\n';

describe('the gate', () => {
  it('passes a request and its answer on, byte for byte', async () => {
    let heard = '';
    const url = await listen('\u00ff\r\n', (text) => (heard = text));
    opened.gate = await openGate(url);
    expect(await exchange(opened.gate.url, REQUEST)).toBe(ANSWER);
    expect(heard).toBe(REQUEST);
    expect(opened.gate.counts).toEqual({ passed: 1, refused: 0 });
  });

  it('answers 503 with Retry-After for as long as it was told to, and hands nothing on', async () => {
    let heard = '';
    const url = await listen('\u00ff\r\n', (text) => (heard = text));
    opened.gate = await openGate(url);
    opened.gate.refuseFor(30_000);
    expect(await exchange(opened.gate.url, REQUEST)).toMatch(/^HTTP\/1\.1 503 [^]*\r\nRetry-After: 30\r\n/);
    expect(heard).toBe('');
    opened.gate.refuseFor(0);
    expect(await exchange(opened.gate.url, REQUEST)).toBe(ANSWER);
  });

  it('answers 503 with Retry-After when nobody listens behind it', async () => {
    const url = await listen('', () => undefined);
    await new Promise((resolve) => opened.server?.close(resolve));
    opened.gate = await openGate(url);
    expect(await exchange(opened.gate.url, REQUEST)).toMatch(/^HTTP\/1\.1 503 [^]*\r\nRetry-After: 3\r\n/);
  });
});
