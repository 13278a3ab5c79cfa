import { describe, expect, it } from 'vitest';
import { asEpochMs, asProjectId } from '../event/ids.ts';
import { admitRequest, type Credentials } from './admit-request.ts';
import type { KeyLookup, KnownPersonalKey, KnownProjectKey } from './key-lookup.ts';

const ours = asProjectId(7);
const theirs = asProjectId(8);
const live = { revokedAtMs: undefined };
const revoked = { revokedAtMs: asEpochMs(1) };

const projectKeys: Readonly<Record<string, KnownProjectKey>> = {
  phc_server: { kind: 'server', projectId: ours, ...live },
  phc_public: { kind: 'public', projectId: ours, ...live },
  phc_server_revoked: { kind: 'server', projectId: ours, ...revoked },
  phc_public_revoked: { kind: 'public', projectId: ours, ...revoked },
};
const personalKeys: Readonly<Record<string, KnownPersonalKey>> = {
  phx_capture: { id: 'capture', scopes: ['capture'], projects: undefined, ...live },
  phx_all: { id: 'all', scopes: ['capture', 'query', 'admin'], projects: undefined, ...live },
  phx_ours: { id: 'ours', scopes: ['capture'], projects: [theirs, ours], ...live },
  phx_theirs: { id: 'theirs', scopes: ['capture'], projects: [theirs], ...live },
  phx_nowhere: { id: 'nowhere', scopes: ['capture'], projects: [], ...live },
  phx_query: { id: 'query', scopes: ['query', 'admin'], projects: undefined, ...live },
  phx_query_theirs: { id: 'query-theirs', scopes: ['query'], projects: [theirs], ...live },
  phx_revoked: { id: 'revoked', scopes: ['capture'], projects: undefined, ...revoked },
};

function keysThatNote(used: string[]): KeyLookup {
  return {
    findProjectKey: (key) => projectKeys[key],
    findPersonalKey: (secret) => personalKeys[secret],
    notePersonalKeyUse: (id) => used.push(id),
  };
}

const post: Credentials = {
  projectKey: 'phc_public',
  hasInconsistentKeys: false,
  authorization: undefined,
  personalApiKeyHeader: undefined,
  method: 'POST',
  hasPayloadInQuery: false,
};

/** `admitted`, `admitted authenticated`, or the code. */
function verdict(sent: Credentials): string {
  const answer = admitRequest(keysThatNote([]), sent);
  if (answer.kind === 'refused') return answer.code;
  expect(answer.projectId).toBe(ours);
  return answer.authenticated ? 'admitted authenticated' : 'admitted';
}

const transports = {
  'POST with a body': { method: 'POST', hasPayloadInQuery: false },
  'POST with data in the query': { method: 'POST', hasPayloadInQuery: true },
  'GET with data in the query': { method: 'GET', hasPayloadInQuery: true },
  'GET with a body': { method: 'GET', hasPayloadInQuery: false },
} as const;

/** What a personal key does, by itself; `none` leaves it to the kind of the project key. */
const shownKeys = {
  'no personal key': { headers: {}, does: 'none' },
  'an empty bearer': { headers: { authorization: 'Bearer ' }, does: 'none' },
  'an empty header of ours': { headers: { personalApiKeyHeader: ' ' }, does: 'none' },
  'a project key as bearer': { headers: { authorization: 'Bearer phc_public' }, does: 'none' },
  'a known secret without the scheme': { headers: { authorization: 'phx_capture' }, does: 'none' },
  'basic authorization': { headers: { authorization: 'Basic phx_capture' }, does: 'none' },
  'a bearer of two words': { headers: { authorization: 'Bearer phx_capture x' }, does: 'none' },
  'a bearer in capitals': { headers: { authorization: 'Bearer PHX_CAPTURE' }, does: 'none' },
  'a key with capture': { headers: { authorization: 'Bearer phx_capture' }, does: 'admitted authenticated' },
  'a scheme in lower case': { headers: { authorization: 'bearer  phx_capture ' }, does: 'admitted authenticated' },
  'a key with all scopes': { headers: { authorization: 'Bearer phx_all' }, does: 'admitted authenticated' },
  'a key for this project': { headers: { authorization: 'Bearer phx_ours' }, does: 'admitted authenticated' },
  'a key in our header': { headers: { personalApiKeyHeader: ' phx_capture ' }, does: 'admitted authenticated' },
  'our header beside a project bearer': {
    headers: { authorization: 'Bearer phc_public', personalApiKeyHeader: 'phx_capture' },
    does: 'admitted authenticated',
  },
  'our header before a bad bearer': {
    headers: { authorization: 'Bearer phx_unknown', personalApiKeyHeader: 'phx_capture' },
    does: 'admitted authenticated',
  },
  'a bad key in our header before a good bearer': {
    headers: { authorization: 'Bearer phx_capture', personalApiKeyHeader: 'phx_unknown' },
    does: 'invalid_personal_api_key',
  },
  'an unknown key': { headers: { authorization: 'Bearer phx_unknown' }, does: 'invalid_personal_api_key' },
  'a revoked key': { headers: { authorization: 'Bearer phx_revoked' }, does: 'invalid_personal_api_key' },
  'no phx_ in our header': { headers: { personalApiKeyHeader: 'phc_public' }, does: 'invalid_personal_api_key' },
  'a key without the scope': { headers: { authorization: 'Bearer phx_query' }, does: 'missing_scope' },
  'a key without scope and project': { headers: { authorization: 'Bearer phx_query_theirs' }, does: 'missing_scope' },
  'a key for another project': { headers: { authorization: 'Bearer phx_theirs' }, does: 'wrong_project' },
  'a key for no project': { headers: { authorization: 'Bearer phx_nowhere' }, does: 'wrong_project' },
} as const;

