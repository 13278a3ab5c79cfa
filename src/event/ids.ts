declare const projectId: unique symbol;
declare const epochMs: unique symbol;

/** A project's number, from 1; fits in 32 bits. */
export type ProjectId = number & { readonly [projectId]: true };

/** Milliseconds since 1970 UTC; may carry a fraction, exact to the microsecond. */
export type EpochMs = number & { readonly [epochMs]: true };

/** @throws RangeError when `value` is no whole number from 1 to 2^32 - 1: our own bug, or a damaged registry. */
export function asProjectId(value: number): ProjectId {
  if (!Number.isInteger(value) || value < 1 || value > 0xffffffff) throw new RangeError(`not a project id: ${value}`);
  return value as ProjectId;
}

export function asEpochMs(value: number): EpochMs {
  return value as EpochMs;
}
