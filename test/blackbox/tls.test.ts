/** HTTPS from outside. The certificates are made here by the command openssl: Node makes keys, but no certificates. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { copyFileSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { connect } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bin, cleanEnv, freshFolder, root, testEnv, testKeys } from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';

const folder = freshFolder();
const pathOf = (name: string): string => join(folder, name);

function openssl(...args: readonly string[]): void {
  const done = spawnSync('openssl', args, { cwd: folder, encoding: 'utf8' });
  if (done.error !== undefined) throw new Error('this suite needs the command openssl', { cause: done.error });
  if (done.status !== 0) throw new Error(`openssl ${args.join(' ')}: ${done.stderr}`);
}

/** `<name>.pem` and `<name>.key`, for localhost and 127.0.0.1, signed by itself. */
function makeCertificate(name: string, commonName: string): void {
  openssl(
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', `/CN=${commonName}`,
    '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', `${name}.key`, '-out', `${name}.pem`,
  ); // prettier-ignore
}

interface TlsServer {
  readonly url: string;
  readonly port: number;
  readonly process: ChildProcess;
  readonly output: { stdout: string; stderr: string };
  readonly dataDir: string;
}

async function startTls(cert: string, key: string): Promise<TlsServer> {
  const dataDir = freshFolder();
  const args = [bin, 'start', '--port', '0', '--data-dir', dataDir, '--tls-cert', cert, '--tls-key', key];
  const child = spawn(process.execPath, args, { env: cleanEnv(testEnv), stdio: ['ignore', 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
  const url = await until(
    () => {
      if (child.exitCode !== null) throw new Error(`exited with ${child.exitCode}: ${output.stderr}${output.stdout}`);
      return /listens on (https:\/\/[\d.]+:\d+)/.exec(output.stdout)?.[1];
    },
    { deadlineMs: 30_000, what: 'the server prints an address that begins with https' },
  );
  return { url, port: Number(new URL(url).port), process: child, output, dataDir };
}

async function stop(server: TlsServer): Promise<number | null> {
  const exited = new Promise<number | null>((resolve) => server.process.once('exit', (code) => resolve(code)));
  server.process.kill('SIGTERM');
  const code = await exited;
  rmSync(server.dataDir, { recursive: true, force: true });
  return code;
}

interface Answered {
  readonly status: number;
  readonly text: string;
}

function send(
  url: string,
  options: { readonly ca: string; readonly body?: object; readonly agent?: Agent },
): Promise<Answered> {
  const { ca, body, agent } = options;
  const headers = { 'Content-Type': 'application/json', Authorization: `Bearer ${testKeys.personal}` };
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        method: body === undefined ? 'GET' : 'POST',
        headers,
        ca: readFileSync(ca),
        ...(agent === undefined ? {} : { agent }),
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      },
    );
    sent.on('error', reject);
    sent.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** The name in the certificate that a new connection is shown. */
function shownName(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
      resolve(String(socket.getPeerCertificate().subject.CN));
      socket.destroy();
    });
    socket.on('error', reject);
  });
}

beforeAll(() => {
  makeCertificate('first', 'first');
  makeCertificate('second', 'second');
  openssl('req', '-new', '-key', 'first.key', '-subj', '/CN=expired', '-out', 'expired.csr');
  openssl('x509', '-req', '-in', 'expired.csr', '-signkey', 'first.key', '-days', '-1', '-out', 'expired.pem');
  openssl('ec', '-in', 'first.key', '-aes128', '-passout', 'pass:secret', '-out', 'locked.key');
  writeFileSync(pathOf('nothing.pem'), 'nothing');
});
afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

