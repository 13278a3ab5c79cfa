/**
 * The text of a V1 request becomes raw events, each with V1's verdict on it (protocol.md 8.2, 8.3).
 *
 * A whole-batch fault comes from the scan, an empty batch, `created_at`, or a uuid that is missing, invalid or given twice;
 * anything else concerns one event, which then carries why it is dropped.
 * What the protocol injects is put behind the text: events point into one buffer, which begins with the text as sent, so
 * that `properties` can be kept byte for byte with the injected keys at their end.
 */
import { detailOf, type Fault, fault } from '../../errors.ts';
import type { Rejection } from '../../event/outcome.ts';
import { formatUuid, parseUuid, readUuid } from '../../event/uuid.ts';
import { stringText } from '../json/json-text.ts';
import { eventFlags, type RawEvent } from '../raw-event.ts';
import { BatchScanner, type ScannedBatch } from './batch-scanner.ts';
import { EventTail, trimmed } from './event-tail.ts';
import { COOKIELESS_ID, isPlaceholderId } from './placeholder-ids.ts';
import type { SdkInfo } from './request-headers.ts';
import { parseRfc3339, plainRfc3339 } from './rfc-3339.ts';
import type { ScannedEvent } from './scanned-event.ts';

export interface V1Event {
  readonly raw: RawEvent;
  /** Canonical: lower case, hyphenated. */
  readonly uuid: string;
  /** Why it is dropped; its code is V1's own word. */
  readonly drop: Rejection | undefined;
  readonly hasPlaceholderId: boolean;
}

export interface DecodedBatch {
  readonly kind: 'batch';
  readonly events: readonly V1Event[];
  readonly isHistorical: boolean;
}

export interface V1EventLimits {
  readonly maxEventBytes: number;
  /** Of the `properties` of an event whose name begins with `$ai_`. */
  readonly maxAiEventBytes: number;
}

const SCRATCH_BYTES = 1 << 20;
const MAX_NAME_BYTES = 200;
const MAX_DISTINCT_ID_BYTES = 200;
const MAX_SHOWN_UUID = 100;
const PERFORMANCE_EVENT = '$performance_event';
const AI_PREFIX = '$ai_';

/** An event's own texts, without white space around ids. */
interface EventTexts {
  readonly name: string;
  readonly distinctId: string;
  readonly timestamp: string;
}

export class BatchDecoder {
  readonly #scanner = new BatchScanner();
  readonly #scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES);
  readonly #limits: V1EventLimits;

  constructor(limits: V1EventLimits) {
    this.#limits = limits;
  }

