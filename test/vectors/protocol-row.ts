/** What a row of the protocol's table is made of, and short ways to say it. */
export const KEY = 'phc_test_public';
export const SERVER_KEY = 'phc_test_server';
export const FORM = 'application/x-www-form-urlencoded';

export interface ProtocolRequest {
  readonly method?: string;
  /** `/e/` when left out. */
  readonly path?: string;
  /** Behind the `?`, as it goes over the wire. */
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** One stored event, each field only where the row is about it. */
export interface StoredEvent {
  readonly event?: string;
  readonly distinctId?: string;
  readonly uuid?: string;
  /** The uuid was made by the server: version 7, with the event's time in it. */
  readonly hasMadeUuid?: true;
  /** Byte for byte. */
  readonly properties?: string;
  /** ISO, exact. */
  readonly timestamp?: string;
  /** The computed time as a distance from when the request arrived; exact. */
  readonly afterReceiptMs?: number;
  /** ISO; null: the request named none. */
  readonly sentAt?: string | null;
  readonly ip?: string;
  readonly isAuthenticated?: boolean;
  readonly isCookieless?: boolean;
}

export interface ProtocolExpectation {
  readonly status: number;
  /** The answer's body, whole. */
  readonly body?: string;
  /** Of the error envelope, or of the first rejected event. */
  readonly code?: string;
  /** `detail` begins so: PostHog's own words. */
  readonly detail?: string;
  readonly attr?: string | null;
  /** Of a 200: `index: code` each. */
  readonly rejected?: readonly string[];
  /** null: absent. Names in lower case. */
  readonly headers?: Readonly<Record<string, string | null>>;
  /** All that the request stored, ordered by distinct_id. */
  readonly stored?: readonly StoredEvent[];
}

export interface ProtocolRow {
  readonly section: string;
  readonly name: string;
  readonly request: ProtocolRequest;
  readonly expects: ProtocolExpectation;
}

/** The text of an event with the public key; `more` are members, each behind its comma. */
export function eventText(more = '', name = 'e', id = 'd'): string {
  return `{"api_key":"${KEY}","event":"${name}","distinct_id":"${id}"${more}}`;
}

export function batchText(events: string, more = ''): string {
  return `{"api_key":"${KEY}","batch":[${events}]${more}}`;
}

export function base64(text: string | Uint8Array): string {
  return Buffer.from(text).toString('base64');
}

export const OK = '{"status":"Ok"}';

/** Stored, and nothing else said. */
export function stores(...stored: readonly StoredEvent[]): ProtocolExpectation {
  return { status: 200, body: OK, stored };
}

export function refuses(
  status: number,
  code: string,
  more: Omit<ProtocolExpectation, 'status' | 'code'> = {},
): ProtocolExpectation {
  return { status, code, stored: [], ...more };
}

type Entry = readonly [name: string, request: ProtocolRequest, expects: ProtocolExpectation];

export function section(number: string, entries: readonly Entry[]): readonly ProtocolRow[] {
  return entries.map(([name, request, expects]) => ({ section: number, name, request, expects }));
}

let lastUuid = 0;

/** Another uuid each time, so that no row's event is a duplicate of another's. */
export function nextUuid(): string {
  lastUuid += 1;
  return `0190b3f2-5d5c-7c2a-9e1b-${lastUuid.toString(16).padStart(12, '0')}`;
}
