/**
 * The headers of a V1 request (protocol.md 8.1), checked in its order: authorization present -> missing headers, all
 * together -> bearer scheme -> key shape -> content type -> encoding -> request id -> attempt -> timestamp.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { type Fault, fault } from '../../errors.ts';
import { asEpochMs, type EpochMs } from '../../event/ids.ts';
import { projectKeyProblem } from '../../event/key-shape.ts';
import { parseUuid } from '../../event/uuid.ts';
import { parseRfc3339 } from './rfc-3339.ts';

export type ContentEncoding = 'gzip' | 'deflate' | 'br' | 'zstd';

export interface V1Headers {
  readonly kind: 'headers';
  readonly projectKey: string;
  readonly encoding: ContentEncoding | undefined;
  /** `PostHog-Request-Timestamp`: when this attempt was sent, by the client's clock. */
  readonly sentAtMs: EpochMs;
  /** Undefined: `PostHog-Sdk-Info` is malformed, and no library is put into the events. */
  readonly sdk: SdkInfo | undefined;
}

export interface SdkInfo {
  readonly lib: string;
  readonly libVersion: string;
}

const REQUIRED = [
  'PostHog-Sdk-Info',
  'PostHog-Attempt',
  'PostHog-Request-Id',
  'PostHog-Request-Timestamp',
  'Content-Type',
  'User-Agent',
] as const;
const ENCODINGS: readonly ContentEncoding[] = ['gzip', 'deflate', 'br', 'zstd'];
const BEARER = /^bearer(?:[ \t]+(.*))?$/i;
const MAX_SDK_INFO_BYTES = 200;
const VISIBLE_ASCII = /^[\x20-\x7e]+$/;

/** @param headers as Node has them: names in lower case, one text each */
export function readHeaders(headers: IncomingHttpHeaders): V1Headers | Fault {
  if (headers.authorization === undefined) return fault('missing_authorization');
  const missing = REQUIRED.filter((name) => headers[name.toLowerCase()] === undefined);
  if (missing.length > 0) {
    return fault('missing_required_headers', { names: `[${missing.map((name) => `"${name}"`).join(', ')}]` });
  }
  const bearer = BEARER.exec(headers.authorization);
  if (bearer === null) {
    return fault('invalid_header_value', { header: 'Authorization', expected: '"Bearer <project API key>"' });
  }
  const projectKey = (bearer[1] ?? '').trim();
  const reason = projectKeyProblem(projectKey);
  if (reason !== undefined) return fault('invalid_api_token', { reason });
  const contentType = textOf(headers, 'Content-Type').split(';', 1)[0] ?? '';
  if (contentType.trim().toLowerCase() !== 'application/json') return fault('unsupported_content_type');
  const named = headers['content-encoding']?.trim().toLowerCase();
  const encoding = ENCODINGS.find((candidate) => candidate === named);
  if (named !== undefined && encoding === undefined) return fault('unsupported_encoding');
  if (parseUuid(textOf(headers, 'PostHog-Request-Id')) === undefined) {
    return fault('invalid_header_value', { header: 'PostHog-Request-Id', expected: 'a UUID' });
  }
  const attempt = textOf(headers, 'PostHog-Attempt');
  if (!/^\d{1,10}$/.test(attempt) || Number(attempt) < 1) {
    return fault('invalid_header_value', { header: 'PostHog-Attempt', expected: 'a whole number from 1' });
  }
  const sentAtMs = parseRfc3339(textOf(headers, 'PostHog-Request-Timestamp'));
  if (sentAtMs === undefined) {
    return fault('invalid_header_value', { header: 'PostHog-Request-Timestamp', expected: 'an RFC 3339 time' });
  }
  return {
    kind: 'headers',
    projectKey,
    encoding,
    sentAtMs: asEpochMs(sentAtMs),
    sdk: parseSdkInfo(textOf(headers, 'PostHog-Sdk-Info')),
  };
}

function textOf(headers: IncomingHttpHeaders, name: (typeof REQUIRED)[number]): string {
  const value = headers[name.toLowerCase()];
  return (typeof value === 'string' ? value : (value?.join(', ') ?? '')).trim();
}

function parseSdkInfo(text: string): SdkInfo | undefined {
  const slash = text.lastIndexOf('/');
  // Node gives one character a byte, so that the length counts bytes.
  if (slash < 1 || slash === text.length - 1 || text.length > MAX_SDK_INFO_BYTES) return undefined;
  if (!VISIBLE_ASCII.test(text)) return undefined;
  return { lib: text.slice(0, slash), libVersion: text.slice(slash + 1) };
}
