import { type DistinctIdForm, type EventFault, eventFlags, type RawEvent } from '../raw-event.ts';
import type { TopLevelField } from './field-names.ts';

/** Those of an event's own fields that are strings. */
export type TextField = Extract<TopLevelField, 'event' | 'distinctId' | 'uuid' | 'timestamp'>;

const EMPTY = Buffer.alloc(0);
const MAX_KEPT_EVENTS = 1000;

/** The fields of one object while it is scanned, and the raw event that comes of it: made once, and reset for each use. */
export class EventFields implements RawEvent {
  body: Buffer = EMPTY;
  index = 0;
  start = 0;
  end = 0;
  flags = 0;
  fault: EventFault | undefined = undefined;
  nameStart = -1;
  nameEnd = -1;
  hasNameField = false;
  distinctIdForm: DistinctIdForm = 'absent';
  distinctIdStart = -1;
  distinctIdEnd = -1;
  uuidStart = -1;
  uuidEnd = -1;
  tokenStart = -1;
  tokenEnd = -1;
  timestampStart = -1;
  timestampEnd = -1;
  offsetMs: number | undefined = undefined;
  propertiesStart = -1;
  propertiesEnd = -1;
  setStart = -1;
  setEnd = -1;
  setOnceStart = -1;
  setOnceEnd = -1;
  unsetStart = -1;
  unsetEnd = -1;
  libStart = -1;
  libEnd = -1;
  libVersionStart = -1;
  libVersionEnd = -1;
  // From `properties`, used when the top level has none.
  innerTokenStart = -1;
  innerTokenEnd = -1;
  innerTokenIsEscaped = false;
  innerDistinctIdForm: DistinctIdForm = 'absent';
  innerDistinctIdStart = -1;
  innerDistinctIdEnd = -1;
  seen = 0;

  reset(start: number): void {
    this.start = start;
    this.end = start;
    this.flags = 0;
    this.fault = undefined;
    this.nameStart = this.nameEnd = -1;
    this.hasNameField = false;
    this.distinctIdForm = 'absent';
    this.distinctIdStart = this.distinctIdEnd = -1;
    this.uuidStart = this.uuidEnd = -1;
    this.tokenStart = this.tokenEnd = -1;
    this.timestampStart = this.timestampEnd = -1;
    this.offsetMs = undefined;
    this.propertiesStart = this.propertiesEnd = -1;
    this.setStart = this.setEnd = -1;
    this.setOnceStart = this.setOnceEnd = -1;
    this.unsetStart = this.unsetEnd = -1;
    this.libStart = this.libEnd = -1;
    this.libVersionStart = this.libVersionEnd = -1;
    this.innerTokenStart = this.innerTokenEnd = -1;
    this.innerTokenIsEscaped = false;
    this.innerDistinctIdForm = 'absent';
    this.innerDistinctIdStart = this.innerDistinctIdEnd = -1;
    this.seen = 0;
  }

  /** The first problem stays: it is the one that the answer names. */
  blame(code: EventFault['code'], field: string | undefined, problem: string): void {
    this.fault ??= { code, field, problem };
  }

  /** A string without escapes, `[start, end)` between its quotes. */
  notePlainText(field: TextField, start: number, end: number): void {
    switch (field) {
      case 'event':
        this.hasNameField = true;
        this.nameStart = start;
        this.nameEnd = end;
        return;
      case 'distinctId':
        this.distinctIdForm = 'plain';
        this.distinctIdStart = start;
        this.distinctIdEnd = end;
        return;
      case 'uuid':
        if (start === end) return;
        this.uuidStart = start;
        this.uuidEnd = end;
        return;
      case 'timestamp':
        this.timestampStart = start;
        this.timestampEnd = end;
        return;
    }
  }

  /** Scanned to its end: what the top level lacks is taken from `properties`. */
  finish(body: Buffer, end: number, index: number): RawEvent {
    this.body = body;
    this.end = end;
    this.index = index;
    if (this.tokenStart < 0) {
      this.tokenStart = this.innerTokenStart;
      this.tokenEnd = this.innerTokenEnd;
      if (this.innerTokenIsEscaped) this.flags |= eventFlags.tokenIsEscaped;
    }
    if (this.distinctIdForm === 'absent') {
      this.distinctIdForm = this.innerDistinctIdForm;
      this.distinctIdStart = this.innerDistinctIdStart;
      this.distinctIdEnd = this.innerDistinctIdEnd;
    }
    return this;
  }

  /** Lets go of the request's body. */
  release(): void {
    this.body = EMPTY;
  }
}

/**
 * Events that were read, to be read into again: an object for each would be most of what a batch allocates, and the
 * collector would walk them all while their request waits for the disk.
 */
export class EventFieldsPool {
  readonly #all: EventFields[] = [];
  #used = 0;

  take(): EventFields {
    let fields = this.#all[this.#used];
    if (fields === undefined) {
      fields = new EventFields();
      this.#all.push(fields);
    }
    this.#used += 1;
    return fields;
  }

  /** All that were taken may be taken again. What one large request needed is not kept. */
  reset(): void {
    const { length } = this.#all;
    for (let i = 0; i < this.#used; i++) this.#all[i]?.release();
    if (length > MAX_KEPT_EVENTS) this.#all.length = MAX_KEPT_EVENTS;
    this.#used = 0;
  }
}

/** What only the root object may hold. */
export interface RootFields {
  batch: RawEvent[] | undefined;
  sentAt: string | undefined;
  isHistorical: boolean;
  shapeProblem: string | undefined;
  keyProblem: boolean;
  /** Behind its closing brace. */
  end: number;
}
