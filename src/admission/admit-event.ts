/**
 * May this event enter? Its own checks, in the order of protocol.md 5.2: shape, uuid, size, name, distinct_id,
 * cookieless mode.
 */
import { detailOf } from '../errors.ts';
import type { Rejection } from '../event/outcome.ts';
import { parseUuid, readUuid } from '../event/uuid.ts';
import { stringText } from '../wire/json/json-text.ts';
import { eventFlags, type RawEvent } from '../wire/raw-event.ts';
import { type AdmittedEvent, admittedEvent } from './admitted-event.ts';
import { readDistinctId } from './distinct-id.ts';

export interface EventLimits {
  readonly maxEventBytes: number;
  readonly maxAiEventBytes: number;
}

/** Their events may be larger (protocol.md 7.3). */
const AI_NAMES = new Set(
  ['generation', 'embedding', 'evaluation', 'span', 'trace', 'metric', 'feedback', 'tag']
    .concat(['generation_summary', 'trace_summary', 'evaluation_report'])
    .map((name) => `$ai_${name}`),
);

export type EventVerdict =
  | { readonly kind: 'admitted'; readonly event: AdmittedEvent }
  | { readonly kind: 'rejected'; readonly rejection: Rejection };

function rejected(rejection: Rejection): EventVerdict {
  return { kind: 'rejected', rejection };
}

export class EventAdmission {
  readonly #limits: EventLimits;
  readonly #uuid = Buffer.alloc(16);

  constructor(limits: EventLimits) {
    this.#limits = limits;
  }

  /** @param isEngage a nameless event is then a `$identify` (protocol.md 3.4) */
  admit(raw: RawEvent, isEngage: boolean): EventVerdict {
    const { fault } = raw;
    if (fault !== undefined) {
      const detail =
        fault.code === 'missing_event_name'
          ? detailOf('missing_event_name')
          : detailOf('invalid_event', { problem: fault.problem });
      return rejected({ code: fault.code, detail, field: fault.field });
    }
    const hasUuid = raw.uuidStart >= 0;
    if (hasUuid && !readEventUuid(raw, this.#uuid)) {
      return rejected({ code: 'invalid_uuid', detail: detailOf('invalid_uuid'), field: 'uuid' });
    }
    const bytes = raw.end - raw.start;
    if (bytes > this.#limits.maxEventBytes) {
      const maxBytes = AI_NAMES.has(eventName(raw)) ? this.#limits.maxAiEventBytes : this.#limits.maxEventBytes;
      if (bytes > maxBytes) {
        return rejected({
          code: 'event_too_large',
          detail: detailOf('event_too_large', { bytes, maxBytes }),
          field: undefined,
        });
      }
    }
    if (raw.nameStart === raw.nameEnd && !(isEngage && raw.nameStart < 0)) {
      return rejected({ code: 'empty_event_name', detail: detailOf('empty_event_name'), field: 'event' });
    }
    const distinctId = readDistinctId(raw);
    if (distinctId.kind === 'missing') {
      return rejected({ code: 'missing_distinct_id', detail: detailOf('missing_distinct_id'), field: 'distinct_id' });
    }
    if ((raw.flags & eventFlags.hasInvalidCookielessMode) !== 0) {
      return rejected({
        code: 'invalid_cookieless_mode',
        detail: detailOf('invalid_cookieless_mode'),
        field: 'properties.$cookieless_mode',
      });
    }
    const uuid = this.#uuid;
    return {
      kind: 'admitted',
      event: admittedEvent({
        raw,
        hasUuid,
        uuid0: hasUuid ? uuid.readInt32BE(0) : 0,
        uuid1: hasUuid ? uuid.readInt32BE(4) : 0,
        uuid2: hasUuid ? uuid.readInt32BE(8) : 0,
        uuid3: hasUuid ? uuid.readInt32BE(12) : 0,
        distinctId: distinctId.kind === 'text' ? distinctId.bytes : undefined,
      }),
    };
  }
}

export function eventName(raw: RawEvent): string {
  return stringText(raw.body, {
    start: raw.nameStart,
    end: raw.nameEnd,
    isEscaped: (raw.flags & eventFlags.nameIsEscaped) !== 0,
  });
}

/** @returns false when the event's uuid is none; call only when it has one */
export function readEventUuid(raw: RawEvent, into: Uint8Array): boolean {
  if ((raw.flags & eventFlags.uuidIsEscaped) === 0) {
    return readUuid(raw.body, { start: raw.uuidStart, end: raw.uuidEnd }, into, 0);
  }
  const bytes = parseUuid(stringText(raw.body, { start: raw.uuidStart, end: raw.uuidEnd, isEscaped: true }));
  if (bytes !== undefined) into.set(bytes);
  return bytes !== undefined;
}