  /**
   * The events are lent until the next call.
   *
   * @param sdk put into the events; undefined: they keep what they say themselves
   */
  decode(text: Buffer, sdk: SdkInfo | undefined): DecodedBatch | Fault {
    const batch = this.#scanner.scan(text, { findsLib: sdk === undefined });
    if (batch.kind === 'fault') return batch;
    if (batch.events.length === 0) return fault('empty_batch');
    if (parseRfc3339(batch.createdAt) === undefined) return fault('invalid_batch');
    const uuids = readUuids(text, batch.events);
    if (!Array.isArray(uuids)) return uuids;
    return { kind: 'batch', events: this.#events(text, batch, { uuids, sdk }), isHistorical: batch.isHistorical };
  }

  #events(
    text: Buffer,
    batch: ScannedBatch,
    { uuids, sdk }: { readonly uuids: readonly string[]; readonly sdk: SdkInfo | undefined },
  ): V1Event[] {
    const tail = new EventTail(text, batch.events, { sdk, scratch: this.#scratch });
    return batch.events.map((event, index) => {
      const id = textOf(text, event.distinctId);
      const texts: EventTexts = {
        name: textOf(text, event.name),
        distinctId: trimmed(id),
        timestamp: textOf(text, event.timestamp),
      };
      const uuid = uuids[index] ?? '';
      const drop = this.#dropOf(event, texts);
      if (drop !== undefined) return { raw: tail.dropped(event, { uuid, index }), uuid, drop, hasPlaceholderId: false };
      const hasPlaceholderId = isPlaceholderId(texts.distinctId);
      const timestamp = plainRfc3339(texts.timestamp);
      let flags = 0;
      if (batch.isCaptureInternal) flags |= eventFlags.isCaptureInternal;
      if (event.options.cookielessMode === true) flags |= eventFlags.isCookieless;
      if (event.options.disableSkewCorrection === true) flags |= eventFlags.keepsTimestamp | eventFlags.ignoresSentAt;
      const raw = tail.stored(event, {
        uuid,
        index,
        flags,
        distinctId: texts.distinctId === id ? undefined : texts.distinctId,
        timestamp: timestamp === texts.timestamp ? undefined : timestamp,
        hasPlaceholderId,
      });
      return { raw, uuid, drop, hasPlaceholderId };
    });
  }

  /** The checks of one event, in the order of protocol.md 8.3. */
  #dropOf(event: ScannedEvent, { name, distinctId, timestamp }: EventTexts): Rejection | undefined {
    if (name === '') {
      return { code: 'missing_event_name', detail: detailOf('empty_event_name'), field: 'event' };
    }
    const nameBytes = Buffer.byteLength(name);
    if (nameBytes > MAX_NAME_BYTES) {
      const detail = detailOf('event_name_too_long', { bytes: nameBytes, maxBytes: MAX_NAME_BYTES });
      return { code: 'event_name_too_long', detail, field: 'event' };
    }
    if (distinctId === '') {
      return { code: 'missing_distinct_id', detail: detailOf('missing_distinct_id'), field: 'distinct_id' };
    }
    const idBytes = Buffer.byteLength(distinctId);
    if (idBytes > MAX_DISTINCT_ID_BYTES) {
      const detail = detailOf('distinct_id_too_large', { bytes: idBytes, maxBytes: MAX_DISTINCT_ID_BYTES });
      return { code: 'distinct_id_too_large', detail, field: 'distinct_id' };
    }
    if (parseRfc3339(timestamp) === undefined) {
      return { code: 'invalid_event_timestamp', detail: detailOf('invalid_event_timestamp'), field: 'timestamp' };
    }
    if (event.propertiesForm === 'malformed') {
      return {
        code: 'malformed_event_properties',
        detail: detailOf('malformed_event_properties'),
        field: 'properties',
      };
    }
    if (name === PERFORMANCE_EVENT) {
      return { code: 'dropped_performance_event', detail: detailOf('dropped_performance_event'), field: undefined };
    }
    const { problem } = event.options;
    if (problem !== undefined) {
      return { code: 'invalid_options', detail: detailOf('invalid_options', { problem }), field: 'options' };
    }
    if (distinctId === COOKIELESS_ID && event.options.cookielessMode !== true) {
      const detail = detailOf('cookieless_id_without_mode');
      return { code: 'cookieless_id_without_mode', detail, field: 'distinct_id' };
    }
    return this.#sizeDrop(event, name);
  }

  #sizeDrop(event: ScannedEvent, name: string): Rejection | undefined {
    if (name.startsWith(AI_PREFIX)) {
      const maxBytes = this.#limits.maxAiEventBytes;
      const bytes = event.propertiesEnd - event.propertiesStart;
      if (bytes <= maxBytes) return undefined;
      return {
        code: 'ai_event_too_big',
        detail: detailOf('ai_event_too_big', { bytes, maxBytes }),
        field: 'properties',
      };
    }
    const { maxEventBytes: maxBytes } = this.#limits;
    const bytes = event.end - event.start;
    if (bytes <= maxBytes) return undefined;
    return { code: 'event_too_big', detail: detailOf('event_too_big', { bytes, maxBytes }), field: undefined };
  }
}

function textOf(text: Buffer, span: ScannedEvent['name']): string {
  return span === undefined ? '' : stringText(text, span);
}

/** All uuids in canonical form, or what is wrong with the first bad one, which refuses the whole batch. */
function readUuids(text: Buffer, events: readonly ScannedEvent[]): string[] | Fault {
  const seen = new Set<string>();
  const uuids: string[] = [];
  const plain = new Uint8Array(16);
  for (const [index, event] of events.entries()) {
    const span = event.uuid;
    let bytes: Uint8Array | undefined = plain;
    if (span === undefined || span.isEscaped || !readUuid(text, span, plain, 0)) {
      const written = trimmed(textOf(text, span));
      if (written === '') return fault('missing_event_uuid', { index });
      bytes = parseUuid(written);
      if (bytes === undefined) return fault('invalid_event_uuid', { uuid: written.slice(0, MAX_SHOWN_UUID), index });
    }
    const uuid = formatUuid(bytes);
    if (seen.has(uuid)) return fault('duplicate_event_uuid', { uuid, index });
    seen.add(uuid);
    uuids.push(uuid);
  }
  return uuids;
}
