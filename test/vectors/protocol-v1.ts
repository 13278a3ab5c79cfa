/**
 * Protocol V1 as a table: each row is one rule of protocol.md section 8, named by its subsection. The blackbox suite sends
 * each row to a started server; `test/blackbox/protocol-v1.test.ts` says how. What refuses a whole request is in
 * protocol-v1-refusals.ts.
 */

/** `null` takes a header out. */
export type HeaderChanges = Readonly<Record<string, string | null>>;

/** One event of a request that is answered 200. */
export interface EventVector {
  readonly source: string;
  readonly name: string;
  readonly headers?: HeaderChanges;
  /** Beside `created_at` and `batch`. */
  readonly root?: Readonly<Record<string, unknown>>;
  /** Over a good event; `undefined` takes a field out. */
  readonly event: Readonly<Record<string, unknown>>;
  /** The event's JSON instead, `UUID` standing for its uuid. */
  readonly json?: string;
  readonly result: { readonly result: 'ok' | 'drop'; readonly details?: string };
  /** What the events API then shows; of a dropped event its rejection. */
  readonly stored?: Readonly<Record<string, unknown>>;
  /** The text of `properties`, `LIB` standing for the injected library. */
  readonly propertiesText?: string;
  /** `timestamp` minus `received_at`, ms. */
  readonly msFromReceipt?: number;
  /** Counted, and not kept. */
  readonly isGone?: boolean;
}

export const SDK_INFO = 'posthog-test/1.2.3';
export const LIB = '"$lib":"posthog-test","$lib_version":"1.2.3"';

const MIB = 1 << 20;
const ok = { result: 'ok' } as const;
const drop = (details: string): EventVector['result'] => ({ result: 'drop', details });
const rejectedAs = (code: string): object => ({ status: 'rejected', code });
const SENT = '2026-01-31T12:00:00.000Z';

const dropped = (name: string, event: EventVector['event'], details: string, source = '8.3'): EventVector => ({
  source,
  name,
  event,
  result: drop(details),
  stored: { ...rejectedAs(details) },
});

