/** `components.schemas`: what is sent and answered. What we answer is closed; what clients send is open, as the protocol has it. */
import type { RejectionCode } from '../../event/outcome.ts';
import { addressPolicies, MAX_PATTERN_CHARACTERS, MAX_PATTERNS } from '../../normalize/privacy-policy.ts';
import { MAX_INTERVALS } from '../../query/ledger-answer.ts';
import { MAX_RETRIED_EVENTS, MAX_RETRY_REQUESTS } from '../../query/rejection-retries.ts';
import { MAX_REQUEST_EVENTS } from '../../query/request-lookup.ts';
import { type Schema, schemaReference } from './operation.ts';

/** Why V1 drops one event (protocol.md 8.3). */
const dropCodes: readonly RejectionCode[] = [
  'ai_event_too_big',
  'cookieless_id_without_mode',
  'distinct_id_too_large',
  'dropped_performance_event',
  'event_name_too_long',
  'event_too_big',
  'invalid_event_timestamp',
  'invalid_options',
  'malformed_event_properties',
  'missing_distinct_id',
  'missing_event_name',
];
/** Why one event of a v0 request is not stored while others are (interface.md 2). */
const namedCodes: readonly RejectionCode[] = [
  'empty_event_name',
  'event_too_large',
  'invalid_cookieless_mode',
  'invalid_event',
  'invalid_properties',
  'invalid_uuid',
  'missing_distinct_id',
  'missing_event_name',
];
/** Those with which an event is kept as rejected: `$performance_event`s are counted alone. */
const keptCodes: readonly RejectionCode[] = [...new Set([...namedCodes, ...dropCodes, 'refused_with_batch' as const])]
  .filter((code) => code !== 'dropped_performance_event')
  .toSorted();
const COUNT = { type: 'integer', minimum: 0 } as const;
const ledgerNumbers = {
  received: { ...COUNT, description: 'Events as decoded, by the time of their arrival.' },
  accepted: { ...COUNT, description: 'Acknowledged.' },
  stored: COUNT,
  pending: { ...COUNT, description: 'Durable, and not loaded yet.' },
  duplicate: { ...COUNT, description: 'Their uuid was stored already.' },
  rejected: { type: 'object', additionalProperties: COUNT, description: 'Events by code.' },
};
const UUID_FORMAT = { type: 'string', format: 'uuid' } as const;
const INSTANT = {
  type: 'string',
  format: 'date-time',
  description: 'ISO 8601, UTC, with milliseconds.',
  pattern: '\\.[0-9]{3}Z$',
} as const;
const TEXT = { type: 'string' } as const;
const ANY_OBJECT = { type: 'object' } as const;

/** An answer: all of `properties` but the `optional` ones are there, and nothing else is. */
export function closed(properties: Readonly<Record<string, Schema>>, optional: readonly string[] = []): Schema {
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { type: 'object', properties, required, additionalProperties: false };
}

function nullable(schema: { readonly type: string } & Schema): Schema {
  return { ...schema, type: [schema.type, 'null'] };
}

const sentEventFields = {
  event: { ...TEXT, minLength: 1, description: 'What happened.' },
  distinct_id: {
    description:
      'Who did it: a text of at most 200 characters, longer ones are cut; other JSON becomes its text. Also taken from `properties.distinct_id`.',
  },
  uuid: {
    type: ['string', 'null'],
    description: 'Names the event, so that it is stored once however often it is sent. Left out: one is made.',
  },
  properties: { ...ANY_OBJECT, description: 'Anything more; kept as sent.' },
  timestamp: { type: ['string', 'null'], description: 'When, by the sender’s clock. Left out: on arrival.' },
  offset: { type: ['integer', 'null'], description: 'How many milliseconds before it was sent.' },
  $set: { type: ['object', 'null'], description: 'Properties of the person.' },
  $set_once: { type: ['object', 'null'], description: 'Properties of the person that has none of the name yet.' },
} as const;

const projectKey = {
  type: 'string',
  maxLength: 64,
  description: 'The project API key. `token` is another name of it.',
} as const;

/** What a stored or pending event shows in lists. */
const eventFields = {
  uuid: UUID_FORMAT,
  id: { ...UUID_FORMAT, description: 'The same as `uuid`.' },
  event: TEXT,
  distinct_id: TEXT,
  timestamp: { ...INSTANT, description: 'When it happened, corrected for the sender’s clock.' },
  received_at: INSTANT,
  sent_at: { ...nullable(INSTANT), description: 'When it was sent, by the sender’s clock.' },
  properties: { ...ANY_OBJECT, description: 'As sent: numbers and texts unchanged.' },
  person: {
    description: 'Null for an event without a person.',
    oneOf: [
      { type: 'null' },
      closed({ id: UUID_FORMAT, distinct_ids: { type: 'array', items: TEXT }, properties: ANY_OBJECT }),
    ],
  },
  elements_chain: TEXT,
  ip: TEXT,
  authenticated: { type: 'boolean', description: 'A personal key vouched for it.' },
  request_id: { ...UUID_FORMAT, description: 'The `X-Request-Id` of the request that brought it.' },
  lib: TEXT,
  lib_version: TEXT,
} as const;

