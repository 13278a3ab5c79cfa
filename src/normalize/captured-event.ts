import type { EpochMs, ProjectId } from '../event/ids.ts';
import type { RawEvent } from '../wire/raw-event.ts';

declare const captured: unique symbol;

/** What all events of one request share. */
export interface RequestFacts {
  readonly projectId: ProjectId;
  /** 16 bytes. */
  readonly requestId: Uint8Array;
  readonly receivedAtMs: EpochMs;
  /** The client's send time by its own clock. */
  readonly sentAtMs: EpochMs | undefined;
  /** Client address as text; empty when unknown. */
  readonly ip: string;
  /** A personal key vouched for the request. */
  readonly isAuthenticated: boolean;
  readonly isHistorical: boolean;
}

/**
 * The event we keep. Texts that needed work (escapes, other JSON types, cuts) are bytes of their own; `undefined` means
 * that the bytes in `raw.body` are already the text.
 */
export interface CapturedEvent {
  readonly raw: RawEvent;
  /** The uuid's 16 bytes as four big-endian signed 32-bit numbers: no object an event. */
  readonly uuid0: number;
  readonly uuid1: number;
  readonly uuid2: number;
  readonly uuid3: number;
  readonly timestampMs: EpochMs;
  readonly name: Uint8Array | undefined;
  readonly distinctId: Uint8Array | undefined;
  readonly lib: Uint8Array | undefined;
  readonly libVersion: Uint8Array | undefined;
  readonly [captured]: true;
}

export type CapturedEventFields = Omit<CapturedEvent, typeof captured>;

/** Called at the end of `normalize`, and nowhere else. */
export function capturedEvent(fields: CapturedEventFields): CapturedEvent {
  return fields as CapturedEvent;
}
