/** Protocol V1: requests that are refused as a whole, a row for each rule of protocol.md section 8. */
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import type { HeaderChanges } from './protocol-v1.ts';

/** A request that is refused as a whole. */
export interface RefusalVector {
  readonly source: string;
  readonly name: string;
  readonly headers?: HeaderChanges;
  readonly method?: 'GET' | 'PUT';
  readonly path?: string;
  /** Default: one good event. */
  readonly body?: string | Uint8Array;
  readonly status: number;
  readonly error: string;
  /** What `error_description` begins with. */
  readonly says?: string;
}

const good = (fields: object = {}): object => ({
  event: 'e',
  uuid: '01900000-0000-7000-8000-000000000001',
  distinct_id: 'ann',
  timestamp: '2026-01-31T12:00:00.000Z',
  ...fields,
});
const batch = (events: readonly unknown[], root: object = {}): string =>
  JSON.stringify({ created_at: '2026-01-31T12:00:00.000Z', batch: events, ...root });
const GOOD = batch([good()]);
const without = (field: string): string =>
  batch([Object.fromEntries(Object.entries(good()).filter(([k]) => k !== field))]);

const ALL_REQUIRED =
  '["PostHog-Sdk-Info", "PostHog-Attempt", "PostHog-Request-Id", "PostHog-Request-Timestamp", "Content-Type", "User-Agent"]';

export const headerRefusals: readonly RefusalVector[] = [
  {
    source: '8.1',
    name: 'no Authorization',
    headers: { Authorization: null },
    status: 401,
    error: 'missing_authorization',
  },
  {
    source: '8.1',
    name: 'no Authorization goes before missing headers',
    headers: { Authorization: null, 'PostHog-Attempt': null },
    status: 401,
    error: 'missing_authorization',
  },
  {
    source: '8.1',
    name: 'all missing headers are reported together',
    headers: {
      'PostHog-Sdk-Info': null,
      'PostHog-Attempt': null,
      'PostHog-Request-Id': null,
      'PostHog-Request-Timestamp': null,
      'Content-Type': null,
      'User-Agent': null,
    },
    status: 400,
    error: 'missing_required_headers',
    says: `request is missing required headers: ${ALL_REQUIRED}`,
  },
  ...[
    'PostHog-Sdk-Info',
    'PostHog-Attempt',
    'PostHog-Request-Id',
    'PostHog-Request-Timestamp',
    'Content-Type',
    'User-Agent',
  ].map((header): RefusalVector => ({
    source: '8.1',
    name: `no ${header}`,
    headers: { [header]: null },
    status: 400,
    error: 'missing_required_headers',
    says: `request is missing required headers: ["${header}"]`,
  })),
  {
    source: '8.1',
    name: 'missing headers go before a bearer of another scheme',
    headers: { Authorization: 'Basic abc', 'PostHog-Attempt': null },
    status: 400,
    error: 'missing_required_headers',
  },
  {
    source: '8.1',
    name: 'another scheme',
    headers: { Authorization: 'Basic abc' },
    status: 400,
    error: 'invalid_header_value',
  },
  {
    source: '8.1',
    name: 'another scheme goes before the content type',
    headers: { Authorization: 'Basic abc', 'Content-Type': 'text/plain' },
    status: 400,
    error: 'invalid_header_value',
  },
  {
    source: '8.1',
    name: 'a personal key as bearer',
    headers: { Authorization: 'Bearer phx_test_personal' },
    status: 401,
    error: 'invalid_api_token',
    says: 'The provided API token is not valid.',
  },
  {
    source: '8.1, 4',
    name: 'a key of 65 bytes',
    headers: { Authorization: `Bearer ${'a'.repeat(65)}` },
    status: 401,
    error: 'invalid_api_token',
  },
  {
    source: '8.1, 4',
    name: 'a key of 64 bytes has the right shape, and is unknown',
    headers: { Authorization: `Bearer ${'a'.repeat(64)}` },
    status: 401,
    error: 'unknown_api_token',
  },
  {
    source: '8.1, 4',
    name: 'an empty bearer',
    headers: { Authorization: 'Bearer' },
    status: 401,
    error: 'invalid_api_token',
  },
  {
    source: '8.1',
    name: 'the shape of the key goes before the content type',
    headers: { Authorization: 'Bearer phx_x', 'Content-Type': 'text/plain' },
    status: 401,
    error: 'invalid_api_token',
  },
  {
    source: '8.1',
    name: 'text/plain',
    headers: { 'Content-Type': 'text/plain' },
    status: 415,
    error: 'unsupported_content_type',
  },
  {
    source: '8.1',
    name: 'the content type goes before the encoding',
    headers: { 'Content-Type': 'text/plain', 'Content-Encoding': 'lz4' },
    status: 415,
    error: 'unsupported_content_type',
  },
  {
    source: '8.1',
    name: 'an unknown encoding',
    headers: { 'Content-Encoding': 'lz4' },
    status: 415,
    error: 'unsupported_encoding',
  },
  {
    source: '8.1',
    name: 'gzip-js',
    headers: { 'Content-Encoding': 'gzip-js' },
    status: 415,
    error: 'unsupported_encoding',
  },
  {
    source: '8.1',
    name: 'stacked encodings',
    headers: { 'Content-Encoding': 'gzip, br' },
    status: 415,
    error: 'unsupported_encoding',
  },
  {
    source: '8.1',
    name: 'the encoding goes before the request id',
    headers: { 'Content-Encoding': 'lz4', 'PostHog-Request-Id': 'x' },
    status: 415,
    error: 'unsupported_encoding',
  },
  {
    source: '8.1',
    name: 'a request id that is no UUID',
    headers: { 'PostHog-Request-Id': 'x' },
    status: 400,
    error: 'invalid_header_value',
    says: 'request header has an invalid value: PostHog-Request-Id',
  },
  {
    source: '8.1',
    name: 'the request id goes before the attempt',
    headers: { 'PostHog-Request-Id': 'x', 'PostHog-Attempt': 'x' },
    status: 400,
    error: 'invalid_header_value',
    says: 'request header has an invalid value: PostHog-Request-Id',
  },
  ...['0', '-1', '1.5', 'x'].map((attempt): RefusalVector => ({
    source: '8.1',
    name: `attempt ${attempt}`,
    headers: { 'PostHog-Attempt': attempt },
    status: 400,
    error: 'invalid_header_value',
    says: 'request header has an invalid value: PostHog-Attempt',
  })),
  {
    source: '8.1',
    name: 'the attempt goes before the timestamp',
    headers: { 'PostHog-Attempt': '0', 'PostHog-Request-Timestamp': 'x' },
    status: 400,
    error: 'invalid_header_value',
    says: 'request header has an invalid value: PostHog-Attempt',
  },
  ...['yesterday', '2026-01-31', '2026-01-31T12:00:00', '1769860800'].map((time): RefusalVector => ({
    source: '8.1',
    name: `request timestamp ${time}`,
    headers: { 'PostHog-Request-Timestamp': time },
    status: 400,
    error: 'invalid_header_value',
    says: 'request header has an invalid value: PostHog-Request-Timestamp',
  })),
  {
    source: '8.1',
    name: 'the timestamp goes before the body',
    headers: { 'PostHog-Request-Timestamp': 'x' },
    body: '{',
    status: 400,
    error: 'invalid_header_value',
  },
  { source: '8.5, 1', name: 'GET', method: 'GET', status: 405, error: 'method_not_allowed' },
  { source: '8.5, 1', name: 'PUT', method: 'PUT', status: 405, error: 'method_not_allowed' },
];

