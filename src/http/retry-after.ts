/** When a refused client is to come again. */
import { MAX_RETRY_AFTER_SECONDS } from '../admission/rate-gate.ts';
import { errors, type Fault } from '../errors.ts';

const SOON_SECONDS = 1;
/** Of those that are told to come soon, who comes last comes this much later. */
const LEAST_SPREAD_SECONDS = 2;

/**
 * @param asker `requestId`: a UUID as text; its last digits, which are random, spread the clients that a full queue or an
 *   empty bucket has refused together, so that they do not come back together. `speaksV1`: there "soon" is exactly 1 s
 *   (protocol.md 8.5), and a 402 is final.
 * @returns whole seconds; undefined: not to come again with the same request
 */
export function retryAfterSeconds(
  { code, status, retryAfterSeconds: known }: Fault,
  asker: { readonly requestId: string; readonly speaksV1: boolean },
): number | undefined {
  const entry = errors[code];
  if (entry.retry !== 'later' || status === 402) return undefined;
  const answered = status ?? entry.status;
  const isCrowd = known !== undefined || (!asker.speaksV1 && answered === 503);
  const seconds = known ?? SOON_SECONDS;
  if (!isCrowd) return seconds;
  const part = Number.parseInt(asker.requestId.slice(-4), 16) / 0x1_0000;
  const later = Math.floor(part * (seconds / 2 + LEAST_SPREAD_SECONDS + 1));
  return Math.min(MAX_RETRY_AFTER_SECONDS, seconds + later);
}
