import { describe, expect, it } from 'vitest';
import { loadConfig, type ConfigInput, type LoadedConfig } from './load-config.ts';
import { printedConfig } from './print-config.ts';
import { settingNames, settings } from './settings.ts';

const MIB = 1024 * 1024;

function load({ flags = {}, env = {}, file }: Partial<ConfigInput> & { file?: string } = {}): LoadedConfig {
  const readFile = (path: string): string => {
    if (file === undefined || path !== 'hedgerow.yaml') throw Object.assign(new Error('no file'), { code: 'ENOENT' });
    return file;
  };
  return loadConfig({ flags: file === undefined ? flags : { config: 'hedgerow.yaml', ...flags }, env, readFile });
}

function loaded(input: Parameters<typeof load>[0] = {}): Extract<LoadedConfig, { kind: 'ok' }> {
  const result = load(input);
  if (result.kind === 'invalid') throw new Error(result.problems.join('\n'));
  return result;
}

function problemsOf(input: Parameters<typeof load>[0]): readonly string[] {
  const result = load(input);
  return result.kind === 'invalid' ? result.problems : [];
}

describe('the configuration', () => {
  it('has a default for everything', () => {
    const { config } = loaded();
    expect({ ...config, roles: [...config.roles] }).toEqual({
      host: '127.0.0.1',
      port: 8000,
      dataDir: './hedgerow-data',
      roles: ['capture', 'loader', 'query'],
      logUrl: 'segments:',
      storeUrl: 'chdb:',
      registryUrl: 'lmdb:',
      limitsUrl: 'memory:',
      logLevel: 'info',
      trustedProxies: 'all',
      drainDelayMs: 0,
      maxBodyBytes: 20 * MIB,
      maxInflatedBytes: 100 * MIB,
      maxEventBytes: 1_000_000,
      maxAiEventBytes: 8 * MIB,
      maxQueueBytes: 200 * MIB,
      maxQueueAgeMs: 10_000,
      logRetentionMs: 0,
      reserveBytes: 128 * MIB,
      maxConnections: 10_000,
      segmentBytes: 32 * MIB,
      bodyTimeoutMs: 10_000,
      querySeconds: 30,
      queryMaxRows: 50_000,
      queryConcurrency: 4,
      storeMaxMemoryBytes: 1_000_000_000,
      rejectionsMaxDays: 30,
      rejectionsMaxBytes: 1_073_741_824,
      seeds: { projectApiKey: undefined, publicApiKey: undefined, personalApiKey: undefined },
      configFile: undefined,
    });
    expect([Object.isFrozen(config), Object.isFrozen(config.seeds)]).toEqual([true, true]);
  });

  it('takes a flag before the environment, that before the file, that before the default', () => {
    const file = 'port: 1\nhost: file\nlog-level: debug\n';
    const { config, sources } = loaded({
      flags: { port: '3' },
      env: { HEDGEROW_PORT: '2', HEDGEROW_HOST: 'env' },
      file,
    });
    expect([config.port, config.host, config.logLevel, config.dataDir]).toEqual([3, 'env', 'debug', './hedgerow-data']);
    expect(sources.port).toEqual({ from: 'flag', name: '--port', text: '3' });
    expect(sources.host).toEqual({ from: 'environment', name: 'HEDGEROW_HOST', text: 'env' });
    expect(sources.logLevel).toEqual({ from: 'file', name: 'hedgerow.yaml', text: 'debug' });
    expect(sources.dataDir).toEqual({ from: 'default', name: undefined, text: './hedgerow-data' });
    expect(config.configFile).toBe('hedgerow.yaml');
  });

  it('finds the file by the environment too, and takes an empty file', () => {
    const { config } = loadedFromEnv('');
    expect([config.configFile, config.port]).toEqual(['hedgerow.yaml', 8000]);
  });

  function loadedFromEnv(file: string): Extract<LoadedConfig, { kind: 'ok' }> {
    const result = loadConfig({ flags: {}, env: { HEDGEROW_CONFIG: 'hedgerow.yaml' }, readFile: () => file });
    if (result.kind === 'invalid') throw new Error(result.problems.join('\n'));
    return result;
  }

  it('counts an empty environment variable as not set, and leaves the variables of others alone', () => {
    const env = {
      HEDGEROW_PORT: '',
      HEDGEROW_URL: 'http://x',
      HEDGEROW_SKIP_BUILD: '1',
      PATH: '/bin',
      HOME: undefined,
    };
    expect(loaded({ env }).config.port).toBe(8000);
  });

  it('takes the seeds from environment and file', () => {
    const env = { HEDGEROW_PROJECT_API_KEY: 'phc_a', HEDGEROW_PERSONAL_API_KEY: 'phx_c' };
    const { config } = loaded({ env, file: 'public-api-key: "12345"' });
    expect(config.seeds).toEqual({ projectApiKey: 'phc_a', publicApiKey: '12345', personalApiKey: 'phx_c' });
  });

  it('derives a consistent name for each place', () => {
    for (const name of settingNames) {
      const { flag, fileKey, env, isSecret } = settings[name];
      expect(env).toBe(`HEDGEROW_${fileKey.toUpperCase().replaceAll('-', '_')}`);
      expect(flag).toBe(isSecret ? undefined : fileKey);
    }
  });
});

