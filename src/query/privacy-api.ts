import { fault, type Fault } from '../errors.ts';
import {
  addressPolicies,
  isPattern,
  keepsAll,
  MAX_PATTERNS,
  PATTERN_EXPECTED,
  type PrivacyChange,
} from '../normalize/privacy-policy.ts';
import type { Registry } from '../registry/registry.ts';
import { parseBody } from './hogql-query.ts';
import { jsonAnswer, type ProjectRead, type ReadAnswer } from './read-exchange.ts';

/** `GET /api/projects/:project/privacy/` */
export function showPrivacy({ project }: ProjectRead, registry: Registry): ReadAnswer {
  const { address, redact } = registry.projectPrivacy().get(project.id) ?? keepsAll;
  return jsonAnswer(JSON.stringify({ address, redact }));
}

/** `PUT /api/projects/:project/privacy/`: what is left out stays. Answers like GET. */
export async function changePrivacy(read: ProjectRead, registry: Registry): Promise<ReadAnswer | Fault> {
  const sent = parseBody(read.request.body);
  if (sent.kind === 'fault') return sent;
  const change = changeOf(sent.value);
  if (change.kind === 'fault') return change;
  const changed = await registry.setProjectPrivacy(read.project.id, change.change);
  return changed === undefined ? fault('unknown_project') : showPrivacy(read, registry);
}

function changeOf(body: unknown): { readonly kind: 'change'; readonly change: PrivacyChange } | Fault {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return badBody();
  const fields = new Map<string, unknown>(Object.entries(body));
  if ([...fields.keys()].some((name) => name !== 'address' && name !== 'redact')) return badBody();
  const address = addressPolicies.find((policy) => policy === fields.get('address'));
  if (fields.has('address') && address === undefined) {
    return fault('invalid_parameter', { name: 'address', expected: `one of ${addressPolicies.join(', ')}` });
  }
  const redact = fields.has('redact') ? patternsOf(fields.get('redact')) : undefined;
  if (fields.has('redact') && redact === undefined) {
    const expected = `a list of at most ${MAX_PATTERNS} patterns, each of ${PATTERN_EXPECTED}`;
    return fault('invalid_parameter', { name: 'redact', expected });
  }
  return {
    kind: 'change',
    change: { ...(address === undefined ? {} : { address }), ...(redact === undefined ? {} : { redact }) },
  };
}

function patternsOf(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value) || value.length > MAX_PATTERNS) return undefined;
  const patterns = value.filter((each): each is string => typeof each === 'string' && isPattern(each));
  return patterns.length === value.length ? [...new Set(patterns)] : undefined;
}

function badBody(): Fault {
  return fault('invalid_parameter', { name: 'body', expected: 'an object of address and redact, and nothing else' });
}
