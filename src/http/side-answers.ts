/**
 * Answers the routes that SDKs call beside capture (sdks.md 14, 15, and its table (a)).
 *
 * Keys     Nothing here depends on a project, so no key is looked up: an unknown one gets the same quiet answer, and nobody
 *          learns which keys exist; the first event says 401. A config needs a key that could be one, since a personal key
 *          in a URL has to be noticed. OTLP without any key is 401 (sdks.md 15).
 * Bounds   Bodies as side-routes.ts states, inflated at most MAX_INFLATED_BYTES. What is not kept is not held either.
 */
import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { Decompressor } from '../capture/decompress.ts';
import { inflateGzip, LzStringInflater } from '../capture/inflate.ts';
import { type Fault, fault } from '../errors.ts';
import { isPersonalKeyLike, projectKeyProblem } from '../event/key-shape.ts';
import { EMPTY_OBJECT, fixedAnswers, NO_PAYLOAD, RECORDINGS_ANSWER } from '../wire/sides/fixed-answers.ts';
import { flagsAnswer } from '../wire/sides/flags-answer.ts';
import { readFlagsRequest } from '../wire/sides/flags-request.ts';
import { isProtobufType, otlpAnswer } from '../wire/sides/otlp-answer.ts';
import { type OtlpSignal, otlpSignals } from '../wire/sides/otlp-signal.ts';
import { remoteConfig, remoteConfigScript } from '../wire/sides/remote-config.ts';
import { choosePayload, toText } from '../wire/v0/payload.ts';
import type { SideTarget } from './side-routes.ts';
import { acceptsGzip, type StaticFile, type StaticLibrary } from './static-library.ts';

export interface SideRequest {
  readonly target: SideTarget;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  /** Empty where the route keeps none. */
  readonly body: Buffer;
  /** As text. */
  readonly requestId: string;
  readonly receivedAtMs: number;
}

export interface SideAnswer {
  readonly kind: 'answer';
  readonly status: 200 | 304;
  readonly body: Buffer | string;
  readonly contentType: string;
  /** Names and values, in turn. */
  readonly headers: readonly string[];
}

type Answered = SideAnswer | Fault;
type FlagsPath = '/flags' | '/decide';

const JSON_TYPE = 'application/json';
const SCRIPT_TYPE = 'text/javascript; charset=utf-8';
export const MAX_INFLATED_BYTES = 20 << 20;
const BEARER = /^[ \t]*bearer[ \t]+(\S+)[ \t]*$/i;
/** A page asks once for each visitor and stretch of five minutes. */
const CONFIG_CACHE = 'public, max-age=300';
/** The version in the path is the installed one: these bytes never change. */
const FOREVER_CACHE = 'public, max-age=31536000, immutable';
const REVALIDATE_CACHE = 'no-cache';

export class SideAnswers {
  readonly #library: StaticLibrary;
  readonly #lzStrings = new LzStringInflater(MAX_INFLATED_BYTES);
  /** It refuses from its limit on; ours is the last size that is fine. */
  readonly #otlpBodies = new Decompressor(MAX_INFLATED_BYTES + 1);

  constructor(library: StaticLibrary) {
    this.#library = library;
  }

  handle(request: SideRequest): Answered | Promise<Answered> {
    const { target } = request;
    switch (target.kind) {
      case 'config':
        return config(request, target);
      case 'static':
        return this.#static(request, target);
      case 'flags':
        return this.#flags(request, target.path);
      case 'otlp':
        return this.#otlp(request, otlpSignals[target.signal]);
      case 'recordings':
        return json(RECORDINGS_ANSWER);
      case 'push_subscriptions':
        return json(EMPTY_OBJECT);
      case 'flag_payload':
        return json(NO_PAYLOAD);
      case 'ai_multipart':
        return fault('unsupported_media_type', {
          problem: 'multipart AI events with blobs are not kept by this server. Send them as JSON to /i/v0/ai/batch/',
        });
      case 'fixed':
        return tagged(request, {
          body: fixedAnswers[target.path] ?? EMPTY_OBJECT,
          contentType: JSON_TYPE,
          cacheControl: REVALIDATE_CACHE,
        });
    }
  }

