/**
 * Every way Hedgerow says no over HTTP: code, status, type, text, and whether to try again. `http/` alone turns an entry
 * into bytes. A text says what is wrong, where, and what to do next; it begins with PostHog's words where PostHog has
 * some (protocol.md 5.2), and never shows a key, a property value or a body.
 */
export interface ErrorEntry {
  readonly status: 400 | 401 | 402 | 403 | 404 | 405 | 408 | 413 | 415 | 429 | 431 | 500 | 503;
  readonly type: 'validation_error' | 'authentication_error' | 'permission_error' | 'throttled_error' | 'server_error';
  /** `later` sends Retry-After. */
  readonly retry: 'never' | 'later';
  readonly level: 'debug' | 'warn' | 'error';
  readonly detail: (fields: never) => string;
}

const bad = { status: 400, type: 'validation_error', retry: 'never', level: 'debug' } as const;
const unauthorized = { status: 401, type: 'authentication_error', retry: 'never', level: 'debug' } as const;
const forbidden = { status: 403, type: 'permission_error', retry: 'never', level: 'debug' } as const;
const missing = { status: 404, type: 'validation_error', retry: 'never', level: 'debug' } as const;
const tooLarge = { status: 413, type: 'validation_error', retry: 'never', level: 'debug' } as const;
const unsupported = { status: 415, type: 'validation_error', retry: 'never', level: 'debug' } as const;
const throttled = { status: 429, type: 'throttled_error', retry: 'later', level: 'debug' } as const;
const away = { status: 503, type: 'server_error', retry: 'later', level: 'warn' } as const;

const invalidKeyReasons = {
  empty: 'it is empty',
  too_long: 'it is longer than 64 bytes',
  not_ascii: 'it holds a character that is not ASCII',
  personal_api_key: 'it is a personal API key (phx_…), which is secret and does not name a project',
  null_byte: 'it holds a NUL byte',
} as const;
export type InvalidKeyReason = keyof typeof invalidKeyReasons;