export const eventVectors: readonly EventVector[] = [
  {
    source: '8.2',
    name: 'an event without properties gets those that are injected',
    event: {},
    result: ok,
    propertiesText: '{LIB}',
    stored: { event: 'e', distinct_id: 'ann', lib: 'posthog-test', lib_version: '1.2.3', authenticated: false },
  },
  { source: '8.2', name: 'empty properties', event: { properties: {} }, result: ok, propertiesText: '{LIB}' },
  {
    source: '8.2',
    name: 'properties are kept byte for byte, the injected keys at their end',
    event: {},
    json: '{"event":"e","uuid":"UUID","distinct_id":"ann","timestamp":"2026-01-31T12:00:00Z","properties":{ "a" : 1.0, "n":12345678901234567890,"é":"\\u0041" }}',
    result: ok,
    propertiesText: '{ "a" : 1.0, "n":12345678901234567890,"é":"\\u0041" ,LIB}',
  },
  {
    source: '8.2',
    name: 'an injected key wins over the one in properties',
    event: { properties: { $lib: 'other', $session_id: 'inner' }, session_id: 's1', window_id: 'w1' },
    result: ok,
    stored: { lib: 'posthog-test', properties: { $lib: 'posthog-test', $session_id: 's1', $window_id: 'w1' } },
  },
  {
    source: '8.2',
    name: 'a null or empty session_id leaves the one in properties',
    event: { properties: { $session_id: 'inner' }, session_id: '', window_id: null },
    result: ok,
    propertiesText: '{"$session_id":"inner",LIB}',
  },
  {
    source: '8.2',
    name: 'all options are injected, in their order',
    event: {
      session_id: 's "1"',
      window_id: 'w',
      properties: { a: 1 },
      options: {
        cookieless_mode: true,
        disable_skew_correction: true,
        product_tour_id: 'tour "1"',
        process_person_profile: false,
      },
    },
    result: ok,
    propertiesText:
      '{"a":1,"$session_id":"s \\"1\\"","$window_id":"w","$cookieless_mode":true,"$ignore_sent_at":true,' +
      '"$product_tour_id":"tour \\"1\\"","$process_person_profile":false,LIB}',
  },
  {
    source: '8.2',
    name: 'unknown options are ignored',
    event: { options: { x: 1 } },
    result: ok,
    propertiesText: '{LIB}',
  },
  { source: '8.2', name: 'null options', event: { options: null }, result: ok, propertiesText: '{LIB}' },
  ...([true, 1, -0.5, '1', 'true', 'TRUE', ' t ', 'yes', 'Y', 'on', '2.5'] as const).map((value): EventVector => ({
    source: '8.2',
    name: `the option ${JSON.stringify(value)} is true`,
    event: { options: { process_person_profile: value } },
    result: ok,
    propertiesText: '{"$process_person_profile":true,LIB}',
  })),
  ...([false, 0, '0', 'false', 'f', 'no', 'N', 'off', '0.0'] as const).map((value): EventVector => ({
    source: '8.2',
    name: `the option ${JSON.stringify(value)} is false`,
    event: { options: { process_person_profile: value } },
    result: ok,
    propertiesText: '{"$process_person_profile":false,LIB}',
  })),
  ...([null, '', '  '] as const).map((value): EventVector => ({
    source: '8.2',
    name: `the option ${JSON.stringify(value)} is unset`,
    event: { options: { process_person_profile: value, product_tour_id: value } },
    result: ok,
    propertiesText: '{LIB}',
  })),
  ...(['maybe', [], {}, '1x'] as const).map((value) =>
    dropped(`the option ${JSON.stringify(value)}`, { options: { cookieless_mode: value } }, 'invalid_options', '8.2'),
  ),
  dropped('a numeric product tour', { options: { product_tour_id: 7 } }, 'invalid_options', '8.2'),
  dropped('options that are no object', { options: [] }, 'invalid_options', '8.2'),
  {
    source: '8.2',
    name: 'unknown keys, sent_at, offset and $set of the event are ignored',
    event: { sent_at: 7, offset: 'x', api_key: 7, token: 7, $set: 7, more: { a: [1] } },
    root: { api_key: 'phc_other', sent_at: 7, token: 7, more: null },
    result: ok,
    propertiesText: '{LIB}',
  },
  {
    source: '8.2',
    name: 'uuid and distinct_id are trimmed',
    event: {},
    json: '{"event":"e","uuid":" UUID\\t","distinct_id":"\\u00a0 bob\\n","timestamp":"2026-01-31T12:00:00Z"}',
    result: ok,
    stored: { distinct_id: 'bob' },
  },
  {
    source: '8.2',
    name: 'escapes in the texts of an event are read',
    event: {},
    json: '{"\\u0065vent":"caf\\u00e9","uuid":"UUID","distinct_id":"b\\u006fb \\"x\\"","timestamp":"2026-01-31T12:00:00\\u005a"}',
    result: ok,
    stored: { event: 'café', distinct_id: 'bob "x"' },
  },
  {
    source: '8.2',
    name: 'historical_migration and capture_internal may be null',
    event: {},
    root: { historical_migration: null, capture_internal: null },
    result: ok,
  },
  {
    source: '8.2, 3.8',
    name: 'capture_internal hides the address',
    event: {},
    headers: { 'X-Forwarded-For': '203.0.113.7' },
    root: { capture_internal: true, historical_migration: true },
    result: ok,
    stored: { ip: '127.0.0.1' },
  },
  {
    source: '3.9',
    name: 'the address is the forwarded one',
    event: {},
    headers: { 'X-Forwarded-For': '203.0.113.7' },
    result: ok,
    stored: { ip: '203.0.113.7' },
  },
  ...['nothing', '/1.0', 'posthog/', `${'x'.repeat(200)}/1`].map((info): EventVector => ({
    source: '8.1',
    name: `PostHog-Sdk-Info of ${info.length} bytes, ${info.slice(0, 8)}, is malformed: no library is injected`,
    headers: { 'PostHog-Sdk-Info': info },
    event: { properties: { $lib: 'own', a: 1, $lib_version: '9' } },
    result: ok,
    propertiesText: '{"$lib":"own","a":1,"$lib_version":"9"}',
    stored: { lib: 'own', lib_version: '9' },
  })),
  {
    source: '8.1',
    name: 'PostHog-Sdk-Info is split at its last slash',
    headers: { 'PostHog-Sdk-Info': 'a/b "c"/1' },
    event: {},
    result: ok,
    propertiesText: '{"$lib":"a/b \\"c\\"","$lib_version":"1"}',
    stored: { lib: 'a/b "c"', lib_version: '1' },
  },
  {
    source: '8.1',
    name: 'the scheme’s case, the bearer’s spaces and the parameters of the content type do not matter',
    headers: { Authorization: 'bEARER   phc_test_public  ', 'Content-Type': 'Application/JSON ; charset=utf-8' },
    event: {},
    result: ok,
  },
  { source: '8.1', name: 'a high attempt', headers: { 'PostHog-Attempt': '4000000000' }, event: {}, result: ok },
  {
    source: '8.2',
    name: 'the client’s clock is corrected by PostHog-Request-Timestamp',
    headers: { 'PostHog-Request-Timestamp': SENT },
    event: { timestamp: '2026-01-31T11:59:50.000Z' },
    result: ok,
    msFromReceipt: -10_000,
    stored: { sent_at: SENT },
  },
  {
    source: '8.2',
    name: 'zones, fractions, small letters and years count',
    headers: { 'PostHog-Request-Timestamp': '2026-01-31t12:00:00z' },
    event: { timestamp: '2026-01-31T13:30:00.2500000000001+02:00' },
    result: ok,
    msFromReceipt: -1_799_750,
  },
  {
    source: '8.2',
    name: '22 hours ahead are kept',
    headers: { 'PostHog-Request-Timestamp': SENT },
    event: { timestamp: '2026-02-01T10:00:00Z' },
    result: ok,
    msFromReceipt: 22 * 3_600_000,
  },
  {
    source: '8.2',
    name: 'more than 23 hours ahead becomes the time of receipt',
    headers: { 'PostHog-Request-Timestamp': SENT },
    event: { timestamp: '2026-02-01T11:00:01Z' },
    result: ok,
    msFromReceipt: 0,
  },
  {
    source: '8.2',
    name: 'with disable_skew_correction the timestamp counts as it is, however far ahead',
    headers: { 'PostHog-Request-Timestamp': SENT },
    event: { timestamp: '2150-06-01T00:00:00.123456Z', options: { disable_skew_correction: true } },
    result: ok,
    stored: { timestamp: '2150-06-01T00:00:00.123Z' },
  },
  {
    source: '8.2',
    name: 'disable_skew_correction false corrects',
    headers: { 'PostHog-Request-Timestamp': SENT },
    event: { timestamp: '2026-01-31T11:59:50.000Z', options: { disable_skew_correction: false } },
    result: ok,
    msFromReceipt: -10_000,
  },
  ...[
    'yesterday',
    '2026-01-31',
    '2026-01-31T12:00:00',
    '2026-01-31 12:00:00Z',
    '1769860800',
    '2026-02-30T12:00:00Z',
    '2026-01-31T24:00:00Z',
    '',
  ].map((timestamp) => dropped(`the timestamp "${timestamp}"`, { timestamp }, 'invalid_event_timestamp')),
  dropped('an empty name', { event: '' }, 'missing_event_name'),
  { source: '8.3', name: 'a name of 200 bytes', event: { event: 'é'.repeat(100) }, result: ok },
  dropped('a name of 201 bytes', { event: `${'é'.repeat(100)}x` }, 'event_name_too_long'),
  dropped('an empty distinct_id', { distinct_id: '' }, 'missing_distinct_id'),
  dropped('a blank distinct_id', { distinct_id: ' \t\u3000' }, 'missing_distinct_id'),
  { source: '8.3', name: 'a distinct_id of 200 bytes', event: { distinct_id: 'é'.repeat(100) }, result: ok },
  dropped('a distinct_id of 201 bytes', { distinct_id: `${'é'.repeat(100)}x` }, 'distinct_id_too_large'),
  ...([null, [], 'x', 7] as const).map((properties) =>
    dropped(`the properties ${JSON.stringify(properties)}`, { properties }, 'malformed_event_properties'),
  ),
  {
    source: '8.3, 3.8',
    name: 'a $performance_event is dropped and not kept',
    event: { event: '$performance_event' },
    result: drop('dropped_performance_event'),
    isGone: true,
  },
  dropped('an event over 1,000,000 bytes', { properties: { a: 'x'.repeat(1_000_000) } }, 'event_too_big'),
  {
    source: '6',
    name: 'an AI event of 8 MiB of properties',
    event: { event: '$ai_generation', properties: { a: 'x'.repeat(8 * MIB - 8) } },
    result: ok,
  },
  dropped(
    'an AI event of 8 MiB of properties and a byte',
    { event: '$ai_generation', properties: { a: 'x'.repeat(8 * MIB - 7) } },
    'ai_event_too_big',
  ),
  ...(
    [
      '0',
      '00000000-0000-0000-0000-000000000000',
      '[object object]',
      'Anonymous',
      'anonymous-user',
      'backend',
      'distinct_id',
      'distinctid',
      'email',
      'FALSE',
      'guest',
      'id',
      'NaN',
      'none',
      'not_authenticated',
      'null',
      'system',
      'true',
      'undefined',
      ' user ',
    ] as const
  ).map((id): EventVector => ({
    source: '8.3',
    name: `the placeholder "${id}" is stored without person processing`,
    event: { distinct_id: id, options: { process_person_profile: true } },
    result: { result: 'ok', details: 'person_processing_disabled' },
    propertiesText: '{"$process_person_profile":false,LIB}',
    stored: { distinct_id: id.trim() },
  })),
  { source: '8.3', name: 'what only begins like a placeholder is none', event: { distinct_id: 'user1' }, result: ok },
  dropped(
    'the cookieless id without cookieless_mode',
    { distinct_id: '$posthog_cookieless' },
    'cookieless_id_without_mode',
  ),
  {
    source: '8.3',
    name: 'the cookieless id with cookieless_mode',
    event: { distinct_id: '$posthog_cookieless', options: { cookieless_mode: true } },
    result: ok,
    propertiesText: '{"$cookieless_mode":true,LIB}',
  },
  {
    source: '8.3',
    name: 'of several faults the first in the order of the list counts',
    event: { event: '', distinct_id: '', timestamp: '', properties: 7 },
    result: drop('missing_event_name'),
    stored: rejectedAs('missing_event_name') as Record<string, unknown>,
  },
];
