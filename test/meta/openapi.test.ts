/**
 * The OpenAPI document is well formed and as complete as the routes and the table of errors. What a route really answers is
 * held by test/blackbox/openapi.test.ts. `npx vitest run --project meta -u` writes docs/openapi.json anew.
 *
 * The official schema of OpenAPI 3.1 is in no package that we have, so the structure is checked here by hand; each Schema
 * Object is compiled by ajv, strictly, as JSON Schema 2020-12, which is what 3.1 says that it is.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv2020, type AnySchema } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { format } from 'prettier';
import { describe, expect, it } from 'vitest';
import { errors } from '../../src/errors.ts';
import { openApiDocument } from '../../src/http/openapi/document.ts';
import { captureRoutes, routeOf } from '../../src/http/routes.ts';
import { sideRoutes } from '../../src/http/side-routes.ts';
import { allowedMethods } from '../../src/query/read-api.ts';

type Json = Readonly<Record<string, unknown>>;

const root = fileURLToPath(new URL('../..', import.meta.url));
/** As it is served. */
const document = JSON.parse(JSON.stringify(openApiDocument())) as Json;
const METHODS = ['get', 'head', 'post', 'put', 'delete', 'options'];

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Every object within, and where it stands. */
function objectsIn(value: unknown, at = '#'): [at: string, object: Json][] {
  if (Array.isArray(value)) return value.flatMap((each, i) => objectsIn(each, `${at}/${i}`));
  if (!isObject(value)) return [];
  const inner = Object.entries(value).flatMap(([key, each]) =>
    objectsIn(each, `${at}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`),
  );
  return [[at, value], ...inner];
}

function resolve(reference: unknown): Json | undefined {
  let found: unknown = document;
  for (const part of String(reference).split('/').slice(1)) {
    found = isObject(found) ? found[part.replaceAll('~1', '/').replaceAll('~0', '~')] : undefined;
  }
  return isObject(found) ? found : undefined;
}

function target(value: unknown): Json {
  const object = isObject(value) ? value : {};
  return object['$ref'] === undefined ? object : (resolve(object['$ref']) ?? {});
}

interface Operation {
  readonly path: string;
  readonly method: string;
  readonly operation: Json;
}

const operations: readonly Operation[] = Object.entries(document['paths'] as Json).flatMap(([path, item]) =>
  Object.entries(item as Json).map(([method, operation]) => ({ path, method, operation: operation as Json })),
);
const objects = objectsIn(document);
const references = objects.filter(([, object]) => typeof object['$ref'] === 'string');

describe('the OpenAPI document', () => {
  it('is docs/openapi.json', async () => {
    const text = await format(JSON.stringify(document), { parser: 'json', printWidth: 120 });
    await expect(text).toMatchFileSnapshot(join(root, 'docs/openapi.json'));
  });

  it('has the fields of OpenAPI 3.1, and no other', () => {
    const keys = ['openapi', 'jsonSchemaDialect', 'info', 'servers', 'tags', 'paths', 'components'];
    expect(Object.keys(document).toSorted()).toEqual(keys.toSorted());
    expect(document['openapi']).toMatch(/^3\.1\.\d+$/);
    expect(document['info']).toMatchObject({
      title: expect.any(String) as string,
      version: expect.any(String) as string,
    });
    const allowed = [
      'tags',
      'operationId',
      'summary',
      'description',
      'security',
      'parameters',
      'requestBody',
      'responses',
    ];
    for (const { path, method, operation } of operations) {
      expect({ path, method: METHODS.includes(method) ? '' : method }).toEqual({ path, method: '' });
      expect(Object.keys(operation).filter((key) => !allowed.includes(key))).toEqual([]);
    }
  });

  it('refers to what is there, and has nothing that nobody refers to', () => {
    expect(references.filter(([, { $ref }]) => resolve($ref) === undefined).map(([at]) => at)).toEqual([]);
    const used = new Set(references.map(([, { $ref }]) => String($ref)));
    const named = Object.entries(document['components'] as Json)
      .filter(([kind]) => kind !== 'securitySchemes')
      .flatMap(([kind, all]) => Object.keys(all as Json).map((name) => `#/components/${kind}/${name}`));
    // What no operation can describe: the description of the document names them.
    const elsewhere = ['NotFound', 'MethodNotAllowed', 'V1MethodNotAllowed'].map(
      (name) => `#/components/responses/${name}`,
    );
    expect(named.filter((name) => !used.has(name))).toEqual(elsewhere);
  });

  it('names each operation once, says what it is for, and under a tag that is there', () => {
    const ids = operations.map(({ operation }) => operation['operationId']);
    expect(ids.filter((id, i) => ids.indexOf(id) !== i)).toEqual([]);
    const tags = (document['tags'] as readonly Json[]).map(({ name }) => name);
    for (const { operation } of operations) {
      expect(operation['summary']).toMatch(/\S/);
      expect(tags).toEqual(expect.arrayContaining(operation['tags'] as string[]));
    }
  });

  it('has for each {name} of a path a parameter, and the other way round', () => {
    for (const { path, method, operation } of operations) {
      if (method === 'options') continue;
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const parameters = ((operation['parameters'] ?? []) as unknown[]).map(target);
      const named = parameters.filter((parameter) => parameter['in'] === 'path');
      expect({ path, names: new Set(named.map(({ name }) => name)) }).toEqual({ path, names: new Set(inPath) });
      expect(named.every(({ required }) => required === true)).toBe(true);
      for (const parameter of parameters) expect(parameter['schema']).toBeDefined();
      const keys = parameters.map((parameter) => `${String(parameter['in'])} ${String(parameter['name'])}`);
      expect(keys.filter((key, i) => keys.indexOf(key) !== i)).toEqual([]);
    }
  });

  it('describes each answer and its headers, and none with a body on 204 and 304', () => {
    for (const { path, operation } of operations) {
      const schemes = Object.keys((document['components'] as Json)['securitySchemes'] as Json);
      for (const entry of operation['security'] as readonly Json[]) {
        expect(schemes).toEqual(expect.arrayContaining(Object.keys(entry)));
      }
      for (const [status, response] of Object.entries(operation['responses'] as Json)) {
        const { description, headers, content } = target(response);
        expect(description).toMatch(/\S/);
        for (const header of Object.values(headers as Json)) expect(target(header)['schema']).toBeDefined();
        if (status === '204' || status === '304')
          expect({ path, status, content }).toEqual({ path, status, content: undefined });
      }
    }
  });

  it('has JSON schemas that ajv compiles strictly, and examples that fit them', () => {
    const ajv = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false, allErrors: true });
    formats.default(ajv);
    ajv.addKeyword('components');
    ajv.addSchema({ $id: 'openapi', components: document['components'] }, 'openapi', false, false);
    const held = objects.filter(([at, object]) => isObject(object['schema']) && !at.includes('/schemas/'));
    expect(held.length).toBeGreaterThan(50);
    const compile = (schema: unknown) =>
      ajv.compile(
        JSON.parse(JSON.stringify(schema).replaceAll('"#/components/', '"openapi#/components/')) as AnySchema,
      );
    for (const schema of Object.keys((document['components'] as Json)['schemas'] as Json)) {
      compile({ $ref: `#/components/schemas/${schema}` });
    }
    for (const [at, object] of held) {
      const fits = compile(object['schema']);
      const examples = Object.values((object['examples'] ?? {}) as Json).map((each) => (each as Json)['value']);
      for (const example of 'example' in object ? [object['example'], ...examples] : examples) {
        expect({ at, problems: fits(example) ? [] : fits.errors }).toEqual({ at, problems: [] });
      }
    }
  });
});

