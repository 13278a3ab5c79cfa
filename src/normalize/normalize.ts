/** An admitted event becomes the event we keep. Total: never refuses (protocol.md 3.5-3.9). */
import type { AdmittedEvent } from '../admission/admitted-event.ts';
import type { IdSource } from '../event/id-source.ts';
import { asEpochMs } from '../event/ids.ts';
import { stringText } from '../wire/json/json-text.ts';
import { eventFlags, type RawEvent } from '../wire/raw-event.ts';
import { type CapturedEvent, capturedEvent, type RequestFacts } from './captured-event.ts';
import { eventTime } from './event-time.ts';
import { FastTimestamps, parseTimestamp } from './timestamp-text.ts';

const IDENTIFY = Buffer.from('$identify');
/** What the record's length field of a library's name and version can say. */
const MAX_LIB_BYTES = 0xffff;

export class Normalizer {
  readonly #ids: IdSource;
  readonly #uuid = new Int32Array(4);
  readonly #timestamps = new FastTimestamps();

  constructor(ids: IdSource) {
    this.#ids = ids;
  }

  normalize(event: AdmittedEvent, request: RequestFacts): CapturedEvent {
    const { raw } = event;
    const saidMs = this.#timestampMs(raw);
    const isKept = saidMs !== undefined && (raw.flags & eventFlags.keepsTimestamp) !== 0;
    const timestampMs = isKept
      ? asEpochMs(saidMs)
      : eventTime(
          {
            timestampMs: saidMs,
            sentAtMs: (raw.flags & eventFlags.ignoresSentAt) === 0 ? request.sentAtMs : undefined,
            offsetMs: raw.offsetMs,
          },
          request.receivedAtMs,
        );
    const uuid = this.#uuid;
    if (!event.hasUuid) this.#ids.fillUuidV7(timestampMs, uuid);
    return capturedEvent({
      raw,
      uuid0: event.hasUuid ? event.uuid0 : (uuid[0] as number),
      uuid1: event.hasUuid ? event.uuid1 : (uuid[1] as number),
      uuid2: event.hasUuid ? event.uuid2 : (uuid[2] as number),
      uuid3: event.hasUuid ? event.uuid3 : (uuid[3] as number),
      timestampMs,
      name: raw.nameStart < 0 ? IDENTIFY : unescaped(raw, raw.nameStart, raw.nameEnd, eventFlags.nameIsEscaped),
      distinctId: event.distinctId,
      lib: unescaped(raw, raw.libStart, raw.libEnd, eventFlags.libIsEscaped)?.subarray(0, MAX_LIB_BYTES),
      libVersion: unescaped(raw, raw.libVersionStart, raw.libVersionEnd, eventFlags.libVersionIsEscaped)?.subarray(
        0,
        MAX_LIB_BYTES,
      ),
    });
  }

  #timestampMs(raw: RawEvent): number | undefined {
    const { body, timestampStart: start, timestampEnd: end } = raw;
    if (start < 0) return undefined;
    return (
      this.#timestamps.read(body, start, end) ??
      parseTimestamp(stringText(body, { start, end, isEscaped: (raw.flags & eventFlags.timestampIsEscaped) !== 0 }))
    );
  }
}

function unescaped(raw: RawEvent, start: number, end: number, flag: number): Uint8Array | undefined {
  if (start < 0 || (raw.flags & flag) === 0) return undefined;
  return Buffer.from(stringText(raw.body, { start, end, isEscaped: true }), 'utf8');
}