export const errors = {
  ai_event_too_big: {
    ...tooLarge,
    detail: (f: { readonly bytes: number; readonly maxBytes: number }) =>
      `maximum AI event size exceeded: "properties" of ${f.bytes} bytes are over ${f.maxBytes} bytes. Send smaller ones.`,
  },
  body_timeout: {
    status: 408,
    type: 'validation_error',
    retry: 'later',
    level: 'debug',
    detail: (f: { readonly timeoutMs: number }) =>
      `client stopped sending data: no byte of the body came for ${f.timeoutMs} ms. Nothing was stored; send it again.`,
  },
  conflicting_api_keys: {
    ...bad,
    detail: () =>
      'failed to parse request: api_key and token are both given and differ. Send one of them, or the same key in both.',
  },
  cookieless_id_without_mode: {
    ...bad,
    detail: () =>
      'The distinct_id "$posthog_cookieless" stands for an id that is made later, and needs "cookieless_mode": true in "options".',
  },
  disk_full: {
    ...away,
    level: 'error',
    detail: () =>
      'service unavailable: the disk of the data folder is full. Nothing of this request was stored. Reads go on, and capture ' +
      'resumes by itself when there is room.',
  },
  distinct_id_too_large: {
    ...bad,
    detail: (f: { readonly bytes: number; readonly maxBytes: number }) =>
      `The distinct_id has ${f.bytes} bytes; at most ${f.maxBytes} are taken. Send a shorter one.`,
  },
  draining: {
    ...away,
    level: 'debug',
    detail: () =>
      'service unavailable: the server is shutting down. Nothing was stored; send it again after Retry-After.',
  },
  dropped_performance_event: {
    ...bad,
    detail: () => 'Events named $performance_event are not kept.',
  },
  duplicate_event_uuid: {
    ...bad,
    detail: (f: { readonly uuid: string; readonly index: number }) =>
      `event uuid is given twice in one request: ${f.uuid}, the second time by batch.${f.index}. Nothing was stored.`,
  },
  empty_batch: {
    ...bad,
    detail: () => 'request holds no event: the array or "batch" is empty. Send at least one event.',
  },
  empty_body: {
    ...bad,
    detail: () => 'request body is empty. Send {"created_at", "batch": […]}.',
  },
  empty_event_name: {
    ...bad,
    detail: () => 'event submitted with an empty event name. Give "event" a name such as "user signed up".',
  },
  event_name_too_long: {
    ...bad,
    detail: (f: { readonly bytes: number; readonly maxBytes: number }) =>
      `The event's name has ${f.bytes} bytes; at most ${f.maxBytes} are taken. Send a shorter one.`,
  },
  event_too_big: {
    ...tooLarge,
    detail: (f: { readonly bytes: number; readonly maxBytes: number }) =>
      `maximum event size exceeded: Event of ${f.bytes} bytes is over ${f.maxBytes} bytes. Send smaller properties.`,
  },
  event_too_large: {
    ...tooLarge,
    detail: (f: { readonly bytes: number; readonly maxBytes: number }) =>
      `maximum event size exceeded: Event of ${f.bytes} bytes is over ${f.maxBytes} bytes. Send smaller properties.`,
  },
  inconsistent_api_keys: {
    ...unauthorized,
    detail: () =>
      'batch submitted with inconsistent api_key values: the events of one array name several projects. Send one request for each.',
  },
  internal_error: {
    status: 500,
    type: 'server_error',
    retry: 'later',
    level: 'error',
    detail: () =>
      'internal server error. Nothing was acknowledged; send it again. The server’s log has the request id.',
  },
  invalid_api_key: {
    ...unauthorized,
    detail: (f: { readonly reason: InvalidKeyReason }) =>
      `API key is not valid: ${f.reason}. As "api_key", send a project API key (phc_…): ${invalidKeyReasons[f.reason]}.`,
  },
  invalid_api_token: {
    ...unauthorized,
    detail: (f: { readonly reason: InvalidKeyReason }) =>
      `The provided API token is not valid. As the bearer of "Authorization", send a project API key (phc_…): ${invalidKeyReasons[f.reason]}.`,
  },
  invalid_batch: {
    ...bad,
    detail: () =>
      'request batch is not valid: "created_at" is no RFC 3339 time. Send one such as 2026-01-31T12:00:00.000Z.',
  },
  invalid_cookieless_mode: {
    ...bad,
    detail: () => 'event submitted with invalid cookieless mode: properties.$cookieless_mode must be true or false.',
  },
  invalid_encoding: {
    ...bad,
    detail: (f: { readonly problem: string }) => `failed to decode request: ${f.problem}`,
  },
  invalid_event: {
    ...bad,
    detail: (f: { readonly problem: string }) =>
      `failed to parse request: data did not match any variant of untagged enum RawRequest: ${f.problem}.`,
  },
  invalid_event_timestamp: {
    ...bad,
    detail: () => 'The "timestamp" of the event is no RFC 3339 time. Send one such as 2026-01-31T12:00:00.000Z.',
  },
  invalid_event_uuid: {
    ...bad,
    detail: (f: { readonly uuid: string; readonly index: number }) =>
      `event uuid is not valid: ${f.uuid} (batch.${f.index}). Nothing was stored; send a UUID with every event.`,
  },
  invalid_form: {
    ...bad,
    detail: (f: { readonly problem: string }) => `failed to decode request: ${f.problem}`,
  },
  invalid_header: {
    ...bad,
    detail: () => 'The request could not be read as HTTP/1.1. Check the request line and the headers.',
  },
  invalid_header_value: {
    ...bad,
    detail: (f: { readonly header: string; readonly expected: string }) =>
      `request header has an invalid value: ${f.header} must be ${f.expected}.`,
  },
  invalid_json: {
    ...bad,
    detail: (f: { readonly problem: string; readonly line: number; readonly column: number }) =>
      `failed to parse request: ${f.problem} at line ${f.line} column ${f.column}`,
  },
  invalid_options: {
    ...bad,
    detail: (f: { readonly problem: string }) => `The "options" of the event cannot be read: ${f.problem}.`,
  },
  invalid_parameter: {
    ...bad,
    detail: (f: { readonly name: string; readonly expected: string }) =>
      `The parameter "${f.name}" must be ${f.expected}.`,
  },
  invalid_personal_api_key: {
    ...unauthorized,
    detail: () =>
      'The personal API key in the Authorization header is unknown or was revoked. "hedgerow keys list" shows which keys exist; ' +
      '"hedgerow keys create --kind personal" makes one.',
  },
  invalid_properties: {
    ...bad,
    detail: (f: { readonly problem: string }) =>
      `failed to parse request: data did not match any variant of untagged enum RawRequest: ${f.problem}.`,
  },
  invalid_query: {
    ...bad,
    detail: (f: { readonly problem: string }) => `Failed to deserialize query string: ${f.problem}`,
  },
  invalid_shape: {
    ...bad,
    detail: (f: { readonly problem: string }) =>
      `failed to parse request: data did not match any variant of untagged enum RawRequest: ${f.problem}.`,
  },
  invalid_sql: {
    ...bad,
    detail: (f: { readonly message: string }) => f.message,
  },
  invalid_uuid: {
    ...bad,
    detail: () =>
      'failed to parse request: data did not match any variant of untagged enum RawRequest: "uuid" is no UUID. ' +
      'Send one such as 018f3b7e-5d5c-7c2a-9e1b-0123456789ab, or leave it out.',
  },
  ledger_behind: {
    ...away,
    detail: () =>
      'So much waits to be loaded that the ledger is still counting it; capture goes on meanwhile. Ask again in a moment: it comes further each time.',
  },
  log_unavailable: {
    ...away,
    level: 'error',
    detail: () =>
      'transient error, please retry: the event log could not be written. Nothing was acknowledged; send it again after Retry-After. ' +
      'The operator finds the reason in the server’s log.',
  },
  malformed_event_properties: {
    ...bad,
    detail: () => 'The "properties" of the event are no object. Send an object, or leave them out.',
  },
  method_not_allowed: {
    status: 405,
    type: 'validation_error',
    retry: 'never',
    level: 'debug',
    detail: (f: { readonly method: string; readonly allowed: string }) =>
      `The method ${f.method} is not allowed here. Allowed: ${f.allowed}.`,
  },
  missing_api_key: {
    ...unauthorized,
    detail: () => 'event submitted without an api_key. Put the project API key (phc_…) into "api_key".',
  },
  missing_authorization: {
    ...unauthorized,
    detail: () =>
      'request has no Authorization header. Send "Authorization: Bearer <project API key>" (phc_…); "hedgerow keys list" shows it.',
  },
  missing_bearer: {
    ...unauthorized,
    detail: () =>
      'Authentication credentials were not provided. Send "Authorization: Bearer <personal API key>" (phx_…) with scope query; ' +
      '"hedgerow keys create --kind personal --scopes query" makes one.',
  },
  missing_distinct_id: {
    ...bad,
    detail: () =>
      'event submitted without a distinct_id. Say who did it: a "distinct_id" beside "event", or in "properties".',
  },
  missing_event_name: {
    ...bad,
    detail: () =>
      'failed to hydrate events from request: non-engage request missing event name attribute. Send {"api_key", "event", ' +
      '"distinct_id"}, an array of events, or {"api_key", "batch": […]}.',
  },
  missing_event_uuid: {
    ...bad,
    detail: (f: { readonly index: number }) =>
      `event uuid is missing (batch.${f.index}). Nothing was stored; send a UUID with every event.`,
  },
  missing_payload: {
    ...bad,
    detail: () => 'request missing data payload. Send the event as the body, or as "data" in the query of a GET.',
  },
  missing_personal_api_key: {
    ...unauthorized,
    detail: () =>
      'This project API key is of kind "server": a POST with it needs "Authorization: Bearer <personal API key>" (phx_…) with ' +
      'scope capture. For an SDK or a browser use the project’s public key instead; "hedgerow keys list" shows it.',
  },
  missing_required_headers: {
    ...bad,
    detail: (f: { readonly names: string }) => `request is missing required headers: ${f.names}`,
  },
  missing_scope: {
    ...forbidden,
    detail: (f: { readonly scope: string }) =>
      `This personal API key lacks the scope "${f.scope}". Make one that has it: hedgerow keys create --kind personal --scopes ${f.scope}.`,
  },
  not_found: {
    ...missing,
    detail: () => 'Nothing is served at this path. Events go to /capture/, /batch/, /e/ or /i/v0/e/.',
  },
  over_fair_share: {
    ...away,
    detail: () =>
      'service unavailable: many bytes wait for the disk, and this project has its share of them already. Nothing of this request ' +
      'was stored; send it again after Retry-After.',
  },
  overloaded: {
    ...away,
    detail: () =>
      'service unavailable: too many bytes already wait for the disk. Nothing of this request was stored; send it again after Retry-After.',
  },
  payload_too_large: {
    ...tooLarge,
    detail: (f: { readonly problem: string }) =>
      `maximum event size exceeded: ${f.problem}. Send fewer events a request.`,
  },
  performance_event: { ...bad, detail: () => 'Events named $performance_event are not kept.' },
  query_cancelled: {
    status: 408,
    type: 'validation_error',
    retry: 'never',
    level: 'debug',
    detail: () => 'The client closed the connection before the answer was there, so the query was stopped.',
  },
  query_memory: {
    ...bad,
    detail: (f: { readonly message: string }) => f.message,
  },
  query_timeout: {
    ...bad,
    detail: (f: { readonly seconds: number }) =>
      `The query ran longer than ${f.seconds} s and was stopped. Narrow it by time, or aggregate less.`,
  },
  quota_exceeded: {
    ...throttled,
    detail: (f: { readonly events: number; readonly used: number; readonly monthlyQuota: number }) =>
      `billing limit reached: the monthly quota of this project is ${f.monthlyQuota} events, ${f.used} are used, and this request ` +
      `has ${f.events}. Nothing of it was stored. The count begins anew with the month (UTC); "hedgerow limits set" changes the quota.`,
  },
  rate_limited: {
    ...throttled,
    detail: (
      f:
        | { readonly events: number; readonly eventsPerSecond: number; readonly burst: number }
        | { readonly failures: number },
    ) =>
      'failures' in f
        ? `rate limited: more than ${f.failures} requests with an unknown or revoked personal API key came from this address. ` +
          'Send a valid key, which is never held up, or come again after Retry-After.'
        : `rate limited: this project may send ${f.eventsPerSecond} events/s, ${f.burst} at once, and this request has ${f.events}. ` +
          'Nothing of it was stored; send it again after Retry-After. "hedgerow limits set" changes the rate.',
  },
  refused_with_batch: {
    ...bad,
    detail: () =>
      'Another event of this request was refused, and "strict=1" asks for all or nothing. Mend that one and send all again.',
  },
  request_decoding_error: {
    ...bad,
    detail: (f: { readonly problem: string }) => `Failed to decode request body. ${f.problem}`,
  },
  request_parsing_error: {
    ...bad,
    detail: (f: { readonly problem: string }) => `Failed to parse request body. ${f.problem}`,
  },
  revoked_api_key: {
    ...unauthorized,
    detail: () => 'This project API key was revoked. "hedgerow keys list" shows those that are valid.',
  },
  starting: {
    ...away,
    level: 'debug',
    detail: () => 'service unavailable: the server is starting. Nothing was stored; send it again after Retry-After.',
  },
  store_unavailable: {
    ...away,
    detail: () => 'The query engine is starting; capture goes on meanwhile. Ask again in a moment.',
  },
  too_many_connections: {
    ...away,
    detail: (f: { readonly maxConnections: number }) =>
      `service unavailable: more than ${f.maxConnections} connections are open. Nothing was stored; connect again after Retry-After.`,
  },
  too_many_queries: {
    ...away,
    detail: (f: { readonly running: number; readonly waiting: number }) =>
      `${f.running} queries are running and ${f.waiting} wait for them, which is the most this server takes. Ask again after Retry-After.`,
  },
  unknown_api_key: {
    ...unauthorized,
    detail: () =>
      'API key does not belong to any project. Check the project API key in your settings; "hedgerow keys list" shows the valid ones.',
  },
  unknown_event: {
    ...missing,
    detail: () => 'No event with this uuid was received in this project: neither stored, nor waiting, nor rejected.',
  },
  unknown_project: {
    ...missing,
    detail: () => 'There is no project with this id that this key may read. GET /api/projects/ lists them.',
  },
  unknown_request: {
    ...missing,
    detail: () =>
      'No request with this id brought events to this project. What it brought only to be dropped ($performance_event) is not kept.',
  },
  unsupported_content_type: {
    ...unsupported,
    detail: () => 'content type is not supported: the body must be JSON. Send "Content-Type: application/json".',
  },
  unsupported_encoding: {
    ...unsupported,
    detail: () =>
      'content encoding is not supported. Send one of gzip, deflate, br and zstd, or no Content-Encoding for plain JSON.',
  },
  unsupported_media_type: {
    ...unsupported,
    detail: (f: { readonly problem: string }) => `unsupported content: ${f.problem}`,
  },
  wrong_project: {
    ...forbidden,
    detail: () => 'This personal API key is limited to other projects. Use one that may act on this project.',
  },
} as const satisfies Readonly<Record<string, ErrorEntry>>;

