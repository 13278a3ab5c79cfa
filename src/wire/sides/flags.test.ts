import { runInNewContext } from 'node:vm';
import { describe, expect, it } from 'vitest';
import { flagsAnswer } from './flags-answer.ts';
import { readFlagsRequest } from './flags-request.ts';
import { remoteConfig, remoteConfigScript } from './remote-config.ts';

const question = {
  path: '/flags',
  version: '2',
  wantsConfig: false,
  token: 'phc_x',
  requestId: 'r',
  evaluatedAtMs: 5,
} as const;

describe('the answer to a question for flags (sdks.md 14, 20.3)', () => {
  const v2 = { flags: {}, errorsWhileComputingFlags: false, requestId: 'r', evaluatedAt: 5 };
  const old = { featureFlags: {}, featureFlagPayloads: {}, errorsWhileComputingFlags: false };
  const config = remoteConfig('phc_x');
  const clicks = { config: { enable_collect_everything: true } };
  it.each([
    ['/flags?v=2', {}, v2],
    ['/flags?v=4', { version: '4' }, v2],
    ['/flags?v=2&config=true', { wantsConfig: true }, { ...v2, ...config }],
    ['/flags', { version: undefined }, { ...old, ...config }],
    ['/flags?v=1', { version: '1' }, { ...old, ...config }],
    ['/flags?v=nonsense', { version: 'nonsense' }, { ...old, ...config }],
    ['/decide', { path: '/decide', version: undefined }, { ...old, ...config, ...clicks }],
    ['/decide?v=3', { path: '/decide', version: '3' }, { ...old, ...config, ...clicks }],
    ['/decide?v=4', { path: '/decide', version: '4' }, { ...v2, ...config, ...clicks }],
  ] as const)('%s', (_name, changes, wanted) => {
    expect(JSON.parse(flagsAnswer({ ...question, ...changes }))).toEqual(wanted);
  });
});

describe('a request for flags', () => {
  it.each([
    ['{"token":"phc_a","distinct_id":"d"}', 'phc_a'],
    ['{"api_key":"phc_a","groups":{"token":"other"}}', 'phc_a'],
    [String.raw`{"person_properties":{"a":[1,{"b":2}]},"token":"phc_\u0061"}`, 'phc_a'],
    ['{"token":7}', undefined],
    ['{}', undefined],
  ])('%s names the key %s', (text, token) => {
    expect(readFlagsRequest(Buffer.from(text))).toEqual({ kind: 'flags_request', token });
  });

  it.each(['[]', '', '{"token":"a"', '{"token":"a"}x', '{"token" "a"}'])('%j is refused', (text) => {
    expect(readFlagsRequest(Buffer.from(text))).toMatchObject({ kind: 'fault', code: 'invalid_json' });
  });
});

describe('the config as a script', () => {
  function run(token: string, before: object = {}): unknown {
    const window: { _POSTHOG_REMOTE_CONFIG?: unknown } = { ...before };
    runInNewContext(remoteConfigScript(token), { window });
    return JSON.parse(JSON.stringify(window._POSTHOG_REMOTE_CONFIG));
  }

  it('leaves the config under its key, beside those of other keys', () => {
    expect(run('phc_x', { _POSTHOG_REMOTE_CONFIG: { other: 1 } })).toEqual({
      other: 1,
      phc_x: { config: remoteConfig('phc_x'), siteApps: [] },
    });
  });

  it('runs nothing of the key, whatever the key', () => {
    for (const token of ['"];alert(1)//', '</script><script>alert(1)', '\\"', 'a\u2028b']) {
      expect(Object.keys(run(token) as object)).toEqual([token]);
      expect(remoteConfigScript(token)).not.toMatch(/[<>\u2028]/);
    }
  });

  it('asks for no script of a product that is off: surveys are left out (sdks.md 20.2)', () => {
    expect(remoteConfig('x')).not.toHaveProperty('surveys');
  });
});