const MIB = 1 << 20;
const repeated = (byte: number, length: number): Buffer => Buffer.alloc(length, byte);

export const bodyRefusals: readonly RefusalVector[] = [
  { source: '8.4', name: 'no body', body: '', status: 400, error: 'empty_body' },
  {
    source: '8.1',
    name: 'gzip without the header, since nothing is guessed from the bytes',
    body: gzipSync(GOOD),
    status: 400,
    error: 'request_parsing_error',
  },
  ...(['gzip', 'deflate', 'br', 'zstd'] as const).map((encoding): RefusalVector => ({
    source: '8.4',
    name: `plain JSON under ${encoding}`,
    headers: { 'Content-Encoding': encoding },
    body: GOOD,
    status: 400,
    error: 'request_decoding_error',
    says: 'Failed to decode request body.',
  })),
  {
    source: '8.4',
    name: 'gzip that is cut short',
    headers: { 'Content-Encoding': 'gzip' },
    body: gzipSync(GOOD).subarray(0, 60),
    status: 400,
    error: 'request_decoding_error',
  },
  {
    source: '6',
    name: '10 MiB and a byte',
    body: repeated(0x20, 10 * MIB + 1),
    status: 413,
    error: 'payload_too_large',
  },
  {
    source: '6',
    name: '10 MiB of spaces are read, and are no JSON',
    body: repeated(0x20, 10 * MIB),
    status: 400,
    error: 'request_parsing_error',
  },
  {
    source: '6',
    name: 'exactly 50 MiB decompressed',
    headers: { 'Content-Encoding': 'gzip' },
    body: gzipSync(repeated(0x20, 50 * MIB)),
    status: 413,
    error: 'payload_too_large',
  },
  {
    source: '6',
    name: 'a byte below 50 MiB is read, and is no JSON',
    headers: { 'Content-Encoding': 'gzip' },
    body: gzipSync(repeated(0x20, 50 * MIB - 1)),
    status: 400,
    error: 'request_parsing_error',
  },
  {
    source: '6',
    name: 'a gzip bomb of 200 MiB',
    headers: { 'Content-Encoding': 'gzip' },
    body: gzipSync(repeated(0x20, 200 * MIB)),
    status: 413,
    error: 'payload_too_large',
  },
  {
    source: '6',
    name: 'a zlib bomb',
    headers: { 'Content-Encoding': 'deflate' },
    body: deflateSync(repeated(0x20, 60 * MIB)),
    status: 413,
    error: 'payload_too_large',
  },
  {
    source: '6',
    name: 'a bomb of bare deflate',
    headers: { 'Content-Encoding': 'deflate' },
    body: deflateRawSync(repeated(0x20, 60 * MIB)),
    status: 413,
    error: 'payload_too_large',
  },
  {
    source: '6',
    name: 'a brotli bomb',
    headers: { 'Content-Encoding': 'br' },
    body: brotliCompressSync(repeated(0x20, 60 * MIB)),
    status: 413,
    error: 'payload_too_large',
  },
  {
    source: '6',
    name: 'a zstd bomb of run-length blocks',
    headers: { 'Content-Encoding': 'zstd' },
    body: zstdOfRuns(0x20, 401),
    status: 413,
    error: 'payload_too_large',
  },
  {
    source: '6',
    name: 'a zstd frame that asks for a window of 2 GiB',
    headers: { 'Content-Encoding': 'zstd' },
    body: Uint8Array.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x03, 0x00, 0x00, 0x20]),
    status: 413,
    error: 'payload_too_large',
  },
  ...(
    [
      ['broken JSON', '{"created_at":'],
      ['text behind the document', `${GOOD} x`],
      ['no UTF-8', Buffer.concat([Buffer.from(GOOD.slice(0, 10)), Buffer.from([0xff]), Buffer.from(GOOD.slice(10))])],
      ['an array', `[${GOOD}]`],
      ['no created_at', JSON.stringify({ batch: [good()] })],
      ['no batch', JSON.stringify({ created_at: '2026-01-31T12:00:00Z' })],
      ['a created_at that is no string', batch([good()], { created_at: 1 })],
      ['a batch that is no array', batch([], { batch: {} })],
      ['an element that is no object', batch([good(), 7])],
      ['a historical_migration that is no boolean', batch([good()], { historical_migration: 'yes' })],
      ['a capture_internal that is no boolean', batch([good()], { capture_internal: 1 })],
      ['no event', without('event')],
      ['no uuid', without('uuid')],
      ['no distinct_id', without('distinct_id')],
      ['no timestamp', without('timestamp')],
      ['a numeric distinct_id', batch([good({ distinct_id: 7 })])],
      ['a null distinct_id', batch([good({ distinct_id: null })])],
      ['a numeric event', batch([good({ event: 7 })])],
      ['a numeric uuid', batch([good({ uuid: 7 })])],
      ['a numeric timestamp', batch([good({ timestamp: 7 })])],
      ['a numeric session_id', batch([good({ session_id: 7 })])],
      ['a numeric window_id', batch([good({ window_id: 7 })])],
      ['nesting deeper than 127', batch([good()]).replace('{', `{"x":${'['.repeat(127)}${']'.repeat(127)},`)],
    ] as const
  ).map(([name, body]): RefusalVector => ({
    source: '8.2',
    name: `${name} fails the whole batch`,
    body,
    status: 400,
    error: 'request_parsing_error',
    says: 'Failed to parse request body.',
  })),
  {
    source: '8.4',
    name: 'an empty batch',
    body: batch([]),
    status: 400,
    error: 'empty_batch',
    says: 'request batch is empty',
  },
  {
    source: '8.4',
    name: 'a created_at that is no RFC 3339 time',
    body: batch([good()], { created_at: '2026-01-31' }),
    status: 400,
    error: 'invalid_batch',
  },
  {
    source: '8.4',
    name: 'an empty uuid',
    body: batch([good({ uuid: ' ' })]),
    status: 400,
    error: 'missing_event_uuid',
  },
  {
    source: '8.4',
    name: 'one bad uuid of two',
    body: batch([good(), good({ uuid: 'nonsense' })]),
    status: 400,
    error: 'invalid_event_uuid',
    says: 'event uuid is not valid: nonsense',
  },
  {
    source: '8.4',
    name: 'one uuid twice, in two spellings',
    body: batch([good(), good({ uuid: '{01900000-0000-7000-8000-000000000001}' })]),
    status: 400,
    error: 'duplicate_event_uuid',
  },
];

/** A frame of blocks that each say one byte 128 KiB times: 4 bytes a block. */
function zstdOfRuns(byte: number, blocks: number): Buffer {
  const parts = [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38])]; // a window of 128 KiB
  for (let i = 0; i < blocks; i++) {
    const header = ((128 * 1024) << 3) | (1 << 1) | Number(i === blocks - 1);
    parts.push(Buffer.from([header & 0xff, (header >> 8) & 0xff, (header >> 16) & 0xff, byte]));
  }
  return Buffer.concat(parts);
}
