/**
 * A project's policy on addresses and properties, applied to a request before anything of it is stored.
 *
 * Guarantee   what the policy takes out reaches no record, so neither log nor store: accepted and rejected events alike.
 * Cost        a project without a policy: one look-up a request. With one: its text is walked and written once more.
 */
import { networkOf, type NetworkSize } from '../admission/network-address.ts';
import type { ProjectId } from '../event/ids.ts';
import { KeyPatterns } from './key-patterns.ts';
import type { AddressPolicy, PrivacyLookup, PrivacyPolicy } from './privacy-policy.ts';
import { Redactor } from './redactor.ts';

const TRUNCATED: NetworkSize = { ipv4Octets: 3, ipv6Groups: 3 };

/** What a policy does to a request. */
export class PrivacyRule {
  readonly #address: AddressPolicy;
  readonly #patterns: KeyPatterns | undefined;
  readonly #redactor: Redactor;

  constructor(policy: PrivacyPolicy) {
    this.#address = policy.address;
    this.#patterns = policy.redact.length === 0 ? undefined : new KeyPatterns(policy.redact);
    this.#redactor = new Redactor({
      patterns: this.#patterns,
      addressOf: policy.address === 'keep' ? undefined : (address) => keptAddress(policy.address, address),
    });
  }

  /** Of the client; empty: none is kept. */
  address(address: string): string {
    return keptAddress(this.#address, address) ?? '';
  }

  /** The text of a request: `text` itself when nothing is taken out. */
  rewrite(text: Buffer): Buffer {
    return this.#redactor.rewrite(text);
  }

  redacts(key: string): boolean {
    return this.#patterns?.matches(key, key) ?? false;
  }
}

export class Privacy {
  readonly #policies: PrivacyLookup;
  readonly #rules = new WeakMap<PrivacyPolicy, PrivacyRule>();

  constructor(policies: PrivacyLookup) {
    this.#policies = policies;
  }

  /** Undefined: the project keeps everything. */
  ruleOf(projectId: ProjectId): PrivacyRule | undefined {
    const policy = this.#policies.projectPrivacy().get(projectId);
    if (policy === undefined) return undefined;
    let rule = this.#rules.get(policy);
    if (rule === undefined) {
      rule = new PrivacyRule(policy);
      this.#rules.set(policy, rule);
    }
    return rule;
  }
}

function keptAddress(policy: AddressPolicy, address: string): string | undefined {
  switch (policy) {
    case 'keep':
      return address;
    case 'truncate':
      return networkOf(address, TRUNCATED);
    case 'drop':
      return undefined;
  }
}
