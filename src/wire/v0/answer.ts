/** What a v0 request is answered with, (protocol.md 5.1, interface.md 2). */
import type { Rejection } from '../../event/outcome.ts';

/** Text and no bytes: the runtime then writes head and body as one. */
export const STORED_ANSWER = '{"status":"Ok"}';

/** One refused event of a request whose others were stored. */
export interface NamedRejection {
  readonly index: number;
  /** As the client may recognise it; undefined when it had none, or none that could be read. */
  readonly uuid: string | undefined;
  readonly rejection: Rejection;
}

/** @param rejected those to name; none gives exactly PostHog's bytes */
export function storedAnswer(rejected: readonly NamedRejection[]): string {
  if (rejected.length === 0) return STORED_ANSWER;
  const named = rejected.map(({ index, uuid, rejection: { code, detail } }) => ({ index, uuid, code, detail }));
  return JSON.stringify({ status: 'Ok', rejected: named });
}

/** Where in the request the fault is: `distinct_id`, `1.distinct_id` or `batch.1.distinct_id`. */
export function attrOf(shape: 'array' | 'batch' | 'single', index: number, field: string | undefined): string | null {
  const place = shape === 'single' ? [] : shape === 'array' ? [String(index)] : ['batch', String(index)];
  const path = field === undefined ? place : [...place, field];
  return path.length === 0 ? null : path.join('.');
}
