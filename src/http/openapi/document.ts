/** The whole document: `GET /openapi.json` and docs/openapi.json. */
import { answerHeaders, headerComponents } from './answer-headers.ts';
import { backupPaths } from './backup-paths.ts';
import { capturePaths } from './capture-paths.ts';
import { captureV1Paths } from './capture-v1-paths.ts';
import {
  type Header,
  type Parameter,
  type PathItem,
  type Response,
  type Schema,
  schemaReference,
} from './operation.ts';
import { readingPaths } from './reading-paths.ts';
import { schemas } from './schemas.ts';
import { sidePaths } from './side-paths.ts';
import { statusPaths } from './status-paths.ts';

export interface OpenApiDocument {
  readonly openapi: '3.1.0';
  readonly jsonSchemaDialect: string;
  readonly info: object;
  readonly servers: readonly { readonly url: string; readonly description: string }[];
  readonly tags: readonly { readonly name: string; readonly description: string }[];
  readonly paths: Readonly<Record<string, PathItem>>;
  readonly components: {
    readonly securitySchemes: object;
    readonly parameters: Readonly<Record<string, Parameter>>;
    readonly headers: Readonly<Record<string, Header>>;
    readonly schemas: Readonly<Record<string, Schema>>;
    readonly responses: Readonly<Record<string, Response>>;
  };
}

const parameters: Readonly<Record<string, Parameter>> = {
  Compression: {
    name: 'compression',
    in: 'query',
    description:
      'How the payload is compressed, where its bytes do not say so: `gzip`, `gzip-js`, `lz64`, `lz-string`.',
    schema: { type: 'string' },
  },
  SentAt: {
    name: '_',
    in: 'query',
    description: 'When it was sent, by the client’s clock, in milliseconds. `sent_at` is another name of it.',
    schema: { type: 'integer' },
  },
  Beacon: {
    name: 'beacon',
    in: 'query',
    description: '`1`: a success is answered 204.',
    schema: { type: 'integer' },
  },
  Strict: {
    name: 'strict',
    in: 'query',
    description: '`1` or `true`: all events are stored, or none.',
    schema: { enum: ['1', '0', 'true', 'false'] },
  },
  HintedEncoding: {
    name: 'Content-Encoding',
    in: 'header',
    description: '`gzip`, or `lz64` or `lz-string`; anything else is left alone.',
    schema: { type: 'string' },
  },
  Encoding: {
    name: 'Content-Encoding',
    in: 'header',
    description: 'How the body is compressed; gzip is also seen by its bytes.',
    schema: { enum: ['gzip', 'deflate', 'br', 'zstd', 'identity'] },
  },
  RequestId: {
    name: 'X-Request-Id',
    in: 'header',
    description: 'A UUID that names the request; it is stored with the events.',
    schema: { type: 'string', format: 'uuid' },
  },
  IfNoneMatch: {
    name: 'If-None-Match',
    in: 'header',
    description: 'The `ETag` of the copy that the client has.',
    schema: { type: 'string' },
  },
};

/** On v0 the project key is a part of the payload, `api_key`, which no security scheme can say. */
const securitySchemes = {
  projectKeyBearer: {
    type: 'http',
    scheme: 'bearer',
    description: 'A project API key (`phc_…`). It can only write.',
  },
  projectKeyQuery: {
    type: 'apiKey',
    in: 'query',
    name: 'token',
    description: 'A project API key (`phc_…`).',
  },
  personalKey: {
    type: 'http',
    scheme: 'bearer',
    description: 'A personal API key (`phx_…`), which is secret. `hedgerow keys create --kind personal` makes one.',
  },
  personalKeyHeader: {
    type: 'apiKey',
    in: 'header',
    name: 'X-Personal-Api-Key',
    description: 'The same, where the bearer is a project key.',
  },
};

const DESCRIPTION =
  'A self-hosted event capture server that speaks PostHog’s protocol: a 200 means that the event is on disk.\n\n' +
  'A project API key (`phc_…`) says which project an event belongs to: `api_key` in the payload, the bearer on protocol ' +
  'V1. It can only write. A personal API key (`phx_…`) is a secret that proves who is calling.\n\n' +
  'Every path is served with and without its last slash; nothing redirects. A path that is not here is answered 404 ' +
  '(`#/components/responses/NotFound`), a method that a path has not 405 (`#/components/responses/MethodNotAllowed`). ' +
  'Where the server has an ingest path, what SDKs send to and load is served below it too.';

const error = (code: string): Schema => ({
  allOf: [schemaReference('Error'), { properties: { code: { const: code }, type: { const: 'validation_error' } } }],
});

/** What a request meets that no operation describes. */
const elsewhere: Readonly<Record<string, Response>> = {
  NotFound: {
    description: 'Nothing is served at this path.',
    headers: answerHeaders(),
    content: { 'application/json': { schema: error('not_found') } },
  },
  MethodNotAllowed: {
    description: 'The path has no such method; `Allow` names those that it has.',
    headers: answerHeaders('Allow'),
    content: { 'application/json': { schema: error('method_not_allowed') } },
  },
  V1MethodNotAllowed: {
    description: 'The same in the words of protocol V1.',
    headers: answerHeaders('Allow', 'PostHog-Request-Id'),
    content: {
      'application/json': {
        schema: {
          allOf: [schemaReference('V1Error'), { properties: { error: { const: 'method_not_allowed' } } }],
        },
      },
    },
  },
};

const families = [capturePaths, captureV1Paths, readingPaths, sidePaths, statusPaths, backupPaths];

export function openApiDocument(): OpenApiDocument {
  return {
    openapi: '3.1.0',
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    info: {
      title: 'Hedgerow',
      summary: 'Events in, SQL out.',
      version: '1.0.0',
      description: DESCRIPTION,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/', description: 'The server that this document comes from.' }],
    tags: [
      { name: 'Capture', description: 'Store events: protocol v0, which every SDK and `curl` can speak.' },
      { name: 'Capture V1', description: 'Store events: protocol V1, with a result for each event.' },
      { name: 'Reading', description: 'Read events back. It needs a personal key with the scope `query`.' },
      { name: 'SDK support', description: 'What SDKs call beside capture, answered so that they go on.' },
      { name: 'Status', description: 'For operators and tools. It needs no key.' },
    ],
    paths: Object.assign({}, ...families.map((family) => family.paths)) as OpenApiDocument['paths'],
    components: {
      securitySchemes,
      parameters,
      headers: headerComponents,
      schemas,
      responses: Object.assign({}, ...families.map((family) => family.responses), elsewhere) as Record<
        string,
        Response
      >,
    },
  };
}