  #static(
    request: SideRequest,
    target: { readonly file: string; readonly version: string | undefined },
  ): Answered | Promise<Answered> {
    const file = this.#library.find(target.file);
    if (file === undefined) return fault('not_found');
    const form = acceptsGzip(single(request.headers['accept-encoding'])) ? 'gzip' : 'plain';
    const version = target.version ?? request.query.get('v');
    const tag = form === 'gzip' ? `${file.tag}-gzip` : file.tag;
    const headers = [
      'ETag', `"${tag}"`,
      'Cache-Control', version === this.#library.version ? FOREVER_CACHE : CONFIG_CACHE,
      'Vary', 'accept-encoding',
    ]; // prettier-ignore
    if (isKnownTo(request, tag)) return notModified(file.contentType, headers);
    if (form === 'gzip') headers.push('Content-Encoding', 'gzip');
    return this.#library.read(file, form).then((body) => staticAnswer(file, body, headers));
  }

  /** The payload in any form that capture takes; without one, as when somebody looks with a browser, there is none to check. */
  #flags(request: SideRequest, path: FlagsPath): Answered | Promise<Answered> {
    const { query, headers } = request;
    const data = query.get('data') ?? '';
    if (data === '' && request.body.length === 0) return flagsOf(request, path, query.get('token') ?? undefined);
    const payload = choosePayload({
      data: data === '' ? undefined : data,
      body: request.body,
      contentType: headers['content-type'],
      contentEncoding: headers['content-encoding'],
      queryCompression: query.get('compression') ?? undefined,
    });
    switch (payload.kind) {
      case 'fault':
        return payload;
      case 'plain':
        return flagsFrom(request, path, toText(payload.bytes, false));
      case 'gzip':
      case 'lz64': {
        const { kind, bytes } = payload;
        const text = kind === 'gzip' ? inflateGzip(bytes, MAX_INFLATED_BYTES) : this.#lzStrings.inflate(bytes);
        return whenDone(text, (found) =>
          flagsFrom(request, path, Buffer.isBuffer(found) ? toText(found, true) : found),
        );
      }
    }
  }

  #otlp(request: SideRequest, signal: OtlpSignal): Answered | Promise<Answered> {
    const { headers, query } = request;
    const token = query.get('token') ?? BEARER.exec(headers.authorization ?? '')?.[1] ?? '';
    if (token === '') return fault('missing_api_key');
    const problem = projectKeyProblem(token);
    if (problem !== undefined) return fault('invalid_api_key', { reason: problem });
    const isProtobuf = isProtobufType(headers['content-type']);
    return whenDone(this.#otlpBody(request), (bytes) => {
      if (!Buffer.isBuffer(bytes)) return bytes;
      const answer = otlpAnswer(signal, bytes, isProtobuf);
      if (answer.kind === 'fault') return answer;
      return { kind: 'answer', status: 200, body: answer.body, contentType: answer.contentType, headers: [] };
    });
  }

  /** gzip by header, by parameter or by its first bytes alone: clients send it each way (sdks.md 15). */
  #otlpBody(request: SideRequest): Buffer | Fault | Promise<Buffer | Fault> {
    const { body, headers } = request;
    if (body[0] === 0x1f && body[1] === 0x8b) return inflateGzip(body, MAX_INFLATED_BYTES);
    const encoding = headers['content-encoding']?.trim().toLowerCase() ?? '';
    switch (encoding) {
      case '':
      case 'identity':
      case 'gzip': // a gzip hint on a plain body is no fault, as for capture (design.md 4)
        return body;
      case 'deflate':
      case 'br':
      case 'zstd':
        return this.#otlpBodies.decompress(body, encoding);
      default:
        return fault('unsupported_encoding');
    }
  }
}

function staticAnswer(file: StaticFile, body: Buffer, headers: readonly string[]): SideAnswer {
  return { kind: 'answer', status: 200, body, contentType: file.contentType, headers };
}

function config(request: SideRequest, target: { readonly token: string; readonly isScript: boolean }): Answered {
  const token = percentDecoded(target.token);
  const problem = token === undefined ? 'not_ascii' : projectKeyProblem(token);
  if (token === undefined || problem !== undefined) {
    return fault('invalid_api_key', { reason: problem ?? 'not_ascii' });
  }
  return tagged(request, {
    body: target.isScript ? remoteConfigScript(token) : JSON.stringify(remoteConfig(token)),
    contentType: target.isScript ? SCRIPT_TYPE : JSON_TYPE,
    cacheControl: CONFIG_CACHE,
  });
}

function flagsFrom(request: SideRequest, path: FlagsPath, text: Buffer | Fault): Answered {
  if (!Buffer.isBuffer(text)) return text;
  const read = readFlagsRequest(text);
  return read.kind === 'fault' ? read : flagsOf(request, path, read.token);
}

function flagsOf(request: SideRequest, path: FlagsPath, token: string | undefined): SideAnswer {
  const { query } = request;
  const wantsConfig = query.get('config');
  return json(
    flagsAnswer({
      path,
      version: query.get('v') ?? undefined,
      wantsConfig: wantsConfig === 'true' || wantsConfig === '1',
      // A personal key in its place is a secret: it is not said back, into logs and caches on the way.
      token: token !== undefined && isPersonalKeyLike(token) ? undefined : token,
      requestId: request.requestId,
      evaluatedAtMs: request.receivedAtMs,
    }),
  );
}

function json(body: string): SideAnswer {
  return { kind: 'answer', status: 200, body, contentType: JSON_TYPE, headers: [] };
}

/** With an ETag, and 304 for a client that has it. */
function tagged(
  request: SideRequest,
  answer: { readonly body: string; readonly contentType: string; readonly cacheControl: string },
): SideAnswer {
  const tag = createHash('sha256').update(answer.body).digest('base64url').slice(0, 22);
  const headers = ['ETag', `"${tag}"`, 'Cache-Control', answer.cacheControl];
  if (isKnownTo(request, tag)) return notModified(answer.contentType, headers);
  return { kind: 'answer', status: 200, body: answer.body, contentType: answer.contentType, headers };
}

function notModified(contentType: string, headers: readonly string[]): SideAnswer {
  return { kind: 'answer', status: 304, body: '', contentType, headers };
}

/** The weak comparison of If-None-Match (RFC 9110 13.1.2). */
export function isKnownTo(request: Pick<SideRequest, 'headers'>, tag: string): boolean {
  const known = request.headers['if-none-match'];
  if (known === undefined) return false;
  return known.split(',').some((entry) => {
    const text = entry.trim();
    return text === '*' || text === `"${tag}"` || text === `W/"${tag}"`;
  });
}

function whenDone<T>(value: T | Promise<T>, answerOf: (value: T) => Answered): Answered | Promise<Answered> {
  return value instanceof Promise ? value.then(answerOf) : answerOf(value);
}

function percentDecoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function single(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : value?.[0];
}