describe('a value', () => {
  const good: readonly [
    flag: string,
    text: string,
    read: (result: ReturnType<typeof loaded>) => unknown,
    value: unknown,
  ][] = [
    ['port', '0', ({ config }) => config.port, 0],
    ['port', '65535', ({ config }) => config.port, 65_535],
    ['role', 'all', ({ config }) => [...config.roles], ['capture', 'loader', 'query']],
    ['role', 'query, loader', ({ config }) => [...config.roles].sort(), ['loader', 'query']],
    ['role', 'capture', ({ config }) => [...config.roles], ['capture']],
    ['drain-delay', '1500', ({ config }) => config.drainDelayMs, 1_500],
    ['drain-delay', '1500ms', ({ config }) => config.drainDelayMs, 1_500],
    ['drain-delay', '5s', ({ config }) => config.drainDelayMs, 5_000],
    ['trusted-proxies', 'none', ({ config }) => config.trustedProxies, []],
    ['trusted-proxies', '10.0.0.0/8, ::1', ({ config }) => config.trustedProxies, ['10.0.0.0/8', '::1']],
    ['max-queue-bytes', '1048576', ({ config }) => config.maxQueueBytes, MIB],
    ['log-url', 'segments:', ({ config }) => config.logUrl, 'segments:'],
    ['ingest-path', '/ingest', ({ config }) => config.ingestPath, '/ingest'],
    ['ingest-path', '/a/b-c_d.e~1/', ({ config }) => config.ingestPath, '/a/b-c_d.e~1'],
  ];
  for (const [flag, text, read, value] of good) {
    it(`${text} of --${flag} is taken`, () => expect(read(loaded({ flags: { [flag]: text } }))).toEqual(value));
  }

  const noIngestPath =
    'expected a path such as /ingest: it begins with a slash, holds letters, digits and - . _ ~ between slashes, ' +
    'and no .. or empty part';
  const bad: readonly [flag: string, text: string, problem: string][] = [
    ['ingest-path', '', noIngestPath],
    ['ingest-path', '/', noIngestPath],
    ['ingest-path', 'ingest', noIngestPath],
    ['ingest-path', '/a//b', noIngestPath],
    ['ingest-path', '/a//', noIngestPath],
    ['ingest-path', '/a/../b', noIngestPath],
    ['ingest-path', '/./a', noIngestPath],
    ['ingest-path', '/a?b', noIngestPath],
    ['ingest-path', '/a%2fb', noIngestPath],
    ['ingest-path', '/api', "/api is a path of Hedgerow's own; choose one that begins otherwise, such as /ingest"],
    ['ingest-path', '/i', "/i is a path of Hedgerow's own; choose one that begins otherwise, such as /ingest"],
    ['ingest-path', '/API/x/', "/api is a path of Hedgerow's own; choose one that begins otherwise, such as /ingest"],
    ['port', '65536', 'expected a whole number from 0 to 65535'],
    ['port', '-1', 'expected a whole number from 0 to 65535'],
    ['port', '', 'expected a whole number from 0 to 65535'],
    ['port', '80.0', 'expected a whole number from 0 to 65535'],
    ['port', '0x50', 'expected a whole number from 0 to 65535'],
    ['max-queue-bytes', '64MB', 'expected a whole number of bytes from 1048576 to 4294967296'],
    ['max-queue-bytes', '1048575', 'expected a whole number of bytes from 1048576 to 4294967296'],
    ['host', ' ', 'expected a text that is not empty'],
    ['role', 'capture,reader', 'expected all, or one or more of capture, loader, query, comma-separated'],
    ['role', ',', 'expected all, or one or more of capture, loader, query, comma-separated'],
    ['log-level', 'loud', 'expected one of fatal, error, warn, info, debug, trace, silent'],
    ['drain-delay', '5m', 'expected milliseconds from 0 to 600000, or seconds with s behind them, such as 5s'],
    ['drain-delay', '601s', 'expected milliseconds from 0 to 600000, or seconds with s behind them, such as 5s'],
    [
      'trusted-proxies',
      '10.0.0.0/33',
      'expected all, none, or a comma-separated list of IP addresses and networks such as 10.0.0.0/8',
    ],
    [
      'log-url',
      'kafka://a:9092/t',
      'the engine kafka: comes with the cluster and is not in this version; the only one is segments:',
    ],
    [
      'store-url',
      'clickhouse://u:pw@h/db',
      'the engine clickhouse: comes with the cluster and is not in this version; the only one is chdb:',
    ],
    [
      'registry-url',
      'postgres://u:pw@h/db',
      'the engine postgres: comes with the cluster and is not in this version; the only one is lmdb:',
    ],
    [
      'limits-url',
      'redis://h',
      'the engine redis: comes with the cluster and is not in this version; the only one is memory:',
    ],
    ['limits-url', 'memory', 'expected memory:'],
    ['log-url', 'segments:/elsewhere', 'expected segments: and nothing behind it'],
  ];
  for (const [flag, text, problem] of bad) {
    it(`"${text}" of --${flag} is refused with the reason`, () => {
      const shown = text.includes('://') ? ':' : ` is "${text}";`;
      expect(problemsOf({ flags: { [flag]: text } })).toEqual([`--${flag}${shown} ${problem}`]);
    });
  }

  it('that is a bad key is refused without showing it', () => {
    const env = {
      HEDGEROW_PROJECT_API_KEY: 'phx_oops',
      HEDGEROW_PUBLIC_API_KEY: 'x'.repeat(65),
      HEDGEROW_PERSONAL_API_KEY: 'phc_oops',
    };
    const problems = problemsOf({ env });
    expect(problems).toHaveLength(3);
    expect(problems.join('\n')).toContain('(personal_api_key)');
    expect(problems.join('\n')).not.toMatch(/oops|xxx/);
  });

  it('seeds one key with one kind', () => {
    expect(problemsOf({ env: { HEDGEROW_PROJECT_API_KEY: 'same', HEDGEROW_PUBLIC_API_KEY: 'same' } })).toEqual([
      'HEDGEROW_PROJECT_API_KEY and HEDGEROW_PUBLIC_API_KEY are the same key; a key has one kind, so choose two',
    ]);
  });
});

