/** What SDKs and applications send where they know nobody (protocol.md 8.3): stored, without person processing. */
const PLACEHOLDERS = new Set([
  '0', '00000000-0000-0000-0000-000000000000', '[object object]', 'anonymous', 'anonymous-user', 'backend', 'distinct_id',
  'distinctid', 'email', 'false', 'guest', 'id', 'nan', 'none', 'not_authenticated', 'null', 'system', 'true', 'undefined',
  'user',
]); // prettier-ignore
const LONGEST_BYTES = 36;

/** A distinct_id that stands for one which the pipeline makes later; needs `cookieless_mode`. */
export const COOKIELESS_ID = '$posthog_cookieless';

export function isPlaceholderId(distinctId: string): boolean {
  return distinctId.length <= LONGEST_BYTES && PLACEHOLDERS.has(distinctId.toLowerCase());
}
