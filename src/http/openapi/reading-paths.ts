/** The reading API (interface.md 3). */
import type { ErrorCode } from '../../errors.ts';
import { MAX_OFFSET } from '../../query/event-list.ts';
import { DEFAULT_INTERVALS, intervals, MAX_INTERVALS } from '../../query/ledger-answer.ts';
import { DEFAULT_PAGE_ROWS, MAX_PAGE_ROWS } from '../../query/page.ts';
import { answerHeaders } from './answer-headers.ts';
import {
  type Operation,
  type Parameter,
  type PathFamily,
  pathItem,
  type Response,
  responseReference,
  schemaReference,
} from './operation.ts';
import { type Refusals, refusals, withBody } from './refusals.ts';

const keyCodes: readonly ErrorCode[] = [
  ...withBody,
  'invalid_personal_api_key',
  'missing_bearer',
  'missing_scope',
  'overloaded',
  'rate_limited',
];
const projectCodes: readonly ErrorCode[] = [
  ...keyCodes,
  'invalid_parameter',
  'invalid_sql',
  'query_memory',
  'query_timeout',
  'store_unavailable',
  'too_many_queries',
  'unknown_project',
  'wrong_project',
];
const limitsCodes: readonly ErrorCode[] = [...keyCodes, 'unknown_project', 'wrong_project'];
const limits = refusals('Limits', limitsCodes);
const newLimits = refusals('NewLimits', [...limitsCodes, 'invalid_json', 'invalid_parameter']);
const privacy = refusals('Privacy', limitsCodes);
const newPrivacy = refusals('NewPrivacy', [...limitsCodes, 'invalid_json', 'invalid_parameter']);
const projects = refusals('Projects', keyCodes);
const list = refusals('List', projectCodes);
const event = refusals('Event', [...projectCodes, 'unknown_event']);
const request = refusals('Request', [...projectCodes, 'unknown_request']);
const ledger = refusals('Ledger', [...projectCodes, 'ledger_behind']);
const query = refusals('Query', [...projectCodes, 'invalid_json']);

const project: Parameter = {
  name: 'project',
  in: 'path',
  description: 'The id of a project, or `@current`: the only or first one that the key may read.',
  required: true,
  schema: { type: 'string', pattern: '^(?:@current|[0-9]+)$' },
  example: '@current',
};

function asked(name: string, description: string, schema: Parameter['schema'] = { type: 'string' }): Parameter {
  return { name, in: 'query', description, schema };
}

const limit = asked('limit', 'How many at most.', {
  type: 'integer',
  minimum: 1,
  maximum: MAX_PAGE_ROWS,
  default: DEFAULT_PAGE_ROWS,
});
const cursor = asked('cursor', 'Where the page begins, from a `next`.');
const after = (of: string): Parameter => asked('after', `${of} later than this: ISO 8601, or such as \`-24h\`.`);
const before = (of: string): Parameter => asked('before', `${of} earlier than this: ISO 8601, or such as \`-7d\`.`);

function reading(
  operationId: string,
  summary: string,
  rest: { readonly ok: string; readonly refused: Refusals } & Partial<Operation>,
): Operation {
  const { ok, refused, ...more } = rest;
  return {
    tags: ['Reading'],
    operationId,
    summary,
    security: [{ personalKey: [] }],
    ...more,
    responses: { 200: responseReference(ok), ...refused.responses },
  };
}

function json(schema: string, description: string): Response {
  return {
    description,
    headers: answerHeaders(),
    content: { 'application/json': { schema: schemaReference(schema) } },
  };
}

