/**
 * What a record holds, byte by byte. Little endian; a uuid is 16 bytes in its own order. Version 2.
 *
 * Three kinds: an event that was accepted; an event that was refused and is kept with the reason; and a tally, which
 * only says how many events a request had none of whose events is kept. All begin alike, so that a scan for a uuid need
 * not know more. The first record of a request has what was counted when the request was decoded (`countsLayout`) behind
 * the fixed part, the others have nothing there. Texts follow in the order of their lengths.
 *
 * Version 1 had neither tallies nor counts: it is read as a request of one event each.
 */
export const recordKinds = { event: 1, rejection: 2, tally: 3 } as const;
export const recordVersion = 2;
export const oldestRecordVersion = 1;

/** Bits of `flags`. */
export const recordFlags = {
  isAuthenticated: 1,
  hasSentAt: 2,
  isCookieless: 4,
  isHistorical: 8,
  /** `properties` hold a number of 19 or more digits. */
  hasLongInteger: 16,
  /** A rejection whose event had a readable uuid. */
  hasUuid: 32,
  /** The first record of its request: `countsLayout` follows the fixed part. */
  hasCounts: 64,
} as const;

/** name → [offset, byte length]; a test compares it with what the codec writes. */
export const fixedLayout = {
  kind: [0, 1],
  version: [1, 1],
  flags: [2, 2],
  projectId: [4, 4],
  uuid: [8, 16],
  requestId: [24, 16],
  /** The event's place in its request, from 0. */
  index: [40, 4],
  /** Epoch milliseconds, float64. */
  timestampMs: [44, 8],
  receivedAtMs: [52, 8],
  sentAtMs: [60, 8],
  /** event: name; rejection: code. */
  firstLength: [68, 4],
  /** event: distinct_id; rejection: detail. */
  secondLength: [72, 4],
  ipLength: [76, 2],
  /** event only. */
  libLength: [78, 2],
  libVersionLength: [80, 2],
  /** event: properties; rejection: the event's text as sent. */
  lastLength: [82, 4],
} as const satisfies Readonly<Record<string, readonly [number, number]>>;

export const fixedBytes = 86;

/** As `fixedLayout`; offsets count from the end of the fixed part. */
export const countsLayout = {
  /** Events that the request was decoded to, those dropped included. */
  received: [0, 4],
  /** Of them, `$performance_event`s: counted, not kept (protocol.md 3.8). */
  dropped: [4, 4],
} as const satisfies Readonly<Record<string, readonly [number, number]>>;

export const countsBytes = 8;
