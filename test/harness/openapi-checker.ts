/** Holds recorded exchanges against an OpenAPI document. */
import { Ajv2020, type AnySchema, type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import type { RecordedExchange } from './recorder.ts';

type Json = Readonly<Record<string, unknown>>;

export interface DocumentedOperation {
  /** `post /capture/` */
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly tag: string;
  readonly json: Json;
  /** By status; references are followed. */
  readonly responses: ReadonlyMap<string, Json>;
}

export interface Verdict {
  /** Undefined: the document has no such path or method. */
  readonly operation: DocumentedOperation | undefined;
  readonly problems: readonly string[];
}

/** Of the connection, and those that describe the body, which is looked at itself. */
const TRANSPORT = new Set([
  'connection', 'content-length', 'content-type', 'date', 'keep-alive', 'transfer-encoding',
]); // prettier-ignore

export class OpenApiChecker {
  readonly operations: readonly DocumentedOperation[];
  readonly #document: Json;
  readonly #paths: readonly { readonly path: string; readonly pattern: RegExp }[];
  readonly #ajv = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false, allErrors: true });
  readonly #compiled = new Map<unknown, ValidateFunction>();

  constructor(document: Json) {
    this.#document = document;
    formats.default(this.#ajv);
    this.#ajv.addKeyword('components');
    this.#ajv.addSchema({ $id: 'openapi', components: document['components'] }, 'openapi', false, false);
    const paths = Object.entries(document['paths'] as Json);
    // A path without parameters goes before one that fits too.
    this.#paths = paths
      .map(([path]) => ({ path, pattern: patternOf(path) }))
      .toSorted((a, b) => a.path.split('{').length - b.path.split('{').length);
    this.operations = paths.flatMap(([path, item]) =>
      Object.entries(item as Json).map(([method, operation]) => this.#operation(path, method, operation as Json)),
    );
  }

  /** A part of the document; a reference is followed. */
  followed(part: unknown): Json {
    const reference = (part as Json)['$ref'];
    if (typeof reference !== 'string') return part as Json;
    let found: unknown = this.#document;
    for (const key of reference.split('/').slice(1)) found = (found as Json)[key.replaceAll('~1', '/')];
    return found as Json;
  }

  check(exchange: RecordedExchange): Verdict {
    const path = this.#pathOf(exchange.target);
    const method = exchange.method.toLowerCase();
    const operation = this.operations.find((each) => each.path === path && each.method === method);
    if (operation !== undefined) {
      const response = operation.responses.get(String(exchange.status));
      if (response === undefined) return { operation, problems: [`the status ${exchange.status} is not documented`] };
      return { operation, problems: [...this.#response(exchange, response), ...this.#request(exchange, operation)] };
    }
    // A browser's question is answered whatever the path is.
    if (method === 'options') return { operation, problems: this.#elsewhere(exchange, 200, 'Preflight') };
    if (path === undefined) return { operation, problems: this.#elsewhere(exchange, 404, 'NotFound') };
    const isV1 = this.operations.some((each) => each.path === path && each.tag === 'Capture V1');
    const methods = this.operations.filter((each) => each.path === path).map((each) => each.method.toUpperCase());
    const allow = exchange.headers['allow']?.split(', ') ?? [];
    const isSame = JSON.stringify(allow.toSorted()) === JSON.stringify(methods.toSorted());
    return {
      operation,
      problems: [
        ...this.#elsewhere(exchange, 405, isV1 ? 'V1MethodNotAllowed' : 'MethodNotAllowed'),
        ...(isSame ? [] : [`Allow is "${allow.join(', ')}", documented are ${methods.join(', ')}`]),
      ],
    };
  }

  #operation(path: string, method: string, json: Json): DocumentedOperation {
    const responses = Object.entries(json['responses'] as Json).map(
      ([status, response]) => [status, this.followed(response)] as const,
    );
    const [tag] = json['tags'] as string[];
    return { name: `${method} ${path}`, method, path, tag: tag ?? '', json, responses: new Map(responses) };
  }

  #pathOf(target: string): string | undefined {
    const [path = ''] = target.split('?');
    return this.#paths.find(({ pattern }) => pattern.test(path))?.path;
  }

  #elsewhere(exchange: RecordedExchange, status: number, component: string): readonly string[] {
    if (exchange.status !== status)
      return [`${exchange.status} instead of ${status}, the answer to what is not documented`];
    return this.#response(exchange, this.followed({ $ref: `#/components/responses/${component}` }));
  }

  #response(exchange: RecordedExchange, response: Json): readonly string[] {
    return [...this.#headers(exchange, response['headers'] as Json), ...this.#body(exchange, response['content'])];
  }

  #headers({ requestHeaders, headers }: RecordedExchange, documented: Json): readonly string[] {
    const problems: string[] = [];
    const known = new Map(
      Object.entries(documented).map(([name, header]) => [name.toLowerCase(), this.followed(header)]),
    );
    for (const [name, value] of Object.entries(headers)) {
      const header = known.get(name);
      if (header === undefined) {
        if (!TRANSPORT.has(name)) problems.push(`the header ${name} is not documented`);
        continue;
      }
      problems.push(...this.#misfits(header['schema'], value, `header ${name}`));
    }
    for (const [name, header] of known) {
      if (header['required'] === true && headers[name] === undefined) problems.push(`the header ${name} is missing`);
    }
    if (headers['access-control-allow-origin'] !== requestHeaders['origin'])
      problems.push('the origin is not mirrored');
    return problems;
  }

  #body({ method, headers, body }: RecordedExchange, documented: unknown): readonly string[] {
    const bytes = Buffer.from(body, 'base64');
    const type = headers['content-type']?.split(';', 1)[0];
    if (documented === undefined) {
      return type === undefined && bytes.length === 0 ? [] : [`a body of type ${type ?? 'none'} is not documented`];
    }
    const media = type === undefined ? undefined : ((documented as Json)[type] as Json | undefined);
    if (media === undefined) return [`the content type ${type ?? 'none'} is not documented`];
    if (method === 'HEAD') return bytes.length === 0 ? [] : ['HEAD has a body'];
    if (headers['content-encoding'] !== undefined) return [];
    const text = bytes.toString();
    return this.#misfits(media['schema'], type === 'application/json' ? jsonOf(text) : text, 'body');
  }

  /** What was taken as it is has to fit what is said to be taken. */
  #request(exchange: RecordedExchange, { json }: DocumentedOperation): readonly string[] {
    const { status, requestHeaders, requestBody, target } = exchange;
    if (status !== 200 || requestBody === null || requestBody === '' || /[?&]data=/.test(target)) return [];
    const answer = jsonOf(Buffer.from(exchange.body, 'base64').toString()) as Json | undefined;
    if (answer?.['rejected'] !== undefined || answer?.['results'] !== undefined) return [];
    if (requestHeaders['content-type'] !== 'application/json' || requestHeaders['content-encoding'] !== undefined)
      return [];
    const media = ((json['requestBody'] as Json | undefined)?.['content'] as Json | undefined)?.['application/json'];
    const sent = jsonOf(Buffer.from(requestBody, 'base64').toString());
    if (media === undefined || sent === undefined) return [];
    return this.#misfits((media as Json)['schema'], sent, 'request');
  }

  #misfits(schema: unknown, value: unknown, what: string): readonly string[] {
    let fits = this.#compiled.get(schema);
    if (fits === undefined) {
      const text = JSON.stringify(schema).replaceAll('"#/components/', '"openapi#/components/');
      fits = this.#ajv.compile(JSON.parse(text) as AnySchema);
      this.#compiled.set(schema, fits);
    }
    if (fits(value)) return [];
    const shown = JSON.stringify(value)?.slice(0, 200) ?? 'nothing';
    return [`${what} does not fit: ${this.#ajv.errorsText(fits.errors)}: ${shown}`];
  }
}

function patternOf(path: string): RegExp {
  const inner = path
    .replace(/\/$/, '')
    .split(/\{\w+\}/)
    .map((text) => text.replaceAll(/[.*+?^$()|[\]\\]/g, String.raw`\$&`))
    .join('[^/]+');
  return new RegExp(`^${inner}/?$`);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
