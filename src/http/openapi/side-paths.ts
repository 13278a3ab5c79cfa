/** What SDKs call beside capture: config, flags, static files, OTLP, and what is answered so that they go on. */
import type { ErrorCode } from '../../errors.ts';
import { fixedAnswers, NO_PAYLOAD, RECORDINGS_ANSWER } from '../../wire/sides/fixed-answers.ts';
import { answerHeaders } from './answer-headers.ts';
import {
  type Operation,
  type Parameter,
  type PathFamily,
  type PathItem,
  parameterReference,
  pathItem,
  type RequestBody,
  type Response,
  responseReference,
  type Schema,
  schemaReference,
} from './operation.ts';
import { type Refusals, refusals, withBody } from './refusals.ts';

const TAG = 'SDK support';

const quiet = refusals('Side', withBody);
const config = refusals('Config', [...withBody, 'invalid_api_key']);
const file = refusals('File', [...withBody, 'not_found']);
const flagsCodes: readonly ErrorCode[] = [
  ...withBody,
  'invalid_encoding',
  'invalid_form',
  'invalid_json',
  'overloaded',
];
const flags = refusals('Flags', flagsCodes);
const otlpCodes: readonly ErrorCode[] = [
  ...withBody,
  'invalid_api_key',
  'invalid_encoding',
  'invalid_json',
  'missing_api_key',
  'overloaded',
  'request_decoding_error',
  'unsupported_encoding',
];
const otlp = refusals('Otlp', otlpCodes);
const multipart = refusals('Multipart', [...withBody, 'unsupported_media_type']);

const CACHED = ['ETag', 'Cache-Control'];
const ifNoneMatch = parameterReference('IfNoneMatch');
const path = (name: string, description: string, example: string): Parameter => ({
  name,
  in: 'path',
  description,
  required: true,
  schema: { type: 'string' },
  example,
});
const token = path('token', 'The project API key.', 'phc_your_public_key');

function json(schema: Schema, description: string, more: readonly string[] = []): Response {
  return { description, headers: answerHeaders(...more), content: { 'application/json': { schema } } };
}

/** A schema that one value alone fits. */
function exactly(text: string): Schema {
  return { const: JSON.parse(text) as unknown };
}

function operation(
  operationId: string,
  summary: string,
  rest: { readonly ok: Operation['responses']; readonly refused: Refusals } & Partial<Operation>,
): Operation {
  const { ok, refused, ...more } = rest;
  return {
    tags: [TAG],
    operationId,
    summary,
    security: [{}],
    ...more,
    responses: { ...ok, ...refused.responses },
  };
}

function fixed(operationId: string, at: string): PathItem {
  const response = json(exactly(fixedAnswers[at] ?? '{}'), 'There are none.', CACHED);
  const get = operation(operationId, 'None of the kind exist here', {
    ok: { 200: response, 304: responseReference('Unchanged') },
    refused: quiet,
    parameters: [ifNoneMatch],
  });
  return pathItem({ get });
}

const FLAGS_EXAMPLE = { token: 'phc_your_public_key', distinct_id: 'ann' };
const flagsParameters: readonly Parameter[] = [
  { name: 'v', in: 'query', description: 'Which form the answer has.', schema: { type: 'string' }, example: '2' },
  {
    name: 'config',
    in: 'query',
    description: '`true` or `1`: the answer has the remote config too.',
    schema: { type: 'string' },
  },
];
const flagsData: Parameter = {
  name: 'data',
  in: 'query',
  description: 'The payload, in any form that capture takes. It goes before a body.',
  schema: { type: 'string' },
};

function flagsItem(id: string, summary: string): PathItem {
  const rest = { ok: { 200: responseReference('Flags') }, refused: flags };
  const parameters = [...flagsParameters, flagsData, parameterReference('Compression')];
  const payload = { type: 'object', properties: { token: { type: 'string' }, api_key: { type: 'string' } } };
  const packed = { type: 'string', description: 'JSON, base64 of it, or compressed.' };
  const post = operation(id, summary, {
    ...rest,
    parameters,
    requestBody: {
      description: 'Any form that capture takes, compressed or not.',
      content: {
        'application/json': { schema: payload, example: FLAGS_EXAMPLE },
        'application/x-www-form-urlencoded': {
          schema: schemaReference('SentForm'),
          example: { data: JSON.stringify(FLAGS_EXAMPLE) },
        },
        'text/plain': { schema: packed, example: JSON.stringify(FLAGS_EXAMPLE) },
        '*/*': { schema: packed },
      },
    },
  });
  return pathItem({ get: operation(`${id}ByGet`, summary, { ...rest, parameters }), post });
}

function otlpItem(operationId: string, noun: string, member: string): PathItem {
  const post = operation(operationId, `OpenTelemetry ${noun}: none are kept, and the sender is told so`, {
    ok: { 200: responseReference('Otlp') },
    refused: otlp,
    security: [{ projectKeyBearer: [] }, { projectKeyQuery: [] }],
    parameters: [parameterReference('Encoding')],
    requestBody: {
      description: 'OTLP over HTTP, in JSON or protobuf; any other type is read as JSON.',
      content: {
        'application/json': { schema: { type: 'object' }, example: { [member]: [] } },
        'application/x-protobuf': { schema: { type: 'string' } },
        'application/protobuf': { schema: { type: 'string' } },
        'text/plain': { schema: { type: 'string' } },
        '*/*': { schema: { type: 'string' } },
      },
    },
  });
  return pathItem({ post });
}

function thrownAway(example: unknown): RequestBody {
  const any = { description: 'It is not looked at.' };
  return { description: 'Read and thrown away.', content: { '*/*': { schema: any, example } } };
}

