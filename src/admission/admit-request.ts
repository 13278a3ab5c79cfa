/**
 * Who sends this request, and may they? The checks that need no event: project key, then personal key.
 *
 * Order   keys agree -> project key present -> its shape -> known -> not revoked -> personal key where it is needed
 *         or sent: known and not revoked -> scope -> project. The first that fails is the answer.
 * Source  design.md 3 (kinds of keys), interface.md 2 (codes), protocol.md 4 (shape), 10 (GET asks for less).
 */
import type { ProjectId } from '../event/ids.ts';
import { isPersonalKeyLike, projectKeyProblem, type ProjectKeyProblem } from '../event/key-shape.ts';
import type { KeyLookup } from './key-lookup.ts';

const CAPTURE_SCOPE = 'capture';
/** Of `Authorization`, only a bearer that claims to be a personal key concerns us; the scheme's case is free. */
const BEARER = /^[ \t]*bearer[ \t]+(\S+)[ \t]*$/i;

/** The parts of a request that say who sends it. */
export interface Credentials {
  /** The project key as the payload (V1: the bearer) has it, untrimmed; undefined when there is none. */
  readonly projectKey: string | undefined;
  /** An array whose events name several keys; `projectKey` is not looked at then. */
  readonly hasInconsistentKeys: boolean;
  readonly authorization: string | undefined;
  /** The header `X-Personal-Api-Key`; goes before `authorization`. */
  readonly personalApiKeyHeader: string | undefined;
  readonly method: 'POST' | 'GET';
  /** The payload is `data` in the query. A GET that carries a body instead counts like a POST. */
  readonly hasPayloadInQuery: boolean;
}

export interface AdmittedRequest {
  readonly kind: 'admitted';
  /** The registry's own value. */
  readonly projectId: ProjectId;
  /** A personal key vouched for it. */
  readonly authenticated: boolean;
}

/** A refusal whose text needs nothing but its code. */
export type PlainRequestRefusalCode =
  | 'inconsistent_api_keys'
  | 'missing_api_key'
  | 'unknown_api_key'
  | 'revoked_api_key'
  | 'missing_personal_api_key'
  | 'invalid_personal_api_key'
  | 'wrong_project';

export type RequestRefusal =
  | { readonly kind: 'refused'; readonly code: PlainRequestRefusalCode }
  | {
      readonly kind: 'refused';
      readonly code: 'invalid_api_key';
      readonly fields: { readonly reason: ProjectKeyProblem };
    }
  | { readonly kind: 'refused'; readonly code: 'missing_scope'; readonly fields: { readonly scope: 'capture' } };

const plainRefusals: Readonly<Record<PlainRequestRefusalCode, RequestRefusal>> = {
  inconsistent_api_keys: { kind: 'refused', code: 'inconsistent_api_keys' },
  missing_api_key: { kind: 'refused', code: 'missing_api_key' },
  unknown_api_key: { kind: 'refused', code: 'unknown_api_key' },
  revoked_api_key: { kind: 'refused', code: 'revoked_api_key' },
  missing_personal_api_key: { kind: 'refused', code: 'missing_personal_api_key' },
  invalid_personal_api_key: { kind: 'refused', code: 'invalid_personal_api_key' },
  wrong_project: { kind: 'refused', code: 'wrong_project' },
};
const missingScope: RequestRefusal = { kind: 'refused', code: 'missing_scope', fields: { scope: CAPTURE_SCOPE } };

/** Notes the use of a personal key that is known and not revoked, whatever its scopes: its owner wants to see that. */
export function admitRequest(keys: KeyLookup, sent: Credentials): AdmittedRequest | RequestRefusal {
  if (sent.hasInconsistentKeys) return plainRefusals.inconsistent_api_keys;
  if (sent.projectKey === undefined) return plainRefusals.missing_api_key;
  const reason = projectKeyProblem(sent.projectKey);
  if (reason !== undefined) return { kind: 'refused', code: 'invalid_api_key', fields: { reason } };
  const projectKey = keys.findProjectKey(sent.projectKey);
  if (projectKey === undefined) return plainRefusals.unknown_api_key;
  if (projectKey.revokedAtMs !== undefined) return plainRefusals.revoked_api_key;
  const { projectId } = projectKey;

  const secret = personalKeyOf(sent);
  if (secret === undefined) {
    const isEnough = projectKey.kind === 'public' || (sent.method === 'GET' && sent.hasPayloadInQuery);
    return isEnough ? { kind: 'admitted', projectId, authenticated: false } : plainRefusals.missing_personal_api_key;
  }
  const personalKey = keys.findPersonalKey(secret);
  if (personalKey === undefined || personalKey.revokedAtMs !== undefined) return plainRefusals.invalid_personal_api_key;
  keys.notePersonalKeyUse(personalKey.id);
  if (!personalKey.scopes.includes(CAPTURE_SCOPE)) return missingScope;
  if (personalKey.projects !== undefined && !personalKey.projects.includes(projectId)) {
    return plainRefusals.wrong_project;
  }
  return { kind: 'admitted', projectId, authenticated: true };
}

/**
 * The personal key that a request shows, or undefined. Anything in `Authorization` but `Bearer phx_…` is left alone:
 * PostHog ignores the header on v0, and proxies and V1 use it for other things. A header of our own that is not empty
 * is always meant for us.
 */
function personalKeyOf(sent: Credentials): string | undefined {
  if (sent.personalApiKeyHeader !== undefined) {
    const own = sent.personalApiKeyHeader.trim();
    if (own !== '') return own;
  }
  if (sent.authorization === undefined) return undefined;
  const bearer = BEARER.exec(sent.authorization)?.[1];
  return bearer !== undefined && isPersonalKeyLike(bearer) ? bearer : undefined;
}