export const readingPaths: PathFamily = {
  paths: {
    '/api/projects/': pathItem({
      get: reading('projects', 'The projects that the key may read', { ok: 'Projects', refused: projects }),
    }),
    '/api/projects/{project}/events/': pathItem({
      get: reading('events', 'Events, newest first', {
        ok: 'EventPage',
        refused: list,
        parameters: [
          project,
          asked('event', 'Its name.'),
          asked('distinct_id', 'Who did it.'),
          asked('person_id', 'The id of the person.', { type: 'string', format: 'uuid' }),
          after('Happened'),
          before('Happened'),
          asked('properties', 'PostHog’s filters as JSON: `[{"key","value","operator","type":"event"}]`.'),
          limit,
          asked('offset', 'How many to pass over.', { type: 'integer', minimum: 0, maximum: MAX_OFFSET, default: 0 }),
          cursor,
        ],
      }),
    }),
    '/api/projects/{project}/events/{uuid}/': pathItem({
      get: reading('event', 'One event, and what became of it', {
        ok: 'FoundEvent',
        refused: event,
        parameters: [
          project,
          {
            name: 'uuid',
            in: 'path',
            description: 'The event’s uuid, in any spelling.',
            required: true,
            schema: { type: 'string' },
            example: '01990000-0000-7000-8000-00000000000a',
          },
        ],
      }),
    }),
    '/api/projects/{project}/rejections/': pathItem({
      get: reading('rejections', 'Events that were refused, and why, newest first', {
        ok: 'RejectionPage',
        refused: list,
        description: 'Those that were sent again and stored are left out.',
        parameters: [
          project,
          asked('code', 'Why.'),
          after('Received'),
          before('Received'),
          asked('request', 'The id of the request that brought it.', { type: 'string', format: 'uuid' }),
          asked('index', 'Its place in the request, from 0.', { type: 'integer', minimum: 0 }),
          asked('all', '`1`: those that were sent again too.', { enum: ['0', '1', 'false', 'true'] }),
          limit,
          cursor,
        ],
      }),
    }),
    '/api/projects/{project}/rejections/retries/': pathItem({
      post: reading('noteRetries', 'Note which refused events are sent again', {
        ok: 'RetryKey',
        refused: query,
        description:
          'It needs the scope `admin`. `hedgerow rejections retry` names its requests here before it sends refused events again ' +
          'through capture, and then which of them were stored.',
        parameters: [project],
        requestBody: {
          description: 'The notes, as JSON, whatever the content type says.',
          required: true,
          content: {
            'application/json': {
              schema: schemaReference('Retries'),
              example: {
                requests: ['01990000-0000-7000-8000-00000000000b'],
                stored: [
                  {
                    request_id: '01990000-0000-7000-8000-00000000000c',
                    index: 0,
                    received_at: '2026-01-31T12:00:00.000Z',
                    retry_request_id: '01990000-0000-7000-8000-00000000000b',
                  },
                ],
              },
            },
          },
        },
      }),
    }),
    '/api/projects/{project}/limits/': pathItem({
      get: reading('limits', 'How much the project may send, and has sent this month', {
        ok: 'Limits',
        refused: limits,
        parameters: [project],
      }),
      put: reading('setLimits', 'Change how much the project may send', {
        ok: 'Limits',
        refused: newLimits,
        description: 'It needs the scope `admin`. What is left out stays as it is; null ends a limit.',
        parameters: [project],
        requestBody: {
          description: 'The limits, as JSON, whatever the content type says.',
          required: true,
          content: {
            'application/json': {
              schema: schemaReference('NewLimits'),
              example: { events_per_second: 10_000, burst: 100_000, monthly_quota: null },
            },
          },
        },
      }),
    }),
    '/api/projects/{project}/privacy/': pathItem({
      get: reading('privacy', 'What the project keeps of addresses and properties', {
        ok: 'Privacy',
        refused: privacy,
        parameters: [project],
      }),
      put: reading('setPrivacy', 'Change what the project keeps of addresses and properties', {
        ok: 'Privacy',
        refused: newPrivacy,
        description:
          'It needs the scope `admin`. What is left out stays as it is. It holds for what comes in from then on, within a second.',
        parameters: [project],
        requestBody: {
          description: 'The policy, as JSON, whatever the content type says.',
          required: true,
          content: {
            'application/json': {
              schema: schemaReference('NewPrivacy'),
              example: { address: 'truncate', redact: ['*password*', '$set.email'] },
            },
          },
        },
      }),
    }),
    '/api/projects/{project}/requests/{uuid}/': pathItem({
      get: reading('request', 'One request, and what became of each of its events', {
        ok: 'RequestFate',
        refused: request,
        description:
          'Requests that share an id, such as one that was sent again, are shown one after the other, as they arrived. What is only counted (`$performance_event`) is not shown.',
        parameters: [
          project,
          {
            name: 'uuid',
            in: 'path',
            description: 'The `X-Request-Id` of its answer, in any spelling.',
            required: true,
            schema: { type: 'string' },
            example: '01990000-0000-7000-8000-000000000001',
          },
        ],
      }),
    }),
    '/api/projects/{project}/ledger/': pathItem({
      get: reading('ledger', 'How many events were received, and what became of them', {
        ok: 'Ledger',
        refused: ledger,
        description:
          'Every interval is there, those without events too. `from` and `to` are widened to whole intervals.',
        parameters: [
          project,
          asked(
            'from',
            `Received from then on: ISO 8601, or such as \`-24h\`. Absent: ${DEFAULT_INTERVALS} intervals before \`to\`; at most ${MAX_INTERVALS}.`,
          ),
          asked('to', 'Received before: ISO 8601, or such as `-1h`. Absent: now.'),
          asked('interval', 'In UTC.', { enum: intervals, default: 'minute' }),
        ],
      }),
    }),
    '/api/projects/{project}/query/': pathItem({
      post: reading('query', 'SQL over the events of one project', {
        ok: 'QueryAnswer',
        refused: query,
        description:
          'Read-only. The tables are `events`, `persons`, `rejections` and `ledger`; `properties.$browser` needs no quoting.',
        parameters: [project],
        requestBody: {
          description: 'The query, as JSON, whatever the content type says.',
          required: true,
          content: {
            'application/json': {
              schema: schemaReference('Query'),
              example: {
                query: {
                  kind: 'HogQLQuery',
                  query: 'select event, count() as n from events where event = {name} group by event',
                  values: { name: 'signed up' },
                },
              },
            },
          },
        },
      }),
    }),
  },
  responses: {
    Projects: json('Projects', 'The projects, by id.'),
    EventPage: json('EventPage', 'A page of events.'),
    FoundEvent: json('FoundEvent', 'The event.'),
    RejectionPage: json('RejectionPage', 'A page of refused events.'),
    RequestFate: json('RequestFate', 'The events.'),
    Ledger: json('Ledger', 'The numbers.'),
    RetryKey: json('RetryKey', 'They are noted.'),
    Limits: json('Limits', 'The limits.'),
    Privacy: json('Privacy', 'The policy.'),
    QueryAnswer: json('QueryAnswer', 'Columns and rows.'),
    ...projects.components,
    ...list.components,
    ...event.components,
    ...request.components,
    ...ledger.components,
    ...query.components,
    ...limits.components,
    ...newLimits.components,
    ...privacy.components,
    ...newPrivacy.components,
  },
};