const recordings = { ok: { 200: responseReference('NoRecordings') }, refused: quiet };
const subscriptions = { ok: { 200: responseReference('Nothing') }, refused: quiet, requestBody: thrownAway('{}') };
const script = {
  ok: { 200: responseReference('ConfigScript'), 304: responseReference('Unchanged') },
  refused: config,
  parameters: [token, ifNoneMatch],
};
const files = {
  ok: { 200: responseReference('File'), 304: responseReference('Unchanged') },
  refused: file,
};
const fileParameters: readonly Parameter[] = [
  path('file', 'A script of posthog-js, or its source map.', 'array.js'),
  {
    name: 'Accept-Encoding',
    in: 'header',
    description: 'With `gzip` in it the answer is compressed.',
    schema: { type: 'string' },
  },
];

export const sidePaths: PathFamily = {
  paths: {
    '/flags/': flagsItem('flags', 'Feature flags: none are evaluated here'),
    '/decide/': flagsItem('decide', 'Feature flags and config, as older SDKs ask for them'),
    '/array/{token}/config': pathItem({
      get: operation('remoteConfig', 'The config that SDKs load first', {
        ...script,
        ok: { 200: responseReference('Config'), 304: responseReference('Unchanged') },
      }),
    }),
    '/array/{token}/config.js': pathItem({
      get: operation('remoteConfigScript', 'The same as a script, for posthog-js', script),
    }),
    '/static/{file}': pathItem({
      get: operation('library', 'posthog-js, to load into a page', {
        ...files,
        parameters: [
          ...fileParameters,
          { name: 'v', in: 'query', description: 'As `version` in the path.', schema: { type: 'string' } },
          ifNoneMatch,
        ],
      }),
    }),
    '/static/{version}/{file}': pathItem({
      get: operation('libraryOfVersion', 'The same; kept for ever where the version is the installed one', {
        ...files,
        parameters: [path('version', 'A version of posthog-js.', '1.0.0'), ...fileParameters, ifNoneMatch],
      }),
    }),
    '/s/': pathItem({
      get: operation('recordingsByGet', 'Session recordings: not kept', recordings),
      post: operation('recordings', 'Session recordings: not kept', { ...recordings, requestBody: thrownAway('[]') }),
    }),
    '/i/v0/ai': pathItem({
      post: operation('aiMultipart', 'Multipart AI events: refused, send them to `/i/v0/ai/batch/`', {
        ok: {},
        refused: multipart,
        requestBody: thrownAway('{}'),
      }),
    }),
    '/i/v0/ai/otel': otlpItem('aiTraces', 'traces of AI calls', 'resourceSpans'),
    '/i/v1/logs': otlpItem('otlpLogs', 'logs', 'resourceLogs'),
    '/i/v1/metrics': otlpItem('otlpMetrics', 'metrics', 'resourceMetrics'),
    '/i/v1/traces': otlpItem('otlpTraces', 'traces', 'resourceSpans'),
    '/api/push_subscriptions/': pathItem({
      post: operation('subscribe', 'Push subscriptions: not kept', subscriptions),
      delete: operation('unsubscribe', 'Push subscriptions: there are none', subscriptions),
    }),
    '/api/projects/{project}/feature_flags/{flag}/remote_config': pathItem({
      get: operation('flagPayload', 'The payload of a remote config flag: always null', {
        ok: { 200: responseReference('NoPayload') },
        refused: quiet,
        parameters: [path('project', 'A project.', '@current'), path('flag', 'A flag.', 'a-flag')],
      }),
    }),
    '/api/early_access_features/': fixed('earlyAccessFeatures', '/api/early_access_features'),
    '/api/feature_flag/local_evaluation/': fixed('localEvaluation', '/api/feature_flag/local_evaluation'),
    '/api/product_tours/': fixed('productTours', '/api/product_tours'),
    '/api/surveys/': fixed('surveys', '/api/surveys'),
    '/api/web_experiments/': fixed('webExperiments', '/api/web_experiments'),
    '/flags/definitions': fixed('flagDefinitions', '/flags/definitions'),
  },
  responses: {
    Unchanged: { description: 'The copy that `If-None-Match` names is good.', headers: answerHeaders(...CACHED) },
    Config: json(schemaReference('RemoteConfig'), 'The config.', CACHED),
    ConfigScript: {
      description: 'A script that leaves the config where posthog-js looks for it.',
      headers: answerHeaders(...CACHED),
      content: { 'text/javascript': { schema: { type: 'string' } } },
    },
    File: {
      description: 'The file.',
      headers: answerHeaders(...CACHED, 'Content-Encoding'),
      content: {
        'text/javascript': { schema: { type: 'string' } },
        'application/json': { schema: { type: 'object', description: 'A source map.' } },
      },
    },
    Flags: json(schemaReference('FlagsAnswer'), 'No flags.'),
    NoRecordings: json(exactly(RECORDINGS_ANSWER), 'Thrown away; SDKs stop sending them for a while.'),
    Nothing: json(exactly('{}'), 'Nothing was done.'),
    NoPayload: json(exactly(NO_PAYLOAD), 'There is none.'),
    Otlp: {
      description: 'How many records were not kept, in the encoding of the request.',
      headers: answerHeaders(),
      content: {
        'application/json': { schema: schemaReference('OtlpAnswer') },
        'application/x-protobuf': { schema: { type: 'string', description: 'The same in protobuf.' } },
      },
    },
    ...[quiet, config, file, flags, otlp, multipart].reduce<Record<string, Response>>(
      (all, { components }) => ({ ...all, ...components }),
      {},
    ),
  },
};
