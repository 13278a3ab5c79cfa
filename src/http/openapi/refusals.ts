/**
 * Answers that say no, made from the table of src/errors.ts: a family of paths names the codes that it may answer with, and
 * status, type, `Retry-After` and texts come from the table, so that they cannot rot.
 */
import { type ErrorCode, type ErrorEntry, errors, type Fault } from '../../errors.ts';
import { errorEnvelope } from '../../wire/v1/error-envelope.ts';
import { answerHeaders } from './answer-headers.ts';
import { type Reference, type Response, responseReference, type Schema, schemaReference } from './operation.ts';

export interface Refusals {
  /** By status, for an operation. */
  readonly responses: Readonly<Record<string, Reference>>;
  /** What they refer to. */
  readonly components: Readonly<Record<string, Response>>;
}

type Protocol = 'v0' | 'v1';

const table: Readonly<Record<ErrorCode, ErrorEntry>> = errors;

/** What any request may meet, whatever its path. */
export const anywhere: readonly ErrorCode[] = ['invalid_header', 'starting', 'too_many_connections'];
/** What any request may meet whose body is read. */
export const withBody: readonly ErrorCode[] = [...anywhere, 'body_timeout', 'internal_error', 'payload_too_large'];

const MEANINGS: Readonly<Record<number, string>> = {
  400: 'The request is wrong; sent again as it is, it will be wrong again.',
  401: 'A key is missing, or is not valid.',
  402: 'The project has used its quota. Nothing was stored.',
  403: 'The personal key may not do this.',
  404: 'There is no such thing here.',
  405: 'The path has no such method.',
  408: 'The body stopped coming. Nothing was stored.',
  413: 'Too large. Nothing was stored.',
  415: 'The body is in a form that is not read here.',
  429: 'The project sends too much, or the address sent too many wrong keys. Nothing was stored.',
  500: 'A fault of the server’s own. Nothing was acknowledged.',
  503: 'Not now. Nothing was stored; the same request may be sent again.',
};

/** A code, with its status where that is not the table's. */
export type Refusal = ErrorCode | { readonly code: ErrorCode; readonly status: 402 | 503 };

interface Answered {
  readonly code: ErrorCode;
  readonly status: number;
}

/**
 * @param family begins the names of the components, such as `Capture` of `Capture400`
 * @param protocol whose envelope the answers have
 */
export function refusals(family: string, all: readonly Refusal[], protocol: Protocol = 'v0'): Refusals {
  const answered = all.map((each): Answered =>
    typeof each === 'string' ? { code: each, status: table[each].status } : each,
  );
  const statuses = [...new Set(answered.map(({ status }) => status))].toSorted((a, b) => a - b);
  const named = statuses.map((status) => {
    const codes = [...new Set(answered.filter((each) => each.status === status).map(({ code }) => code))].toSorted();
    return { status, name: `${family}${status}`, response: refusal(status, codes, protocol) };
  });
  return {
    responses: Object.fromEntries(named.map(({ status, name }) => [String(status), responseReference(name)])),
    components: Object.fromEntries(named.map(({ name, response }) => [name, response])),
  };
}

function refusal(status: number, codes: readonly ErrorCode[], protocol: Protocol): Response {
  const saysWhen = status !== 402 && codes.every((code) => table[code].retry === 'later');
  const more = [...(saysWhen ? ['Retry-After'] : []), ...(protocol === 'v1' ? ['PostHog-Request-Id'] : [])];
  const words = [...new Set(codes.map((code) => (protocol === 'v1' ? v1Word(code) : code)))];
  const types = [...new Set(codes.map((code) => (status === 503 ? 'server_error' : table[code].type)))];
  const example = codes.map((code) => exampleOf(code, protocol)).find((found) => found !== undefined);
  const schema: Schema =
    protocol === 'v1'
      ? { allOf: [schemaReference('V1Error'), { properties: { error: { enum: words } } }] }
      : { allOf: [schemaReference('Error'), { properties: { code: { enum: words }, type: { enum: types } } }] };
  return {
    description: `${MEANINGS[status] ?? 'Refused.'} ${words.map((word) => `\`${word}\``).join(', ')}.`,
    headers: answerHeaders(...more),
    content: { 'application/json': { schema, ...(example === undefined ? {} : { example }) } },
  };
}

/** What V1 calls it (protocol.md 8.4). */
function v1Word(code: ErrorCode): string {
  return envelopeOf({ kind: 'fault', code, detail: '', attr: null }).error;
}

function envelopeOf(fault: Fault): { readonly error: string } {
  return JSON.parse(errorEnvelope(fault).toString()) as { readonly error: string };
}

/** Undefined where the text tells of the request. */
function exampleOf(code: ErrorCode, protocol: Protocol): unknown {
  const { detail: textOf, type } = table[code];
  if (textOf.length > 0) return undefined;
  const detail = (textOf as () => string)();
  const fault: Fault = { kind: 'fault', code, detail, attr: null };
  return protocol === 'v1' ? envelopeOf(fault) : { type, code, detail, attr: null };
}