describe('the OpenAPI document tells of', () => {
  const paths = Object.keys(document['paths'] as Json);
  const isThere = (path: string): boolean => paths.includes(path) || paths.includes(`${path}/`);

  it('every path of capture, and every one that SDKs call', () => {
    const all = [...captureRoutes.keys()].map((path) => path.replace(/\/$/, '')).concat([...sideRoutes.keys()]);
    expect(all.filter((path) => !isThere(path))).toEqual([]);
  });

  it('the methods that each of those has', () => {
    for (const [path, { methods }] of sideRoutes) {
      const item = ((document['paths'] as Json)[path] ?? (document['paths'] as Json)[`${path}/`]) as Json;
      const told = Object.keys(item).map((method) => method.toUpperCase());
      expect({ path, methods: told.toSorted() }).toEqual({ path, methods: [...methods, 'OPTIONS'].toSorted() });
    }
  });

  /** Texts in a source that could be a path or a part of one: whatever of them is served has to be here. */
  const textsIn = (file: string): string[] => {
    const source = readFileSync(join(root, file), 'utf8');
    return [...new Set([...source.matchAll(/'(\/?[a-z_.]+)'/g)].map(([, text = '']) => text))];
  };

  it('every path that routes.ts knows by its text', () => {
    const known = textsIn('src/http/routes.ts').filter(
      (text) => text.startsWith('/') && routeOf(text).kind !== 'unknown',
    );
    expect(known.length).toBeGreaterThan(5);
    expect(known.filter((path) => path !== '/api/projects' && !isThere(path))).toEqual([]);
  });

  it('every path of the reading API, with its methods', () => {
    const nouns = textsIn('src/query/read-api.ts').filter((text) => !text.startsWith('/'));
    const tried = ['', ...nouns.flatMap((noun) => [`/1/${noun}`, `/1/${noun}/x`])].map(
      (rest) => `/api/projects${rest}`,
    );
    const served = tried.filter((path) => allowedMethods(path) !== undefined);
    expect(served.length).toBeGreaterThan(4);
    for (const path of served) {
      const documented = `${path.replace('/1', '/{project}').replace('/x', '/{uuid}')}/`;
      const told = Object.keys(((document['paths'] as Json)[documented] ?? {}) as Json).map((method) =>
        method.toUpperCase(),
      );
      const allowed = allowedMethods(path)?.split(', ') ?? [];
      expect({ documented, methods: told.toSorted() }).toEqual({ documented, methods: allowed.toSorted() });
    }
  });

  it('no path that nobody serves', () => {
    expect(paths.filter((path) => routeOf(path.replaceAll(/[{}]/g, '')).kind === 'unknown')).toEqual([]);
  });

  it('every code of the table of errors', () => {
    const text = JSON.stringify(document);
    const untold = Object.keys(errors).filter((code) => !text.includes(`"${code}"`));
    // Of the first, the events are counted and named nowhere; of the second, nobody is there to read the answer.
    expect(untold).toEqual(['performance_event', 'query_cancelled']);
  });
});
