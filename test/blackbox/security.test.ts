/** What docs/security.md promises, from outside: secrets, failed attempts, and what a project does not keep. */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MAX_FAILED_ATTEMPTS } from '../../src/admission/failed-attempts.ts';
import {
  type Answer,
  ask,
  bearer,
  bin,
  cleanEnv,
  freshFolder,
  type Hedgerow,
  post,
  sql,
  startHedgerow,
  stopAndRemove,
  testEnv,
  testKeys,
  untilCounted,
  untilLoaded,
} from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';

function hedgerow(dataDir: string, ...words: readonly string[]): unknown {
  const done = spawnSync(process.execPath, [bin, ...words, '--json', '--data-dir', dataDir], {
    env: cleanEnv({ HEDGEROW_SKIP_BUILD: '1' }),
    encoding: 'utf8',
  });
  if (done.status !== 0) throw new Error(`hedgerow ${words.join(' ')}: ${done.stderr}`);
  return JSON.parse(done.stdout);
}

/** Every file below `folder` that can be read whole. */
function filesIn(folder: string): { readonly path: string; readonly bytes: Buffer }[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .flatMap((entry) => {
      const path = join(entry.parentPath, entry.name);
      try {
        return [{ path, bytes: readFileSync(path) }];
      } catch {
        return []; // the store renames and deletes while we look
      }
    });
}

function filesWith(folder: string, text: string): string[] {
  return filesIn(folder)
    .filter(({ bytes }) => bytes.includes(text))
    .map(({ path }) => path.slice(folder.length + 1));
}

const v1Headers = (): Record<string, string> => ({
  Authorization: `Bearer ${testKeys.public}`,
  'User-Agent': 'test',
  'PostHog-Sdk-Info': 'test-sdk/1.0.0',
  'PostHog-Attempt': '1',
  'PostHog-Request-Id': randomUUID(),
  'PostHog-Request-Timestamp': new Date().toISOString(),
});
const v1Batch = (...events: readonly object[]): object => ({
  created_at: new Date().toISOString(),
  batch: events.map((event) => ({
    event: 'e',
    uuid: randomUUID(),
    distinct_id: 'd',
    timestamp: new Date().toISOString(),
    ...event,
  })),
});

describe('failed authentication', () => {
  const wrong = { Authorization: 'Bearer phx_wrong' };
  const event = { api_key: testKeys.public, event: 'e', distinct_id: 'd' };
  const read = (url: string, headers: Readonly<Record<string, string>>): Promise<Answer> =>
    ask(`${url}/api/projects/`, { headers });
  async function exhaust(url: string, headers: Readonly<Record<string, string>> = {}): Promise<void> {
    for (let i = 0; i < MAX_FAILED_ATTEMPTS; i++) {
      expect((await read(url, { Authorization: `Bearer phx_wrong_${i}`, ...headers })).status).toBe(401);
    }
  }

  describe('is held up by the address of the connection', () => {
    let server: Hedgerow;
    beforeAll(async () => {
      server = await startHedgerow();
      await exhaust(server.url);
    });
    afterAll(() => stopAndRemove(server));

    it('on the reading API: 429, when to come again, and the connection ends', async () => {
      const answer = await read(server.url, wrong);
      expect({ status: answer.status, code: (answer.json as { code: string }).code }).toEqual({
        status: 429,
        code: 'rate_limited',
      });
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(answer.headers.get('connection')).toBe('close');
    });

    it('whatever the headers name as the client: by default nobody is trusted by name', async () => {
      for (const header of ['X-Forwarded-For', 'X-Real-IP', 'Forwarded', 'CF-Connecting-IP']) {
        const value = header === 'Forwarded' ? 'for=203.0.113.9' : '203.0.113.9';
        expect((await read(server.url, { ...wrong, [header]: value })).status).toBe(429);
      }
    });

    it('for personal keys on capture too; on V1 as 503, which has no 429', async () => {
      expect((await post(`${server.url}/capture/`, event, wrong)).status).toBe(429);
      expect((await post(`${server.url}/e/`, event, { 'X-Personal-Api-Key': 'phx_wrong' })).status).toBe(429);
      const path = `${server.url}/i/v1/analytics/events`;
      const v1 = await post(path, v1Batch({}), { ...v1Headers(), 'X-Personal-Api-Key': 'phx_wrong' });
      expect(v1.status).toBe(503);
      expect(v1.headers.has('retry-after')).toBe(true);
    });

    it('and never a valid key from the same address, nor the public key of an SDK', async () => {
      expect((await read(server.url, bearer)).status).toBe(200);
      expect((await post(`${server.url}/capture/`, { ...event, api_key: testKeys.server }, bearer)).status).toBe(200);
      expect((await post(`${server.url}/e/`, event)).status).toBe(200);
      const made = hedgerow(server.dataDir, 'keys', 'create', '--kind', 'personal', '--scopes', 'query');
      const { key } = made as { readonly key: string };
      expect((await read(server.url, { Authorization: `Bearer ${key}` })).status).toBe(200);
    });

    it('and not a missing key, nor an unknown project key, which SDKs must go on to take as final', async () => {
      expect((await read(server.url, {})).status).toBe(401);
      for (let i = 0; i < 2 * MAX_FAILED_ATTEMPTS; i++) {
        expect((await post(`${server.url}/e/`, { ...event, api_key: 'phc_unknown' })).status).toBe(401);
      }
    });
  });

  it('is held up by what a proxy says that is trusted by name, its last word alone', async () => {
    const server = await startHedgerow({ args: ['--trusted-proxies', '127.0.0.1'] });
    try {
      await exhaust(server.url, { 'X-Forwarded-For': '203.0.113.9' });
      expect((await read(server.url, { ...wrong, 'X-Forwarded-For': '1.2.3.4, 203.0.113.9' })).status).toBe(429);
      expect((await read(server.url, { ...wrong, 'X-Forwarded-For': '203.0.113.10' })).status).toBe(401);
    } finally {
      await stopAndRemove(server);
    }
  });
});

