/** What a project keeps of its clients' addresses and properties. The registry holds it; this folder applies it. */
import type { ProjectId } from '../event/ids.ts';

/** `truncate`: IPv4 to /24, IPv6 to /48. `drop`: none. */
export const addressPolicies = ['keep', 'truncate', 'drop'] as const;
export type AddressPolicy = (typeof addressPolicies)[number];

export interface PrivacyPolicy {
  readonly address: AddressPolicy;
  /** Patterns of property keys (key-patterns.ts) whose values are not kept. */
  readonly redact: readonly string[];
}

/** A name left out stays as it is. */
export type PrivacyChange = Partial<PrivacyPolicy>;

/** The question that capture asks; `app.ts` hands it the registry. Once a request, so synchronous and cheap. */
export interface PrivacyLookup {
  /** Of the projects that have one other than `keepsAll`. A policy is the same object until it changes. */
  projectPrivacy(): ReadonlyMap<ProjectId, PrivacyPolicy>;
}

export const keepsAll: PrivacyPolicy = Object.freeze({ address: 'keep', redact: Object.freeze([]) });

export const MAX_PATTERNS = 50;
export const MAX_PATTERN_CHARACTERS = 100;

/** Completes "must be …". */
export const PATTERN_EXPECTED = `1 to ${MAX_PATTERN_CHARACTERS} visible characters, where * stands for any and ? for one`;

export function isPattern(text: string): boolean {
  return text.length > 0 && text.length <= MAX_PATTERN_CHARACTERS && /^[^\p{C}\s](?:[^\p{C}]*[^\p{C}\s])?$/u.test(text);
}
