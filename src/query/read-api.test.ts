import { describe, expect, it } from 'vitest';
import { bodyOf, codeOf, readApiForTest } from './read-api-for-test.ts';

const uuid = '018f3b7e-5d5c-7c2a-9e1b-0123456789ab';

describe('who may read', () => {
  const rows: readonly [name: string, authorization: string | undefined, path: string, code: string][] = [
    ['no header', undefined, '/api/projects/', 'missing_bearer'],
    ['an empty header', '', '/api/projects/', 'missing_bearer'],
    ['another scheme', 'Basic abc', '/api/projects/', 'missing_bearer'],
    ['a bearer without a key', 'Bearer ', '/api/projects/', 'missing_bearer'],
    ['an unknown key', 'Bearer phx_other', '/api/projects/', 'invalid_personal_api_key'],
    ['a project key', 'Bearer phc_public', '/api/projects/', 'invalid_personal_api_key'],
    ['a revoked key', 'Bearer phx_revoked', '/api/projects/', 'invalid_personal_api_key'],
    ['a key that may capture only', 'Bearer phx_capture', '/api/projects/', 'missing_scope'],
    ['a key of another project', 'Bearer phx_second', '/api/projects/1/events/', 'wrong_project'],
    ['a project that does not exist', 'Bearer phx_all', '/api/projects/3/events/', 'unknown_project'],
    ['a project named by a word', 'Bearer phx_all', '/api/projects/first/events/', 'unknown_project'],
    [
      'the current project of a key without any',
      'Bearer phx_none',
      '/api/projects/@current/events/',
      'unknown_project',
    ],
    ['a key for all projects', 'Bearer phx_all', '/api/projects/2/events/', 'answer'],
    ['a key of this project', 'bearer phx_second', '/api/projects/2/events/', 'answer'],
  ];
  for (const [name, authorization, path, code] of rows) {
    it(`${name}: ${code}`, async () => {
      const { get, store } = readApiForTest();
      expect(codeOf(await get(path, { authorization }))).toBe(code);
      expect(store.asked).toHaveLength(code === 'answer' ? 1 : 0);
    });
  }

  it('notes the use of a key that may query, and of no other', async () => {
    const { get, usedKeys } = readApiForTest();
    await get('/api/projects/');
    await get('/api/projects/', { authorization: 'Bearer phx_capture' });
    await get('/api/projects/', { authorization: 'Bearer phx_revoked' });
    expect(usedKeys).toEqual(['all']);
  });

  const current: readonly [authorization: string, path: string, projectId: number][] = [
    ['Bearer phx_all', '/api/projects/@current/events/', 1],
    ['Bearer phx_second', '/api/projects/@current/events/', 2],
    ['Bearer phx_second', '/api/projects/%40current/events/', 2],
  ];
  for (const [authorization, path, projectId] of current) {
    it(`${path} with ${authorization} reads project ${projectId}`, async () => {
      const { get, store } = readApiForTest();
      await get(path, { authorization });
      expect(store.asked[0]?.parameters).toMatchObject({ project_id: projectId });
    });
  }
});

describe('paths of the reading API', () => {
  const rows: readonly [method: string, path: string, code: string][] = [
    ['GET', '/api/projects', 'answer'],
    ['GET', '/api/projects/', 'answer'],
    ['HEAD', '/api/projects/', 'answer'],
    ['GET', '/api/projects/1/events', 'answer'],
    ['GET', '/api/projects/1/rejections', 'answer'],
    ['GET', '/api/projects/1/rejections/', 'answer'],
    ['GET', `/api/projects/1/events/${uuid}`, 'unknown_event'],
    ['GET', `/api/projects/1/events/${uuid}/`, 'unknown_event'],
    ['POST', '/api/projects/1/query', 'invalid_json'],
    ['POST', '/api/projects/1/query/', 'invalid_json'],
    ['POST', '/api/projects/', 'method_not_allowed'],
    ['DELETE', `/api/projects/1/events/${uuid}/`, 'method_not_allowed'],
    ['GET', '/api/projects/1/query/', 'method_not_allowed'],
    ['GET', '/api/projects/1/', 'not_found'],
    ['GET', '/api/projects/1/persons/', 'not_found'],
    ['GET', '/api/projects/1/rejections/1/', 'not_found'],
    ['GET', `/api/projects/1/events/${uuid}/more/`, 'not_found'],
    ['GET', '/api/', 'not_found'],
    ['GET', '/api/projects/1/events//', 'invalid_parameter'],
    ['GET', '/api/projects/%/events/', 'unknown_project'],
  ];
  for (const [method, path, code] of rows) {
    it(`${method} ${path}: ${code}`, async () => {
      expect(codeOf(await readApiForTest().get(path, { method }))).toBe(code);
    });
  }
});

describe('the list of projects', () => {
  it('holds the projects that the key may read, by id', async () => {
    const { get } = readApiForTest();
    expect(JSON.parse(bodyOf(await get('/api/projects/')))).toEqual({
      results: [
        { id: 1, name: 'First', created_at: '1970-01-01T00:00:01.000Z' },
        { id: 2, name: 'Second', created_at: '1970-01-01T00:00:02.000Z' },
      ],
    });
    const limited = await get('/api/projects/', { authorization: 'Bearer phx_second' });
    expect(JSON.parse(bodyOf(limited))).toMatchObject({ results: [{ id: 2 }] });
  });
});
