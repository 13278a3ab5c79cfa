import type { RefusalManner } from './rate-gate.ts';

/** What a v0 request shows of the client that sends it. */
export interface ClientTraits {
  readonly userAgent: string | undefined;
  readonly contentType: string | undefined;
  /** `compression` of the query. */
  readonly compression: string | undefined;
  /** `beacon=1` in the query. */
  readonly isBeacon: boolean;
}

/**
 * By user agent: browsers, where posthog-js runs (posthog-js-lite too, which takes either answer); posthog-server for
 * Java; and the HTTP library of the Java client before it, which has no name of its own.
 */
const DROPPING_AGENT = /^(?:Mozilla\/|posthog-server\/|okhttp\/)/i;
/** By shape, for a proxy in front may have put its own name there: only posthog-js sends events so (sdks.md 2). */
const BROWSER_TYPE = /^text\/plain\b/i;
const BROWSER_COMPRESSION = /^(?:gzip-js|base64|lz64)$/;

/** Which clients throw events away on 429: sdks.md 17. A 503 is sent again by all of them, so a doubt counts as yes. */
export function refusalMannerOf(client: ClientTraits): RefusalManner {
  const drops =
    client.isBeacon ||
    (client.userAgent !== undefined && DROPPING_AGENT.test(client.userAgent)) ||
    (client.contentType !== undefined && BROWSER_TYPE.test(client.contentType)) ||
    (client.compression !== undefined && BROWSER_COMPRESSION.test(client.compression));
  return drops ? 'drops_on_429' : 'plain';
}