const code = { enum: keptCodes, description: 'Why it was refused; docs/errors.md has them all.' } as const;
const duplicates = { type: 'integer', minimum: 0, description: 'How often it came again.' } as const;
const index = { type: 'integer', minimum: 0, description: 'Its place in the request, from 0.' } as const;
const raw = { ...TEXT, description: 'What was sent, as a text: it need not be JSON.' } as const;

const limitFields = {
  events_per_second: { type: ['number', 'null'], exclusiveMinimum: 0 },
  burst: { type: ['integer', 'null'], minimum: 1, description: 'Events that may come at once.' },
  monthly_quota: { type: ['integer', 'null'], minimum: 0, description: 'Events a month.' },
} as const;

const privacyFields = {
  address: { enum: addressPolicies, description: '`truncate`: IPv4 to /24, IPv6 to /48. `drop`: none is kept.' },
  redact: {
    type: 'array',
    maxItems: MAX_PATTERNS,
    items: { type: 'string', minLength: 1, maxLength: MAX_PATTERN_CHARACTERS },
    description: 'Patterns of property keys, such as `*password*`, whose values are not kept.',
  },
} as const;

const flagsCommon = {
  errorsWhileComputingFlags: { const: false },
  flags: { type: 'object', maxProperties: 0, description: 'This server evaluates no flags.' },
  featureFlags: { type: 'object', maxProperties: 0, description: 'The same for older clients.' },
  featureFlagPayloads: { type: 'object', maxProperties: 0 },
  requestId: UUID_FORMAT,
  evaluatedAt: { type: 'number', description: 'Milliseconds since 1970.' },
  config: closed({ enable_collect_everything: { const: true } }),
} as const;

const remoteConfig = {
  token: { ...TEXT, description: 'The project key that was asked for.' },
  supportedCompression: { type: 'array', items: TEXT },
  hasFeatureFlags: { const: false },
  captureDeadClicks: { const: false },
  capturePerformance: { const: false },
  autocapture_opt_out: { const: false },
  autocaptureExceptions: { const: false },
  analytics: closed({ endpoint: TEXT }),
  elementsChainAsString: { const: true },
  errorTracking: closed({ autocaptureExceptions: { const: false }, suppressionRules: { type: 'array', maxItems: 0 } }),
  sessionRecording: { const: false },
  heatmaps: { const: false },
  productTours: { const: false },
  conversations: { const: false },
  logs: closed({ captureConsoleLogs: { const: false } }),
  defaultIdentifiedOnly: { const: true },
  siteApps: { type: 'array', maxItems: 0 },
  isAuthenticated: { const: false },
  toolbarParams: { type: 'object', maxProperties: 0 },
} as const;

