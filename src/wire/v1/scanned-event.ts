import { noOptions, type EventOptions } from './event-options.ts';

/** Where the contents of a string lie, between its quotes. */
export interface StringSpan {
  readonly start: number;
  readonly end: number;
  readonly isEscaped: boolean;
}

export type PropertiesForm = 'absent' | 'object' | 'malformed';

/** What the scan notes of one event, before anything is judged. Positions are byte offsets into the text; -1 = absent. */
export class ScannedEvent {
  readonly start: number;
  end = -1;
  name: StringSpan | undefined = undefined;
  uuid: StringSpan | undefined = undefined;
  distinctId: StringSpan | undefined = undefined;
  timestamp: StringSpan | undefined = undefined;
  /** Undefined: absent or null. */
  sessionId: StringSpan | undefined = undefined;
  windowId: StringSpan | undefined = undefined;
  options: EventOptions = noOptions;
  propertiesForm: PropertiesForm = 'absent';
  /** With its braces. */
  propertiesStart = -1;
  propertiesEnd = -1;
  hasLongInteger = false;
  /** `$lib` and `$lib_version` of `properties`; looked for only when the headers name no library. */
  lib: StringSpan | undefined = undefined;
  libVersion: StringSpan | undefined = undefined;

  constructor(start: number) {
    this.start = start;
  }
}