export type ErrorCode = keyof typeof errors;
export type FieldsOf<C extends ErrorCode> = Parameters<(typeof errors)[C]['detail']>[0];

/** A refusal or failure on its way to the client: the code and what its text needs. */
export interface Fault {
  readonly kind: 'fault';
  readonly code: ErrorCode;
  readonly detail: string;
  readonly attr: string | null;
  /** Instead of the table's, for a client that would not send again after that one (interface.md 2). */
  readonly status?: 402 | 503;
  /** When to come again, where it is known; default: soon. */
  readonly retryAfterSeconds?: number;
}

type NeedsFields<C extends ErrorCode> =
  Parameters<(typeof errors)[C]['detail']> extends [] ? [] : [fields: FieldsOf<C>];

/** Builds a fault; the compiler asks for exactly the fields that the code's text needs. */
export function fault<C extends ErrorCode>(code: C, ...fields: NeedsFields<C>): Fault {
  return { kind: 'fault', code, detail: detailOf(code, ...fields), attr: null };
}

/** The text of one code. */
export function detailOf<C extends ErrorCode>(code: C, ...fields: NeedsFields<C>): string {
  const detail = errors[code].detail as (...all: unknown[]) => string;
  return detail(...fields);
}

/** Our own bug: a value that its type rules out. Never caught, never shown to a client. */
export class Impossible extends Error {
  constructor(value: never) {
    super('impossible: a value that its type rules out', { cause: value });
  }
}
