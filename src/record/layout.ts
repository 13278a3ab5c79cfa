/**
 * What a record holds, byte by byte. Little endian; a uuid is 16 bytes in its own order. Version 1.
 *
 * Two kinds: an event that was accepted, and an event that was refused and is kept with the reason. Both begin alike, so
 * that a scan for a uuid need not know more. Texts follow the fixed part in the order of their lengths.
 */
export const recordKinds = { event: 1, rejection: 2 } as const;
export const recordVersion = 1;

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
