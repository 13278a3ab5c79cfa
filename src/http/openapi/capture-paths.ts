/** Protocol v0: seven paths, one handler (protocol.md 1-5). */
import { answerHeaders } from './answer-headers.ts';
import {
  type Operation,
  type Parameter,
  type PathFamily,
  type PathItem,
  parameterReference,
  pathItem,
  type RequestBody,
  responseReference,
  schemaReference,
} from './operation.ts';
import { type Refusal, refusals, withBody } from './refusals.ts';

const TAG = 'Capture';

const codes: readonly Refusal[] = [
  ...withBody,
  'conflicting_api_keys',
  'disk_full',
  'draining',
  'empty_batch',
  'empty_event_name',
  'event_too_large',
  'inconsistent_api_keys',
  'invalid_api_key',
  'invalid_cookieless_mode',
  'invalid_encoding',
  'invalid_event',
  'invalid_form',
  'invalid_json',
  'invalid_personal_api_key',
  'invalid_properties',
  'invalid_query',
  'invalid_shape',
  'invalid_uuid',
  'log_unavailable',
  'missing_api_key',
  'missing_distinct_id',
  'missing_event_name',
  'missing_payload',
  'missing_personal_api_key',
  'missing_scope',
  'over_fair_share',
  'overloaded',
  'quota_exceeded',
  { code: 'quota_exceeded', status: 503 }, // for clients that do not send again after a 429
  'rate_limited',
  { code: 'rate_limited', status: 503 },
  'revoked_api_key',
  'unknown_api_key',
  'wrong_project',
];
const refused = refusals('Capture', codes);

const responses = {
  200: responseReference('Stored'),
  204: responseReference('StoredQuietly'),
  ...refused.responses,
};

const parameters = [
  ...['Compression', 'SentAt', 'Beacon', 'Strict', 'RequestId'].map(parameterReference),
  parameterReference('HintedEncoding'),
];

const data: Parameter = {
  name: 'data',
  in: 'query',
  description: 'The payload: JSON or base64 of it, percent-encoded. It goes before a body.',
  schema: { type: 'string' },
  example: '{"api_key":"phc_your_public_key","event":"opened mail","distinct_id":"ann"}',
};

const single = {
  api_key: 'phc_your_public_key',
  event: 'signed up',
  distinct_id: 'ann',
  properties: { plan: 'pro', seats: 3 },
  timestamp: '2026-11-25T12:00:00Z',
};
const batch = {
  api_key: 'phc_your_public_key',
  batch: [
    { event: 'viewed', distinct_id: 'ann', properties: { page: '/pricing' } },
    { event: 'paid', distinct_id: 'ann', properties: { price: 9.5 } },
  ],
};
const engage = { api_key: 'phc_your_public_key', distinct_id: 'ann', $set: { plan: 'pro' } };

const packed = { description: 'The payload as JSON, as base64 of it, or compressed.', type: 'string' } as const;

function body(example: { readonly summary: string; readonly value: unknown }, isEngage: boolean): RequestBody {
  const schema = isEngage
    ? { anyOf: ['SentEngage', 'SentPayload'].map(schemaReference) }
    : schemaReference('SentPayload');
  return {
    description:
      'The payload, unless the query has `data`. Its form is found out from the bytes: JSON, base64, gzip; LZ-string where `compression` says so. The content type matters for forms alone.',
    content: {
      'application/json': { schema, examples: { example } },
      'application/x-www-form-urlencoded': {
        schema: schemaReference('SentForm'),
        example: { data: JSON.stringify(single) },
      },
      'text/plain': { schema: packed, example: JSON.stringify(single) },
      '*/*': { schema: packed },
    },
  };
}

const description =
  'A 200 means that every event is on disk, but for those that `rejected` names. A POST with a project key of kind `server` needs a personal key with the scope `capture` too; a `public` key needs none.';

function item(id: string, summary: string, example: { readonly summary: string; readonly value: unknown }): PathItem {
  const isEngage = id === 'engage';
  const post: Operation = {
    tags: [TAG],
    operationId: id,
    summary,
    description,
    security: [{}, { personalKey: [] }, { personalKeyHeader: [] }],
    parameters,
    requestBody: body(example, isEngage),
    responses,
  };
  const get: Operation = {
    tags: [TAG],
    operationId: `${id}ByGet`,
    summary: `${summary}, where a POST is not possible`,
    description: 'The project key is enough, of either kind, when the payload stands in `data`.',
    security: [{}],
    parameters: [data, ...parameters],
    responses,
  };
  return pathItem({ get, post });
}

const one = { summary: 'One event', value: single };
const several = { summary: 'Several events', value: batch };
const person = { summary: 'Properties of a person', value: engage };

export const capturePaths: PathFamily = {
  paths: {
    '/capture/': item('capture', 'Store one event', one),
    '/batch/': item('batch', 'Store several events', several),
    '/e/': item('e', 'Store events, as browsers send them', one),
    '/i/v0/e/': item('ingest', 'Store events, as newer SDKs send them', one),
    '/track/': item('track', 'Store events, as the oldest SDKs send them', one),
    '/engage/': item('engage', 'Set properties of a person, or store events', person),
    '/i/v0/ai/batch/': item('aiBatch', 'Store AI events', several),
  },
  responses: {
    Stored: {
      description: 'Stored, but for the events that `rejected` names.',
      headers: answerHeaders(),
      content: {
        'application/json': {
          schema: schemaReference('Stored'),
          examples: {
            all: { summary: 'Everything was stored', value: { status: 'Ok' } },
            some: {
              summary: 'One event was not',
              value: {
                status: 'Ok',
                rejected: [{ index: 1, code: 'missing_distinct_id', detail: 'event submitted without a distinct_id.' }],
              },
            },
          },
        },
      },
    },
    StoredQuietly: { description: 'Stored; the query had `beacon=1`.', headers: answerHeaders() },
    ...refused.components,
  },
};
