/** Headers of answers: those that every answer has, and those of some. */
import type { Header, Reference } from './operation.ts';

const UUID = '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$';

/** `components.headers` */
export const headerComponents: Readonly<Record<string, Header>> = {
  'X-Request-Id': {
    description:
      'Names this request, in the log and in the events that it stored: the `X-Request-Id` or `PostHog-Request-Id` that was sent where it is a UUID, else one made here.',
    required: true,
    schema: { type: 'string', pattern: UUID },
  },
  'Access-Control-Allow-Credentials': {
    description: 'CORS: always `true`.',
    required: true,
    schema: { type: 'string', const: 'true' },
  },
  'Access-Control-Allow-Origin': {
    description: 'CORS: the `Origin` that was sent, as it was sent; absent where none was.',
    schema: { type: 'string' },
  },
  'Access-Control-Expose-Headers': {
    description: 'CORS: what a script may read.',
    required: true,
    schema: { type: 'string', const: 'Retry-After, X-Request-Id' },
  },
  Vary: { description: 'The headers that the answer depends on.', required: true, schema: { type: 'string' } },
  'Retry-After': {
    description: 'Seconds after which the same request may be sent again. Nothing of it was stored.',
    required: true,
    schema: { type: 'string', pattern: '^[0-9]+$' },
  },
  'PostHog-Request-Id': {
    description: 'The `PostHog-Request-Id` that was sent, as it was sent; absent where none was.',
    schema: { type: 'string' },
  },
  ETag: {
    description: 'The version of the content, for `If-None-Match`.',
    required: true,
    schema: { type: 'string', pattern: '^"[^"]+"$' },
  },
  'Cache-Control': { description: 'How long it may be kept.', required: true, schema: { type: 'string' } },
  'Content-Encoding': {
    description: '`gzip` where the client takes it; else absent.',
    schema: { type: 'string', const: 'gzip' },
  },
  Allow: { description: 'The methods that this path has.', required: true, schema: { type: 'string' } },
  'Access-Control-Allow-Methods': {
    description: 'CORS: the methods that a page may use.',
    required: true,
    schema: { enum: ['GET,POST,OPTIONS', 'POST,OPTIONS'] },
  },
  'Access-Control-Allow-Headers': {
    description: 'CORS: the `Access-Control-Request-Headers` that were sent; absent where none were.',
    schema: { type: 'string' },
  },
  'Access-Control-Max-Age': {
    description: 'CORS: seconds for which a browser need not ask again.',
    required: true,
    schema: { type: 'string', pattern: '^[0-9]+$' },
  },
};

function references(names: readonly string[]): Readonly<Record<string, Reference>> {
  return Object.fromEntries(names.map((name) => [name, { $ref: `#/components/headers/${name}` }]));
}

const EVERY = [
  'X-Request-Id',
  'Access-Control-Allow-Credentials',
  'Access-Control-Allow-Origin',
  'Access-Control-Expose-Headers',
  'Vary',
];

/** Headers of an answer: those of every answer, and `more`. */
export function answerHeaders(...more: readonly string[]): Readonly<Record<string, Reference>> {
  return references([...EVERY, ...more]);
}
