import type { RawEvent } from '../wire/raw-event.ts';

declare const admitted: unique symbol;

/** An event of a known project whose required fields are well-formed. */
export interface AdmittedEvent {
  readonly raw: RawEvent;
  /** The client's uuid as four big-endian signed 32-bit numbers; they count only with `hasUuid`. */
  readonly hasUuid: boolean;
  readonly uuid0: number;
  readonly uuid1: number;
  readonly uuid2: number;
  readonly uuid3: number;
  /** Undefined: the bytes in the body are the text. */
  readonly distinctId: Uint8Array | undefined;
  readonly [admitted]: true;
}

/** Called at the end of `admitEvent`, and nowhere else. */
export function admittedEvent(fields: Omit<AdmittedEvent, typeof admitted>): AdmittedEvent {
  return fields as AdmittedEvent;
}
