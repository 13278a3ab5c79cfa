/**
 * What the registry keeps in LMDB: JSON values under keys that are arrays, so that a kind of row is a range.
 *
 *   key                          value
 *   ['meta', 'format']           number; FORMAT_VERSION of who made it
 *   ['meta', 'revision']         number; grows with every change but a last use: who reads it sees whether to read again
 *   ['meta', 'next-project-id']  number; an id is never given twice, since stored events keep it
 *   ['project', id]              ProjectRow
 *   ['project-key', text]        ProjectKeyRow
 *   ['personal-key', sha256hex]  PersonalKeyRow; the secret itself is nowhere
 *   ['last-use', personal key's id]  number; epoch ms
 *   ['limits', project's id]     LimitsRow; absent: none
 *   ['privacy', project's id]    PrivacyRow; absent: everything is kept
 *   ['event-use', project's id, 'YYYY-MM']  number of events; adding to it does not move the revision
 *
 * A row of a deleted project goes, and its limits and policy; its keys stay, revoked, so that their senders are told so.
 */
import { z } from 'zod';
import { addressPolicies } from '../../normalize/privacy-policy.ts';
import { scopes } from '../registry.ts';

/** Grows when an older version could no longer read the rows rightly. */
export const FORMAT_VERSION = 1;

const epochMs = z.number().nonnegative();
const projectId = z.int().min(1).max(0xffffffff);

export const projectRow = z.strictObject({ name: z.string(), createdAtMs: epochMs });
export type ProjectRow = z.infer<typeof projectRow>;

export const projectKeyRow = z.strictObject({
  id: z.string(),
  kind: z.enum(['server', 'public']),
  projectId,
  createdAtMs: epochMs,
  revokedAtMs: epochMs.nullable(),
});
export type ProjectKeyRow = z.infer<typeof projectKeyRow>;

export const personalKeyRow = z.strictObject({
  id: z.string(),
  scopes: z.array(z.enum(scopes)),
  projects: z.array(projectId).nullable(),
  createdAtMs: epochMs,
  revokedAtMs: epochMs.nullable(),
});
export type PersonalKeyRow = z.infer<typeof personalKeyRow>;

const limit = z.number().nonnegative().nullable();
export const limitsRow = z.strictObject({ eventsPerSecond: limit, burst: limit, monthlyQuota: limit });
export type LimitsRow = z.infer<typeof limitsRow>;

export const privacyRow = z.strictObject({ address: z.enum(addressPolicies), redact: z.array(z.string()) });
export type PrivacyRow = z.infer<typeof privacyRow>;

export const lastUseRow = epochMs;
export const counterRow = z.int().nonnegative();
