/** Protocol V1 (protocol.md 8). */
import { answerHeaders } from './answer-headers.ts';
import {
  type Parameter,
  type PathFamily,
  type PathItem,
  pathItem,
  responseReference,
  schemaReference,
} from './operation.ts';
import { type Refusal, refusals, withBody } from './refusals.ts';

const codes: readonly Refusal[] = [
  ...withBody,
  'disk_full',
  'draining',
  'duplicate_event_uuid',
  'empty_batch',
  'empty_body',
  'invalid_api_token',
  'invalid_batch',
  'invalid_event_uuid',
  'invalid_header_value',
  'invalid_personal_api_key',
  'log_unavailable',
  'missing_authorization',
  'missing_event_uuid',
  'missing_personal_api_key',
  'missing_required_headers',
  'missing_scope',
  'over_fair_share',
  'overloaded',
  { code: 'quota_exceeded', status: 402 },
  { code: 'rate_limited', status: 503 },
  'request_decoding_error',
  'request_parsing_error',
  'revoked_api_key',
  'unknown_api_key',
  'unsupported_content_type',
  'unsupported_encoding',
  'wrong_project',
];
const refused = refusals('V1', codes, 'v1');

function header(name: string, description: string, example: string, schema: object = {}): Parameter {
  return { name, in: 'header', description, required: true, schema: { type: 'string', ...schema }, example };
}

const parameters = [
  header('PostHog-Sdk-Info', 'Which library sends, as `<name>/<version>`.', 'my-sdk/1.0.0'),
  header('PostHog-Attempt', 'Counts the attempts at this batch, from 1.', '1', { pattern: '^[0-9]{1,10}$' }),
  header('PostHog-Request-Id', 'A UUID; the same for each attempt.', '01990000-0000-7000-8000-000000000001', {
    format: 'uuid',
  }),
  header('PostHog-Request-Timestamp', 'When this attempt is sent, in RFC 3339.', '2026-11-25T12:00:00Z', {
    format: 'date-time',
  }),
  header('User-Agent', 'Whatever it is, it must be there.', 'my-sdk/1.0.0'),
  {
    name: 'Content-Encoding',
    in: 'header',
    description: 'How the body is compressed.',
    schema: { enum: ['gzip', 'deflate', 'br', 'zstd'] },
  } as const,
];

function item(operationId: string, summary: string, uuid: string): PathItem {
  const value = {
    created_at: '2026-11-25T12:00:00Z',
    batch: [
      {
        event: 'signed up',
        uuid,
        distinct_id: 'ann',
        timestamp: '2026-11-25T12:00:00Z',
        properties: { plan: 'pro' },
      },
    ],
  };
  const post = {
    tags: ['Capture V1'],
    operationId,
    summary,
    description:
      'Every event has a result of its own. Send again what is answered 408, 500 or 503, as it was but for `PostHog-Attempt` and `PostHog-Request-Timestamp`.',
    security: [{ projectKeyBearer: [] }, { projectKeyBearer: [], personalKeyHeader: [] }],
    parameters,
    requestBody: {
      description: 'The batch, compressed as `Content-Encoding` says.',
      required: true,
      content: { 'application/json': { schema: schemaReference('V1Batch'), example: value } },
    },
    responses: { 200: responseReference('V1Results'), ...refused.responses },
  };
  return pathItem({ post }, 'v1');
}

export const captureV1Paths: PathFamily = {
  paths: {
    '/i/v1/analytics/events': item(
      'captureV1',
      'Store a batch, with a result for each event',
      '01990000-0000-7000-8000-00000000000a',
    ),
    '/i/v1/ai/events': item('captureAiV1', 'The same for AI events', '01990000-0000-7000-8000-00000000000b'),
  },
  responses: {
    V1Results: {
      description: 'The fate of each event; those that are `ok` are on disk.',
      headers: answerHeaders('PostHog-Request-Id'),
      content: { 'application/json': { schema: schemaReference('V1Results') } },
    },
    ...refused.components,
  },
};