describe('what is wrong', () => {
  it('is told all at once, with place, reason and nearest name', () => {
    const file = 'log-uri: "segments:"\nmax-queue-bytes: 64MB\nport:\nsegment-bytes: {a: 1}\nrole: [capture, loader]\n';
    const problems = problemsOf({
      flags: { prot: '1', 'query-seconds': '0', 'bogus-path': '/x' },
      env: { HEDGEROW_HOTS: 'secret', HEDGEROW_LOG_LEVEL: 'loud' },
      file,
    });
    expect([...problems].sort()).toEqual([
      '--query-seconds is "0"; expected a whole number of seconds from 1 to 86400',
      'HEDGEROW_LOG_LEVEL is "loud"; expected one of fatal, error, warn, info, debug, trace, silent',
      'hedgerow.yaml: max-queue-bytes is "64MB"; expected a whole number of bytes from 1048576 to 4294967296',
      'hedgerow.yaml: port: expected a text, a number or a list of them',
      'hedgerow.yaml: segment-bytes: expected a text, a number or a list of them',
      'hedgerow.yaml: unknown key log-uri; the nearest valid name is log-url',
      'unknown environment variable HEDGEROW_HOTS; the nearest valid name is HEDGEROW_HOST',
      expect.stringMatching(/^unknown flag --bogus-path; the nearest valid name is --[a-z-]+$/) as string,
      'unknown flag --prot; the nearest valid name is --port',
    ]);
  });

  const files: readonly [name: string, file: string, problem: string][] = [
    ['no YAML', 'port: 1\nhost: [', 'hedgerow.yaml: line 2 is no YAML'],
    ['a key twice', 'port: 1\nport: 2\n', 'hedgerow.yaml: line 2 is no YAML (duplicate key)'],
    ['two documents', 'port: 1\n---\nport: 2\n', 'hedgerow.yaml: line 2 is no YAML (multiple docs)'],
    ['a list', '- port\n', 'hedgerow.yaml: expected one mapping of keys to values'],
    ['a text', 'port', 'hedgerow.yaml: expected one mapping of keys to values'],
    ['a key that is a number', 'project-api-key: 0123\n', 'hedgerow.yaml: project-api-key: expected a text in quotes'],
    ['a key of ours in its environment form', 'HEDGEROW_PORT: 1\n', 'hedgerow.yaml: unknown key HEDGEROW_PORT'],
    ['a prototype', '__proto__: 1\n', 'hedgerow.yaml: unknown key __proto__'],
  ];
  for (const [name, file, problem] of files) {
    it(`is told for a file with ${name}`, () => {
      const problems = problemsOf({ file });
      expect(problems.length).toBeGreaterThan(0);
      expect(problems[0]).toContain(problem);
    });
  }

  it('is told for a file that cannot be read', () => {
    expect(problemsOf({ flags: { config: 'absent.yaml' } })).toEqual(['absent.yaml: cannot be read (ENOENT)']);
  });

  it('is told for a seed given as a flag, which everybody on the machine could read', () => {
    expect(problemsOf({ flags: { 'project-api-key': 'phc_x' } })[0]).toContain('unknown flag --project-api-key');
  });
});

describe('the printed configuration', () => {
  it('shows value and origin of each setting, and masks secrets', () => {
    const { sources } = loaded({ flags: { port: '0' }, env: { HEDGEROW_PERSONAL_API_KEY: 'phx_hidden' } });
    const printed = printedConfig(sources);
    expect(printed.split('\n').filter((line) => line !== '')).toHaveLength(settingNames.length);
    expect(printed).toMatch(/^port +0 +flag --port$/m);
    expect(printed).toMatch(/^host +127\.0\.0\.1 +default$/m);
    expect(printed).toMatch(/^project-api-key +\(not set\) +default$/m);
    expect(printed).toMatch(/^personal-api-key +\*{8} +environment HEDGEROW_PERSONAL_API_KEY$/m);
    expect(printed + JSON.stringify(sources)).not.toContain('hidden');
  });
});
