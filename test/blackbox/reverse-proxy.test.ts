/** docs/reverse-proxy.md, run: its nginx block in front of the real command, on loopback. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ask,
  bearer,
  freshFolder,
  post,
  root,
  sql,
  startHedgerow,
  stopAndRemove,
  testKeys,
  untilCounted,
  type Hedgerow,
} from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';

const document = readFileSync(join(root, 'docs/reverse-proxy.md'), 'utf8');
/** scripts/services/nginx.sh puts it into the first place. */
const nginx = [join(root, '.services/nginx/usr/sbin/nginx'), '/usr/sbin/nginx'].find((path) => existsSync(path));

function block(language: string): string {
  const found = new RegExp(`\`\`\`${language}\n([^]*?)\`\`\``).exec(document)?.[1];
  if (found === undefined) throw new Error(`docs/reverse-proxy.md has no ${language} block`);
  return found;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe.skipIf(nginx === undefined && process.env['CI'] !== 'true')('the documented nginx block', () => {
  const folder = freshFolder();
  let server: Hedgerow;
  let proxy: ChildProcess;
  let proxyErrors = '';
  let site = '';

  beforeAll(async () => {
    const [, , ...args] = block('sh').trim().split(' ');
    server = await startHedgerow({ args });
    const port = await freePort();
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${folder}/${name};`,
    );
    const location = block('nginx').replace('127.0.0.1:8000', `127.0.0.1:${server.port}`);
    writeFileSync(
      join(folder, 'nginx.conf'),
      `daemon off; master_process off; pid ${folder}/nginx.pid; error_log stderr; events {}
       http { access_log off; ${temporary.join(' ')} server { listen 127.0.0.1:${port}; ${location} } }`,
    );
    proxy = spawn(nginx ?? '', ['-p', folder, '-c', join(folder, 'nginx.conf')], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    proxy.stderr?.setEncoding('utf8').on('data', (text: string) => (proxyErrors += text));
    site = `http://127.0.0.1:${port}`;
    await until(
      async () => {
        if (proxy.exitCode !== null) throw new Error(`nginx exited with ${proxy.exitCode}: ${proxyErrors}`);
        return (await fetch(site).catch(() => undefined))?.status === 404 || undefined;
      },
      { deadlineMs: 10_000, what: 'nginx answers' },
    );
  });
  afterAll(async () => {
    const ended = new Promise((resolve) => proxy.once('exit', resolve));
    proxy.kill('SIGQUIT');
    await ended;
    await stopAndRemove(server);
    rmSync(folder, { recursive: true, force: true });
  });

  it('hands on events, and the connection’s own address whatever the client claims', async () => {
    const body = gzipSync(
      JSON.stringify({ api_key: testKeys.public, batch: [{ event: 'by proxy', distinct_id: 'd', properties: {} }] }),
    );
    const answer = await post(`${site}/ingest/e/`, body, {
      'Content-Type': 'text/plain',
      'X-Forwarded-For': '203.0.113.9',
    });
    expect({ status: answer.status, text: answer.text }).toEqual({ status: 200, text: '{"status":"Ok"}' });
    await untilCounted(server, "event = 'by proxy'", 1);
    expect(await sql(server, "select ip from events where event = 'by proxy'")).toEqual([['127.0.0.1']]);
  });

  it('lets a body of 5 MB through', async () => {
    const batch = Array.from({ length: 10 }, () => ({
      event: 'large by proxy',
      distinct_id: 'd',
      properties: { text: 'x'.repeat(500_000) },
    }));
    expect((await post(`${site}/ingest/batch/`, { api_key: testKeys.public, batch })).status).toBe(200);
    await untilCounted(server, "event = 'large by proxy'", 10);
  });

  it('serves config and posthog-js below the path', async () => {
    const config = await ask(`${site}/ingest/array/${testKeys.public}/config`);
    expect(config.json).toMatchObject({ token: testKeys.public, supportedCompression: ['gzip', 'gzip-js'] });
    const script = await ask(`${site}/ingest/static/array.js`);
    expect(script.status).toBe(200);
    expect(script.text).toBe(readFileSync(join(root, 'node_modules/posthog-js/dist/array.js'), 'utf8'));
  });

  it.each(['/ingest/api/projects/', '/ingest/metrics', '/ingest/_readiness', '/ingest/', '/api/projects/', '/metrics'])(
    'shows nothing else: %s is 404',
    async (path) => {
      expect((await ask(`${site}${path}`, { headers: bearer })).status).toBe(404);
    },
  );
});

describe('the document', () => {
  it('names the same path in the command, for nginx and for Caddy', () => {
    expect(block('sh')).toContain('--ingest-path /ingest ');
    expect(block('nginx')).toContain('location /ingest/ {');
    expect(block('caddy')).toContain('handle /ingest/* {');
    expect(block('js')).toContain("/ingest'");
  });
});
