import { type DistinctIdForm, type EventFault, eventFlags, type RawEvent } from '../raw-event.ts';

/** The fields of one object while it is scanned; made once and reset, since objects nest one deep at the most. */
export class EventFields {
  start = 0;
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

  toRawEvent(body: Buffer, end: number, index: number): RawEvent {
    const usesInnerToken = this.tokenStart < 0;
    const usesInnerId = this.distinctIdForm === 'absent';
    let { flags } = this;
    if (usesInnerToken && this.innerTokenIsEscaped) flags |= eventFlags.tokenIsEscaped;
    return {
      body,
      index,
      start: this.start,
      end,
      fault: this.fault,
      flags,
      nameStart: this.nameStart,
      nameEnd: this.nameEnd,
      distinctIdForm: usesInnerId ? this.innerDistinctIdForm : this.distinctIdForm,
      distinctIdStart: usesInnerId ? this.innerDistinctIdStart : this.distinctIdStart,
      distinctIdEnd: usesInnerId ? this.innerDistinctIdEnd : this.distinctIdEnd,
      uuidStart: this.uuidStart,
      uuidEnd: this.uuidEnd,
      tokenStart: usesInnerToken ? this.innerTokenStart : this.tokenStart,
      tokenEnd: usesInnerToken ? this.innerTokenEnd : this.tokenEnd,
      timestampStart: this.timestampStart,
      timestampEnd: this.timestampEnd,
      offsetMs: this.offsetMs,
      propertiesStart: this.propertiesStart,
      propertiesEnd: this.propertiesEnd,
      setStart: this.setStart,
      setEnd: this.setEnd,
      setOnceStart: this.setOnceStart,
      setOnceEnd: this.setOnceEnd,
      unsetStart: this.unsetStart,
      unsetEnd: this.unsetEnd,
      libStart: this.libStart,
      libEnd: this.libEnd,
      libVersionStart: this.libVersionStart,
      libVersionEnd: this.libVersionEnd,
    };
  }
}

/** What only the root object may hold. */
export interface RootFields {
  batch: RawEvent[] | undefined;
  sentAt: string | undefined;
  isHistorical: boolean;
  shapeProblem: string | undefined;
  keyProblem: boolean;
}