export const schemas: Readonly<Record<string, Schema>> = {
  Error: {
    description: 'How every refusal looks, except on protocol V1.',
    ...closed({
      type: {
        enum: ['validation_error', 'authentication_error', 'permission_error', 'throttled_error', 'server_error'],
      },
      code: { ...TEXT, description: 'Never renamed or reused; docs/errors.md has them all.' },
      detail: { ...TEXT, minLength: 1, description: 'What is wrong, where, and what to do.' },
      attr: { type: ['string', 'null'], description: 'Where in the request, such as `batch.1.distinct_id`.' },
    }),
  },
  V1Error: {
    description: 'How protocol V1 refuses a whole request.',
    ...closed({
      error: TEXT,
      error_description: { ...TEXT, minLength: 1 },
      error_uri: { enum: ['https://posthog.com/docs/api', 'https://posthog.com/docs/billing/limits'] },
    }),
  },
  SentEvent: {
    type: 'object',
    description: 'One event of a batch or a list; names that are not known are ignored.',
    required: ['event'],
    properties: sentEventFields,
  },
  SentSingle: {
    description: 'One event.',
    allOf: [schemaReference('SentEvent'), { properties: { api_key: projectKey, token: projectKey } }],
  },
  SentBatch: {
    type: 'object',
    description: 'Several events of one project.',
    required: ['batch'],
    anyOf: [{ required: ['api_key'] }, { required: ['token'] }],
    properties: {
      api_key: projectKey,
      token: projectKey,
      batch: { type: 'array', minItems: 1, maxItems: 100_000, items: schemaReference('SentEvent') },
      sent_at: { type: ['string', 'null'], description: 'When it was sent, by the sender’s clock, with its zone.' },
      historical_migration: { type: ['boolean', 'null'], description: 'The events are old ones.' },
    },
  },
  SentList: {
    type: 'array',
    description: 'Several events, each with the same `api_key` or without one.',
    minItems: 1,
    items: schemaReference('SentSingle'),
  },
  SentEngage: {
    type: 'object',
    description: 'On `/engage/`: the properties of a person, which become the event `$identify`.',
    not: { required: ['event'] },
    properties: { api_key: projectKey, token: projectKey, ...sentEventFields },
  },
  SentPayload: {
    description: 'Any of these, on any of the paths.',
    anyOf: ['SentBatch', 'SentSingle', 'SentList'].map(schemaReference),
  },
  SentForm: {
    type: 'object',
    required: ['data'],
    properties: {
      data: { ...TEXT, description: 'The payload: JSON, base64 of it, or LZ-string.' },
      compression: { ...TEXT, description: '`gzip`, `gzip-js`, `lz64`, `lz-string` or `base64`.' },
    },
  },
  Stored: {
    description: 'Everything that is not named in `rejected` is on disk.',
    ...closed(
      {
        status: { const: 'Ok' },
        rejected: {
          type: 'array',
          minItems: 1,
          description: 'The events that were not stored, and why; absent when all were.',
          items: closed({ index, uuid: UUID_FORMAT, code: { enum: namedCodes }, detail: TEXT }, ['uuid']),
        },
      },
      ['rejected'],
    ),
  },
  V1Event: {
    type: 'object',
    required: ['event', 'uuid', 'distinct_id', 'timestamp'],
    properties: {
      event: { ...TEXT, description: 'At most 200 bytes.' },
      uuid: { ...TEXT, description: 'A UUID, no two alike in a batch; in any spelling.' },
      distinct_id: { ...TEXT, description: 'At most 200 bytes.' },
      timestamp: { ...TEXT, description: 'RFC 3339.' },
      session_id: { type: ['string', 'null'] },
      window_id: { type: ['string', 'null'] },
      options: {
        description:
          '`cookieless_mode`, `disable_skew_correction`, `process_person_profile`: true or false. `product_tour_id`: a text.',
      },
      properties: { description: 'An object, kept as sent.' },
    },
  },
  V1Batch: {
    type: 'object',
    required: ['created_at', 'batch'],
    properties: {
      created_at: { ...TEXT, description: 'RFC 3339.' },
      historical_migration: { type: ['boolean', 'null'] },
      capture_internal: { type: ['boolean', 'null'] },
      batch: { type: 'array', minItems: 1, maxItems: 100_000, items: schemaReference('V1Event') },
    },
  },
  V1Results: {
    description: 'The fate of each event, in the order of the batch.',
    ...closed({
      results: {
        type: 'object',
        propertyNames: { format: 'uuid' },
        minProperties: 1,
        additionalProperties: {
          oneOf: [
            closed({ result: { const: 'ok' }, details: { const: 'person_processing_disabled' } }, ['details']),
            closed({ result: { const: 'drop' }, details: { enum: dropCodes } }),
          ],
        },
      },
    }),
  },
  RemoteConfig: { description: 'Keeps SDKs quiet about what is not here.', ...closed(remoteConfig) },
  FlagsAnswer: {
    description: 'No flags, in the form that the client reads; with its config where it asks for it.',
    ...closed({ ...flagsCommon, ...remoteConfig }, [
      ...Object.keys(flagsCommon).filter((name) => name !== 'errorsWhileComputingFlags'),
      ...Object.keys(remoteConfig),
    ]),
    oneOf: [{ required: ['flags', 'requestId', 'evaluatedAt'] }, { required: ['featureFlags', 'featureFlagPayloads'] }],
  },
  OtlpAnswer: {
    description: 'Empty when nothing was sent; else how many records were not kept, which is all of them.',
    ...closed(
      {
        partialSuccess: {
          ...closed(
            {
              rejectedLogRecords: { ...TEXT, pattern: '^[0-9]+$' },
              rejectedDataPoints: { ...TEXT, pattern: '^[0-9]+$' },
              rejectedSpans: { ...TEXT, pattern: '^[0-9]+$' },
              errorMessage: TEXT,
            },
            ['rejectedLogRecords', 'rejectedDataPoints', 'rejectedSpans'],
          ),
          minProperties: 2,
          maxProperties: 2,
        },
      },
      ['partialSuccess'],
    ),
  },
  Projects: closed({
    results: { type: 'array', items: closed({ id: { type: 'integer' }, name: TEXT, created_at: INSTANT }) },
  }),
  Event: { description: 'An event that is stored.', ...closed(eventFields) },
  EventPage: closed({
    results: { type: 'array', maxItems: 1000, items: schemaReference('Event') },
    next: { type: ['string', 'null'], description: 'The address of the next page; null: there is none.' },
  }),
  FoundEvent: {
    description: 'An event, and what became of it.',
    oneOf: [
      closed({
        ...eventFields,
        status: { enum: ['stored', 'pending'], description: '`pending`: on disk, and soon in SQL.' },
        duplicates,
      }),
      closed({
        uuid: UUID_FORMAT,
        id: UUID_FORMAT,
        event: TEXT,
        received_at: INSTANT,
        request_id: UUID_FORMAT,
        index,
        raw,
        status: { const: 'rejected' },
        code,
        detail: TEXT,
        duplicates,
      }),
    ],
  },
  RejectionPage: closed(
    {
      results: {
        type: 'array',
        maxItems: 1000,
        items: closed({
          request_id: UUID_FORMAT,
          index,
          received_at: INSTANT,
          sent_at: nullable(INSTANT),
          code,
          detail: TEXT,
          event: TEXT,
          distinct_id: TEXT,
          uuid: nullable(UUID_FORMAT),
          ip: TEXT,
          authenticated: { type: 'boolean', description: 'A personal key vouched for it.' },
          historical: { type: 'boolean', description: 'It came as `historical_migration`.' },
          retried: { type: 'boolean', description: 'It was sent again and stored, or is what a retry left.' },
          raw,
        }),
      },
      next: { type: ['string', 'null'] },
      count: { type: 'integer', minimum: 0, description: 'On all pages together; on the first page alone.' },
    },
    ['count'],
  ),
  RequestFate: closed(
    {
      request_id: UUID_FORMAT,
      received_at: INSTANT,
      events: {
        type: 'array',
        minItems: 1,
        maxItems: MAX_REQUEST_EVENTS,
        items: closed(
          {
            index,
            uuid: nullable(UUID_FORMAT),
            status: { enum: ['stored', 'pending', 'duplicate', 'rejected'] },
            code: { enum: keptCodes },
          },
          ['code'],
        ),
      },
      hasMore: { const: true, description: 'There when the request has more events than are shown.' },
    },
    ['hasMore'],
  ),
  Ledger: closed({
    totals: closed(ledgerNumbers),
    balanced: {
      type: 'boolean',
      description:
        'Received is accepted and rejected; accepted is stored, pending and duplicate; and the store has what is counted as stored.',
    },
    results: { type: 'array', maxItems: MAX_INTERVALS, items: closed({ start: INSTANT, ...ledgerNumbers }) },
  }),
  Retries: {
    type: 'object',
    additionalProperties: false,
    properties: {
      requests: {
        type: 'array',
        maxItems: MAX_RETRY_REQUESTS,
        items: UUID_FORMAT,
        description: 'Ids of requests that will send rejected events again: what is rejected of them is a copy.',
      },
      stored: {
        type: 'array',
        maxItems: MAX_RETRIED_EVENTS,
        items: closed({ request_id: UUID_FORMAT, index, received_at: INSTANT, retry_request_id: UUID_FORMAT }),
        description: 'Rejected events that were acknowledged this time, and in which request.',
      },
    },
  },
  RetryKey: closed({
    project_key: {
      description: 'A project key that is valid, a public one where there is one; null where there is none.',
      anyOf: [closed({ key: TEXT, kind: { enum: ['public', 'server'] } }), { type: 'null' }],
    },
  }),
  Limits: {
    description: 'Null: no such limit.',
    ...closed({ ...limitFields, used_this_month: { type: 'integer', description: 'Events, this month in UTC.' } }),
  },
  NewLimits: {
    type: 'object',
    additionalProperties: false,
    properties: { ...limitFields, used_this_month: { description: 'It changes nothing.' } },
  },
  Privacy: closed(privacyFields),
  NewPrivacy: { type: 'object', additionalProperties: false, properties: privacyFields },
  Query: {
    type: 'object',
    required: ['query'],
    properties: {
      query: {
        type: 'object',
        required: ['kind', 'query'],
        properties: {
          kind: { const: 'HogQLQuery' },
          query: { ...TEXT, minLength: 1, description: 'One SELECT, in ClickHouse’s SQL.' },
          values: { type: ['object', 'null'], description: 'Gives each `{name}` of the SQL its value.' },
        },
      },
    },
  },
  QueryAnswer: closed({
    columns: { type: 'array', items: TEXT },
    types: { type: 'array', items: TEXT, description: 'ClickHouse’s names, such as `UInt64`.' },
    results: { type: 'array', items: { type: 'array' }, description: 'Rows. 64-bit integers are exact.' },
    hasMore: { type: 'boolean', description: 'There are more rows than an answer may have.' },
  }),
};
