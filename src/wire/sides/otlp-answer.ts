/**
 * OTLP over HTTP: what is not kept is said in its own words. A request that holds records is answered with
 * `partialSuccess` and the number of all of them, which exporters report and never send again; one without any gets the
 * empty success. The answer is in the encoding of the request, as OTLP demands.
 */
import type { Fault } from '../../errors.ts';
import { countJsonRecords } from './otlp-json.ts';
import { countProtobufRecords, encodePartialSuccess } from './otlp-protobuf.ts';
import type { OtlpSignal } from './otlp-signal.ts';

export interface OtlpAnswer {
  readonly kind: 'otlp_answer';
  readonly contentType: 'application/json' | 'application/x-protobuf';
  readonly body: Buffer;
}

const PROTOBUF_TYPES = new Set(['application/x-protobuf', 'application/protobuf']);

/** Anything else is JSON: browsers send it as text/plain (sdks.md 2.2). */
export function isProtobufType(contentType: string | undefined): boolean {
  return PROTOBUF_TYPES.has(contentType?.split(';', 1)[0]?.trim().toLowerCase() ?? '');
}

/** @param body inflated */
export function otlpAnswer(signal: OtlpSignal, body: Buffer, isProtobuf: boolean): OtlpAnswer | Fault {
  const count = isProtobuf ? countProtobufRecords(body, signal.levels) : countJsonRecords(body, signal.levels);
  if (typeof count !== 'number') return count;
  const message = `This server keeps events only: none of these ${signal.noun} was stored. Do not send them again.`;
  if (isProtobuf) {
    const encoded = count === 0 ? Buffer.alloc(0) : encodePartialSuccess(count, message);
    return { kind: 'otlp_answer', contentType: 'application/x-protobuf', body: encoded };
  }
  // 64-bit integers are texts in protobuf's JSON.
  const partialSuccess = { [signal.rejectedName]: String(count), errorMessage: message };
  const json = JSON.stringify(count === 0 ? {} : { partialSuccess });
  return { kind: 'otlp_answer', contentType: 'application/json', body: Buffer.from(json) };
}