/** Kind of project key and transport: what happens without a personal key. */
const withoutPersonalKey: Readonly<Record<'server' | 'public', Readonly<Record<keyof typeof transports, string>>>> = {
  server: {
    'POST with a body': 'missing_personal_api_key',
    'POST with data in the query': 'missing_personal_api_key',
    'GET with data in the query': 'admitted',
    'GET with a body': 'missing_personal_api_key',
  },
  public: {
    'POST with a body': 'admitted',
    'POST with data in the query': 'admitted',
    'GET with data in the query': 'admitted',
    'GET with a body': 'admitted',
  },
};

describe('a known project key', () => {
  for (const kind of ['server', 'public'] as const) {
    for (const transport of Object.keys(transports) as (keyof typeof transports)[]) {
      for (const [name, { headers, does }] of Object.entries(shownKeys)) {
        const expected = does === 'none' ? withoutPersonalKey[kind][transport] : does;
        it(`of kind ${kind}, ${transport}, ${name}: ${expected}`, () => {
          const sent = { ...post, projectKey: `phc_${kind}`, ...transports[transport], ...headers };
          expect(verdict(sent)).toBe(expected);
        });
      }
    }
  }
});

describe('a project key that lets nobody in', () => {
  const rows: readonly [name: string, sent: Partial<Credentials>, code: string, reason?: string][] = [
    ['several keys in one array', { hasInconsistentKeys: true }, 'inconsistent_api_keys'],
    [
      'several keys, none of which was chosen',
      { hasInconsistentKeys: true, projectKey: undefined },
      'inconsistent_api_keys',
    ],
    ['no key', { projectKey: undefined }, 'missing_api_key'],
    ['an empty key', { projectKey: '' }, 'invalid_api_key', 'empty'],
    ['a key of 65 bytes', { projectKey: 'a'.repeat(65) }, 'invalid_api_key', 'too_long'],
    ['a key with letters beyond ASCII', { projectKey: 'phc_ü' }, 'invalid_api_key', 'not_ascii'],
    ['a personal key in its place', { projectKey: 'phx_capture' }, 'invalid_api_key', 'personal_api_key'],
    ['a key with NUL', { projectKey: 'phc_\0' }, 'invalid_api_key', 'null_byte'],
    ['a key of the right shape that nobody has', { projectKey: 'a'.repeat(64) }, 'unknown_api_key'],
    ['a known key with a space behind it', { projectKey: 'phc_public ' }, 'unknown_api_key'],
    ['a revoked server key', { projectKey: 'phc_server_revoked' }, 'revoked_api_key'],
    ['a revoked public key', { projectKey: 'phc_public_revoked' }, 'revoked_api_key'],
  ];
  for (const [name, sent, code, reason] of rows) {
    for (const authorization of [undefined, 'Bearer phx_all', 'Bearer phx_unknown']) {
      it(`${name}, ${authorization ?? 'no authorization'}: ${code}`, () => {
        const used: string[] = [];
        const answer = admitRequest(keysThatNote(used), { ...post, ...sent, authorization });
        expect(answer).toEqual({ kind: 'refused', code, ...(reason === undefined ? {} : { fields: { reason } }) });
        expect(used).toEqual([]);
      });
    }
  }
});

describe('the use of a personal key', () => {
  const rows: readonly [secret: string, used: readonly string[]][] = [
    ['phx_capture', ['capture']],
    ['phx_query', ['query']],
    ['phx_theirs', ['theirs']],
    ['phx_revoked', []],
    ['phx_unknown', []],
  ];
  for (const [secret, expected] of rows) {
    it(`is ${expected.length === 0 ? 'not noted' : 'noted'} for ${secret}`, () => {
      const used: string[] = [];
      admitRequest(keysThatNote(used), { ...post, authorization: `Bearer ${secret}` });
      expect(used).toEqual(expected);
    });
  }

  it('names the scope that is missing', () => {
    const answer = admitRequest(keysThatNote([]), { ...post, authorization: 'Bearer phx_query' });
    expect(answer).toEqual({ kind: 'refused', code: 'missing_scope', fields: { scope: 'capture' } });
  });
});
