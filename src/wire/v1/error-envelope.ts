/** A fault in V1's envelope: `error`, `error_description`, `error_uri`, and no other key (protocol.md 8.4). */
import type { ErrorCode, Fault } from '../../errors.ts';

interface Wording {
  /** V1's own word; default: the code. */
  readonly tag?: string;
  /** What PostHog says, before our own words. */
  readonly lead?: string;
  /** Instead of our own words, which speak of v0. */
  readonly description?: string;
  /** Where to read about it, when not in the general documentation. */
  readonly uri?: string;
}

const ERROR_URI = 'https://posthog.com/docs/api';
const away: Wording = { tag: 'service_unavailable', lead: 'Service Unavailable' };
const badToken: Wording = { tag: 'invalid_api_token', lead: 'The provided API token is not valid.' };

/** Only the codes that V1 calls or words otherwise. */
const WORDINGS: Readonly<Partial<Record<ErrorCode, Wording>>> = {
  body_timeout: { tag: 'body_read_timeout' },
  disk_full: away,
  draining: away,
  empty_batch: { description: 'request batch is empty. Send at least one event.' },
  internal_error: { lead: 'Internal Server Error' },
  invalid_personal_api_key: {
    description:
      'The personal API key in X-Personal-Api-Key is unknown or was revoked. "hedgerow keys list" shows which keys exist; ' +
      '"hedgerow keys create --kind personal" makes one.',
  },
  log_unavailable: away,
  missing_personal_api_key: {
    description:
      'This project API key is of kind "server": beside it, V1 needs "X-Personal-Api-Key: <personal API key>" (phx_…) with ' +
      'scope capture. For an SDK use the project’s public key instead; "hedgerow keys list" shows it.',
  },
  over_fair_share: away,
  overloaded: away,
  quota_exceeded: {
    tag: 'billing_limit_exceeded',
    lead: 'Billing quota exceeded. Events are being dropped. Upgrade your plan to resume ingestion.',
    uri: 'https://posthog.com/docs/billing/limits',
  },
  rate_limited: away,
  revoked_api_key: badToken,
  starting: away,
  too_many_connections: away,
  unknown_api_key: { tag: 'unknown_api_token' },
};

export function errorEnvelope({ code, detail }: Fault): Buffer {
  const { tag, lead, description, uri } = WORDINGS[code] ?? {};
  return Buffer.from(
    JSON.stringify({
      error: tag ?? code,
      error_description: description ?? led(lead, detail),
      error_uri: uri ?? ERROR_URI,
    }),
  );
}

/** Our own text begins with v0's form of the same words where PostHog has some; they are not said twice. */
function led(lead: string | undefined, detail: string): string {
  if (lead === undefined) return detail;
  if (detail.toLowerCase().startsWith(lead.toLowerCase())) return lead + detail.slice(lead.length);
  return lead.endsWith('.') ? `${lead} ${detail}` : `${lead}: ${detail}`;
}