describe('a server with a certificate', () => {
  let server: TlsServer;
  const live = { cert: pathOf('live.pem'), key: pathOf('live.key') };
  const use = (name: string): void => {
    copyFileSync(pathOf(`${name}.pem`), live.cert);
    copyFileSync(pathOf(`${name}.key`), live.key);
  };
  const ask = (path: string, body?: object): Promise<Answered> =>
    send(`${server.url}${path}`, { ca: pathOf('first.pem'), ...(body === undefined ? {} : { body }) });

  beforeAll(async () => {
    use('first');
    server = await startTls(live.cert, live.key);
  });
  afterAll(async () => {
    expect(await stop(server)).toBe(0);
  });

  it('says https where it says its address: greeting, examples, server.json, and the pages of a list', async () => {
    expect(server.output.stdout).not.toContain('http://');
    const left = readFileSync(join(server.dataDir, 'server.json'), 'utf8');
    expect(JSON.parse(left)).toMatchObject({ url: server.url });
    expect(statSync(join(server.dataDir, 'server.json')).mode & 0o777).toBe(0o600);
    for (const event of ['one', 'two', 'three']) {
      const answer = await ask('/e/', { api_key: testKeys.public, event, distinct_id: 'd' });
      expect(answer).toEqual({ status: 200, text: '{"status":"Ok"}' });
    }
    const page = await until(
      async () => {
        const { text } = await ask('/api/projects/@current/events/?limit=1');
        return (JSON.parse(text) as { next: string | null }).next ?? undefined;
      },
      { deadlineMs: 20_000, what: 'there is a second page' },
    );
    expect(page.startsWith(`${server.url}/`)).toBe(true);
  });

  it('takes events from posthog-node, which is told of the certificate as Node is', async () => {
    const script = `
      import { PostHog } from 'posthog-node';
      const client = new PostHog(process.argv[1], { host: process.argv[2] });
      client.on('error', (error) => { console.error(String(error)); process.exitCode = 1; });
      for (let n = 0; n < 50; n++) client.capture({ distinctId: 'd', event: 'over tls', properties: { n } });
      await client.shutdown();`;
    const done = spawn(process.execPath, ['--input-type=module', '-e', script, testKeys.public, server.url], {
      cwd: root,
      env: cleanEnv({ NODE_EXTRA_CA_CERTS: pathOf('first.pem') }),
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let complaints = '';
    done.stderr.setEncoding('utf8').on('data', (text: string) => (complaints += text));
    const code = await new Promise((resolve) => done.once('exit', resolve));
    expect({ code, complaints }).toEqual({ code: 0, complaints: '' });
    const query = "select uniqExact(properties.n) from events where event = 'over tls'";
    await until(
      async () => {
        const { text } = await ask('/api/projects/@current/query/', { query: { kind: 'HogQLQuery', query } });
        return text.includes('"results":[[50]]') || undefined;
      },
      { deadlineMs: 20_000, what: '50 events are there' },
    );
  });

  const command = (env: Readonly<Record<string, string>>): ReturnType<typeof spawnSync> =>
    spawnSync(process.execPath, [bin, 'query', '--data-dir', server.dataDir, 'select 1 as one', '--json'], {
      env: cleanEnv({ HEDGEROW_SKIP_BUILD: '1', ...env }),
      encoding: 'utf8',
    });

  it('is found by the commands, which trust its certificate once they are told to', () => {
    const trusted = command({ NODE_EXTRA_CA_CERTS: pathOf('first.pem') });
    expect({ status: trusted.status, stderr: trusted.stderr }).toEqual({ status: 0, stderr: '' });
    expect(trusted.stdout).toContain('1');
    const stranger = command({});
    expect(stranger.status).toBe(1);
    expect(stranger.stderr).toMatch(
      /certificate of https:.* is not trusted \(DEPTH_ZERO_SELF_SIGNED_CERT\).*NODE_EXTRA_CA_CERTS/,
    );
  });

  it('speaks TLS 1.2 and later, and nothing else', async () => {
    const speak = (version: 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3'): Promise<string> =>
      new Promise((resolve) => {
        const options = {
          minVersion: version,
          maxVersion: version,
          rejectUnauthorized: false,
          ciphers: 'DEFAULT@SECLEVEL=0',
        };
        const socket = connectTls({ port: server.port, host: '127.0.0.1', ...options }, () => {
          resolve(socket.getProtocol() ?? '');
          socket.destroy();
        });
        socket.on('error', () => resolve('refused'));
      });
    expect(await Promise.all([speak('TLSv1.1'), speak('TLSv1.2'), speak('TLSv1.3')])).toEqual([
      'refused',
      'TLSv1.2',
      'TLSv1.3',
    ]);
    const plain = await new Promise<string>((resolve) => {
      const socket = connect(server.port, '127.0.0.1', () =>
        socket.write('GET /_liveness HTTP/1.1\r\nHost: x\r\n\r\n'),
      );
      let text = '';
      socket.setEncoding('latin1').on('data', (part: string) => (text += part));
      socket.on('close', () => resolve(text));
      socket.on('error', () => undefined);
    });
    expect(plain).not.toContain('200');
    expect((await ask('/_liveness')).status).toBe(200);
  });

  it('shows new connections the new certificate on SIGHUP, and keeps those that are open', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const kept = (): Promise<Answered> => send(`${server.url}/_liveness`, { ca: pathOf('first.pem'), agent });
    await kept();
    expect(await shownName(server.port)).toBe('first');
    use('second');
    server.process.kill('SIGHUP');
    await until(async () => (await shownName(server.port)) === 'second' || undefined, {
      deadlineMs: 5_000,
      what: 'the second certificate is shown',
    });
    expect((await kept()).status).toBe(200); // by a connection that trusts the first alone
    agent.destroy();

    writeFileSync(live.key, readFileSync(pathOf('first.key')));
    server.process.kill('SIGHUP');
    await until(() => /old one stays/.test(server.output.stderr) || undefined, {
      deadlineMs: 5_000,
      what: 'the log says that the key does not fit',
    });
    expect(await shownName(server.port)).toBe('second');
    use('first');
    server.process.kill('SIGHUP');
    await until(async () => (await shownName(server.port)) === 'first' || undefined, {
      deadlineMs: 5_000,
      what: 'the first certificate is shown again',
    });
  });
});

describe('a start that cannot speak TLS says why in one sentence', () => {
  it.each<[name: string, cert: string, key: string, saying: RegExp]>([
    ['no such certificate', 'absent.pem', 'first.key', /--tls-cert: .*absent\.pem cannot be read \(ENOENT\)/],
    ['no such key', 'first.pem', 'absent.key', /--tls-key: .*absent\.key cannot be read \(ENOENT\)/],
    ['no PEM', 'nothing.pem', 'first.key', /--tls-cert: .*nothing\.pem holds no certificate/],
    ['the two exchanged', 'first.key', 'first.pem', /--tls-cert: .*first\.key holds no certificate/],
    ['no private key', 'first.pem', 'second.pem', /--tls-key: .*second\.pem holds no private key/],
    ['another’s key', 'first.pem', 'second.key', /--tls-key: .*second\.key does not belong to the certificate/],
    ['a locked key', 'first.pem', 'locked.key', /--tls-key: .*locked\.key is locked with a passphrase/],
  ])('%s', (_name, cert, key, saying) => {
    const dataDir = freshFolder();
    const args = ['start', '--port', '0', '--data-dir', dataDir, '--tls-cert', pathOf(cert), '--tls-key', pathOf(key)];
    const done = spawnSync(process.execPath, [bin, ...args], {
      env: cleanEnv(testEnv),
      encoding: 'utf8',
      timeout: 20_000,
    });
    expect({ status: done.status, stdout: done.stdout }).toEqual({ status: 1, stdout: '' });
    expect(done.stderr.trim().split('\n')).toHaveLength(1);
    expect(done.stderr).toMatch(saying);
    rmSync(dataDir, { recursive: true, force: true });
  });

  it.each([
    [['--tls-cert', 'first.pem'], /--tls-cert needs --tls-key/],
    [['--tls-key', 'first.key'], /--tls-key needs --tls-cert/],
  ])('%s alone', (args, saying) => {
    const done = spawnSync(process.execPath, [bin, 'start', ...args], {
      env: cleanEnv(testEnv),
      encoding: 'utf8',
      timeout: 20_000,
    });
    expect(done.status).toBe(2);
    expect(done.stderr).toMatch(saying);
  });
});

it('an expired certificate works, with a warning', async () => {
  const server = await startTls(pathOf('expired.pem'), pathOf('first.key'));
  expect(server.output.stderr).toMatch(/"level":40.*"the certificate has expired/);
  expect(await shownName(server.port)).toBe('expired');
  await stop(server);
});
