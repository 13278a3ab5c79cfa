/** The parts of an OpenAPI 3.1 document that ours is made of, under the names that the specification gives them. */

/** JSON Schema 2020-12. */
export type Schema = Readonly<Record<string, unknown>>;

export interface Reference {
  readonly $ref: string;
}

export interface Header {
  readonly description: string;
  readonly required?: boolean;
  readonly schema: Schema;
}

export interface MediaType {
  readonly schema: Schema;
  readonly example?: unknown;
  readonly examples?: Readonly<Record<string, { readonly summary: string; readonly value: unknown }>>;
}

export interface Response {
  readonly description: string;
  readonly headers: Readonly<Record<string, Header | Reference>>;
  readonly content?: Readonly<Record<string, MediaType>>;
}

export interface Parameter {
  readonly name: string;
  readonly in: 'query' | 'path' | 'header';
  readonly description: string;
  readonly required?: boolean;
  readonly schema: Schema;
  readonly example?: unknown;
}

export interface RequestBody {
  readonly description: string;
  readonly required?: boolean;
  readonly content: Readonly<Record<string, MediaType>>;
}

export type Responses = Readonly<Record<string, Response | Reference>>;

export interface Operation {
  readonly tags: readonly string[];
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  /** Each entry is enough; an empty one means that no key is needed. */
  readonly security: readonly Readonly<Record<string, readonly string[]>>[];
  readonly parameters?: readonly (Parameter | Reference)[];
  readonly requestBody?: RequestBody;
  readonly responses: Responses;
}

export type Method = 'get' | 'head' | 'post' | 'put' | 'delete' | 'options';
export type PathItem = Readonly<Partial<Record<Method, Operation>>>;

/** What one family of paths adds to the document. */
export interface PathFamily {
  readonly paths: Readonly<Record<string, PathItem>>;
  /** By the name under which `paths` refer to them. */
  readonly responses: Readonly<Record<string, Response>>;
}

export function responseReference(name: string): Reference {
  return { $ref: `#/components/responses/${name}` };
}

export function schemaReference(name: string): Reference & Schema {
  return { $ref: `#/components/schemas/${name}` };
}

export function parameterReference(name: string): Reference {
  return { $ref: `#/components/parameters/${name}` };
}

const PREFLIGHT = { 200: 'Preflight', 400: 'Preflight400', 503: 'Preflight503' } as const;
const PREFLIGHT_V1 = { 200: 'PreflightV1', 400: 'PreflightV1400', 503: 'PreflightV1503' } as const;

/** The same operation under HEAD: what GET answers, without its body. */
function headOf(get: Operation): Operation {
  const summary = `${get.summary}, without the body of the answer`;
  return { ...get, operationId: `${get.operationId}Head`, summary };
}

function optionsOf(of: Operation, answers: Readonly<Record<string, string>>): Operation {
  return {
    tags: of.tags,
    operationId: `${of.operationId}Options`,
    summary: 'What a browser asks before it sends (CORS)',
    security: [{}],
    responses: Object.fromEntries(
      Object.entries(answers).map(([status, name]) => [status, responseReference(name)] as const),
    ),
  };
}

/** Whoever serves GET serves HEAD, and every path answers OPTIONS. */
export function pathItem(operations: PathItem, protocol: 'v0' | 'v1' = 'v0'): PathItem {
  const first = operations.post ?? operations.get;
  return {
    ...operations,
    ...(operations.get === undefined ? {} : { head: headOf(operations.get) }),
    ...(first === undefined ? {} : { options: optionsOf(first, protocol === 'v1' ? PREFLIGHT_V1 : PREFLIGHT) }),
  };
}