describe('secrets', () => {
  const secrets = {
    server: 'phc_the_server_key_5a7c',
    public: 'phc_the_public_key_9d1e',
    personal: 'phx_the_personal_secret_77b0c2',
  };
  const folder = freshFolder();
  const dataDir = join(folder, 'made-by-hand');
  let server: Hedgerow;
  let created: string;
  const seen: string[] = [];
  const keep = async (answer: Promise<Answer>): Promise<Answer> => {
    const { text, headers } = await answer;
    seen.push(text, JSON.stringify([...headers]));
    return answer;
  };

  beforeAll(async () => {
    mkdirSync(dataDir, { mode: 0o755 }); // as a package or a volume has it
    server = await startHedgerow({
      dataDir,
      args: ['--log-level', 'trace'],
      env: {
        HEDGEROW_PROJECT_API_KEY: secrets.server,
        HEDGEROW_PUBLIC_API_KEY: secrets.public,
        HEDGEROW_PERSONAL_API_KEY: secrets.personal,
      },
    });
    ({ key: created } = hedgerow(dataDir, 'keys', 'create', '--kind', 'personal', '--scopes', 'capture,query') as {
      readonly key: string;
    });
    const { url } = server;
    for (const key of [secrets.personal, created, `${created}x`]) {
      const headers = { Authorization: `Bearer ${key}` };
      const event = { api_key: secrets.server, event: 'e', distinct_id: 'd', properties: { a: 1 } };
      await keep(post(`${url}/capture/`, event, headers));
      await keep(post(`${url}/capture/`, { ...event, event: '' }, headers));
      await keep(post(`${url}/capture/`, { ...event, api_key: key }, headers));
      await keep(post(`${url}/capture/?api_key=${key}`, '{', headers));
      await keep(
        post(`${url}/batch/`, { api_key: secrets.public, batch: [{ event: 'e' }] }, { 'X-Personal-Api-Key': key }),
      );
      await keep(post(`${url}/i/v1/analytics/events`, v1Batch({}), { ...v1Headers(), Authorization: `Bearer ${key}` }));
      await keep(post(`${url}/i/v1/analytics/events`, v1Batch({}), { ...v1Headers(), 'X-Personal-Api-Key': key }));
      for (const path of [
        '/api/projects/',
        '/api/projects/@current/events/',
        '/api/projects/@current/limits/',
        '/api/nowhere/',
      ])
        await keep(ask(`${url}${path}`, { headers }));
      await keep(ask(`${url}/api/projects/${key}/events/${key}/`, { headers }));
      await keep(ask(`${url}/${key}`, { headers }));
      for (const query of ['select 1', `select ${key} from`, "select throwIf(1, 'x')"])
        await keep(post(`${url}/api/projects/@current/query/`, { query: { kind: 'HogQLQuery', query } }, headers));
      for (const path of ['/flags/', '/decide/', '/i/v0/ai/otel', '/s/', `/array/${key}/config`])
        await keep(post(`${url}${path}`, { token: key, api_key: key }, headers));
    }
    await untilLoaded(server);
  });
  afterAll(async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const personal = (): readonly string[] => [
    secrets.personal,
    created,
    (JSON.parse(readFileSync(join(dataDir, 'server.json'), 'utf8')) as { readonly key: string }).key,
  ];

  it('are in no log line, at the lowest level', () => {
    for (const key of [...personal(), secrets.server, secrets.public]) expect(server.output.stderr).not.toContain(key);
    expect(server.output.stderr).toContain('"msg":"listening"');
  });

  it('are in no answer and no metric, but where the client’s own SQL or path is shown back to it', async () => {
    const answers = seen.filter((text) => !text.includes('"code":"invalid_sql"')).join('\n');
    for (const key of personal()) expect(answers).not.toContain(key);
    const metrics = (await ask(`${server.url}/metrics`)).text;
    for (const key of [...personal(), secrets.server, secrets.public]) expect(metrics).not.toContain(key);
    expect(metrics).toContain('hedgerow_');
  });

  it('are in no command line or title, of the server or the processes that it starts', () => {
    const pid = server.process.pid ?? 0;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .filter((id) => id !== '');
    expect(children.length).toBeGreaterThan(0);
    for (const id of [String(pid), ...children]) {
      for (const name of ['cmdline', 'comm', 'status']) {
        const text = readFileSync(`/proc/${id}/${name}`, 'latin1');
        for (const key of [...personal(), secrets.server, secrets.public]) expect(text).not.toContain(key);
      }
    }
    for (const id of children) {
      const environment = readFileSync(`/proc/${id}/environ`, 'latin1');
      for (const key of personal()) expect(environment).not.toContain(key);
    }
  });

  it('are in no file of the data folder but server.json, whose key ends with the process', () => {
    for (const key of personal().slice(0, 2)) expect(filesWith(dataDir, key)).toEqual([]);
    expect(filesWith(dataDir, personal()[2] ?? '')).toEqual(['server.json']);
  });

  it('and no file of the data folder can be read by others, whoever made the folder', () => {
    const open = filesIn(dataDir).filter(({ path }) => (statSync(path).mode & 0o077) !== 0);
    expect(open.map(({ path }) => path)).toEqual([]);
    const folders = readdirSync(dataDir, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    expect(folders.map(({ name }) => [name, statSync(join(dataDir, name)).mode & 0o077])).toEqual(
      folders.map(({ name }) => [name, 0]),
    );
  });

  it('are masked by --print-config, and have no flag', () => {
    const start = (...args: readonly string[]): ReturnType<typeof spawnSync> =>
      spawnSync(process.execPath, [bin, 'start', ...args], {
        env: cleanEnv({
          ...testEnv,
          HEDGEROW_PERSONAL_API_KEY: secrets.personal,
          HEDGEROW_PUBLIC_API_KEY: secrets.public,
        }),
        encoding: 'utf8',
      });
    for (const args of [['--print-config'], ['--print-config', '--json']]) {
      const { status, stdout, stderr } = start(...args);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      expect(stdout).toContain('personal-api-key');
      for (const key of [secrets.personal, secrets.public]) expect(stdout).not.toContain(key);
    }
    const refused = start('--personal-api-key', secrets.personal);
    expect(refused.status).toBe(2);
    expect(`${String(refused.stdout)}${String(refused.stderr)}`).not.toContain(secrets.personal);
  });
});

describe('what a project does not keep', () => {
  let server: Hedgerow;
  /** Stands for what must not be kept. */
  const HIDDEN = 'hidden-4f81';
  const ADDRESS = '203.0.113.77';
  const from = { 'X-Forwarded-For': ADDRESS };
  const properties = { password: HIDDEN, deep: [{ my_Password: { a: HIDDEN } }], $ip: ADDRESS, kept: 'kept-9b20' };
  const event = (name: string): object => ({
    api_key: testKeys.public,
    event: name,
    distinct_id: 'd',
    properties,
    $set: { email: HIDDEN, plan: 'free' },
  });
  const KEPT =
    '{"password":"[redacted]","deep":[{"my_Password":"[redacted]"}],"$ip":"203.0.113.0","kept":"kept-9b20",' +
    '"$set":{"email":"[redacted]","plan":"free"}}';

  beforeAll(async () => {
    server = await startHedgerow();
    const answer = await ask(`${server.url}/api/projects/@current/privacy/`, {
      method: 'PUT',
      headers: bearer,
      body: JSON.stringify({ address: 'truncate', redact: ['*password*', '$set.email', '$session_id'] }),
    });
    expect(answer.json).toEqual({ address: 'truncate', redact: ['*password*', '$set.email', '$session_id'] });
  });
  afterAll(() => stopAndRemove(server));

  const FORM = 'application/x-www-form-urlencoded';
  const json = (name: string): string => JSON.stringify(event(name));
  const ways: readonly (readonly [name: string, send: (name: string) => Promise<Answer>])[] = [
    ['v0', (name) => post(`${server.url}/e/`, event(name), from)],
    ['v0 batch', (name) => post(`${server.url}/batch/`, { api_key: testKeys.public, batch: [event(name)] }, from)],
    ['v0 array', (name) => post(`${server.url}/e/`, [event(name)], from)],
    ['v0 gzip', (name) => post(`${server.url}/e/?compression=gzip-js`, gzipSync(json(name)), { ...from, 'Content-Type': 'text/plain' })],
    ['v0 form', (name) => post(`${server.url}/e/`, new URLSearchParams({ data: Buffer.from(json(name)).toString('base64') }).toString(), { ...from, 'Content-Type': FORM })],
    ['v0 query', (name) => ask(`${server.url}/e/?data=${encodeURIComponent(json(name))}`, { headers: from })],
    ['v0 base64', (name) => post(`${server.url}/e/?compression=base64`, Buffer.from(json(name)).toString('base64'), { ...from, 'Content-Type': 'text/plain' })],
    ['v0 with a byte-order mark', (name) => post(`${server.url}/e/`, `\ufeff${json(name)}`, from)],
  ]; // prettier-ignore

  it.each(ways)('is not kept when it comes as %s; all else is, byte for byte', async (name, send) => {
    expect((await send(name)).text).toContain('"status":"Ok"');
    await untilCounted(server, `event = '${name}'`, 1);
    const rows = await sql(server, `select properties_raw, ip from events where event = '${name}'`);
    expect(rows).toEqual([[KEPT, '203.0.113.0']]);
  });

  it.each(['plain', 'gzip'])('is not kept when it comes as V1, %s', async (encoding) => {
    const batch = v1Batch({ event: `v1 ${encoding}`, properties, session_id: HIDDEN, window_id: 'w' });
    const body = encoding === 'gzip' ? gzipSync(JSON.stringify(batch)) : JSON.stringify(batch);
    const more: Record<string, string> = encoding === 'gzip' ? { 'Content-Encoding': 'gzip' } : {};
    const answer = await post(`${server.url}/i/v1/analytics/events`, body, { ...v1Headers(), ...from, ...more });
    expect(answer.status).toBe(200);
    await untilCounted(server, `event = 'v1 ${encoding}'`, 1);
    const [row] = await sql(server, `select properties_raw, ip from events where event = 'v1 ${encoding}'`);
    expect(JSON.parse(String(row?.[0]))).toEqual({
      password: '[redacted]',
      deep: [{ my_Password: '[redacted]' }],
      $ip: '203.0.113.0',
      kept: 'kept-9b20',
      $lib: 'test-sdk',
      $lib_version: '1.0.0',
      $session_id: '[redacted]',
      $window_id: 'w',
    });
    expect(row?.[1]).toBe('203.0.113.0');
  });

  it('is not kept of rejected events either, nor where an event’s text cannot be looked into', async () => {
    const rejected = [
      { event: '', distinct_id: 'd', properties, password: HIDDEN, other: { password: HIDDEN } },
      JSON.stringify({ password: HIDDEN }),
      { event: 'x', distinct_id: 'd', properties: JSON.stringify({ password: HIDDEN }) },
      { event: 'x', properties },
      { event: ['x', { password: HIDDEN }], distinct_id: { password: HIDDEN } },
    ];
    const answer = await post(`${server.url}/batch/`, { api_key: testKeys.public, batch: rejected }, from);
    expect(answer.status).toBe(400);
    const oversize = { ...event('x'), padding: 'x'.repeat(1_000_001) };
    expect((await post(`${server.url}/e/`, oversize, from)).status).toBe(413);
    await post(`${server.url}/i/v1/analytics/events`, v1Batch({ event: '', properties }), { ...v1Headers(), ...from });
    await until(
      async () =>
        Number((await sql(server, 'select count() from rejections'))[0]?.[0]) === rejected.length + 2
          ? true
          : undefined,
      { deadlineMs: 20_000, what: 'the rejections are there' },
    );
    const raws = (await sql(server, 'select raw from rejections')).map(([raw]) => String(raw));
    expect(raws.filter((raw) => raw.includes('[redacted]'))).toHaveLength(rejected.length + 2);
  });

  it('lies in no file of the data folder, on no page of the log, in no log line', async () => {
    await untilLoaded(server);
    expect(filesWith(server.dataDir, HIDDEN)).toEqual([]);
    expect(filesWith(server.dataDir, ADDRESS)).toEqual([]);
    expect(server.output.stderr).not.toContain(HIDDEN);
    expect(filesWith(server.dataDir, 'kept-9b20')).not.toEqual([]); // the search finds what is there
  });

  it('is the project’s own choice, and holds from within a second of a change made by the command line', async () => {
    const made = hedgerow(server.dataDir, 'projects', 'create', 'open');
    const { id } = made as { readonly id: number };
    const { key } = hedgerow(server.dataDir, 'keys', 'create', '--kind', 'public', '--project', String(id)) as {
      readonly key: string;
    };
    const sendOpen = async (name: string): Promise<unknown[]> => {
      await until(
        async () =>
          (await post(`${server.url}/e/`, { ...event(name), api_key: key }, from)).status === 200 || undefined,
        {
          deadlineMs: 5_000,
          what: 'the key is known',
        },
      );
      const url = `${server.url}/api/projects/${id}/query/`;
      const query = `select properties.password, ip from events where event = '${name}'`;
      return until(
        async () => {
          const { json } = await post(url, { query: { kind: 'HogQLQuery', query } }, bearer);
          return (json as { results: unknown[][] }).results[0];
        },
        { deadlineMs: 20_000, what: 'the event is there' },
      );
    };
    expect(await sendOpen('before')).toEqual([HIDDEN, ADDRESS]);
    expect(hedgerow(server.dataDir, 'projects', 'set', 'open', '--address', 'drop', '--redact', 'PASS*')).toEqual({
      project: id,
      address: 'drop',
      redact: ['PASS*'],
    });
    await until(
      async () => {
        const { json } = await ask(`${server.url}/api/projects/${id}/privacy/`, { headers: bearer });
        return (json as { address: string }).address === 'drop' || undefined;
      },
      { deadlineMs: 1_500, what: 'the server follows' },
    );
    expect(await sendOpen('after')).toEqual(['[redacted]', '']);
    hedgerow(server.dataDir, 'projects', 'set', 'open', '--address', 'keep', '--redact', 'none');
    expect(hedgerow(server.dataDir, 'projects', 'show', 'open')).toEqual({ project: id, address: 'keep', redact: [] });
  });

  it('is changed by scope admin alone, and a bad policy changes nothing', async () => {
    const url = `${server.url}/api/projects/1/privacy/`;
    const { key } = hedgerow(server.dataDir, 'keys', 'create', '--kind', 'personal', '--scopes', 'query') as {
      readonly key: string;
    };
    const put = (body: object, headers: Readonly<Record<string, string>> = bearer): Promise<Answer> =>
      ask(url, { method: 'PUT', headers, body: JSON.stringify(body) });
    const refused = await put({ address: 'keep' }, { Authorization: `Bearer ${key}` });
    expect({ status: refused.status, code: (refused.json as { code: string }).code }).toEqual({
      status: 403,
      code: 'missing_scope',
    });
    for (const bad of [{ address: 'hide' }, { redact: 'x' }, { redact: [''] }, { redact: [1] }, { other: 1 }, [],
      { redact: Array.from({ length: 51 }, (_, i) => `k${i}`) }]) {
      expect([bad, (await put(bad)).status]).toEqual([bad, 400]);
    } // prettier-ignore
    const { json } = await ask(url, { headers: bearer });
    expect(json).toEqual({ address: 'truncate', redact: ['*password*', '$set.email', '$session_id'] });
  });
});
