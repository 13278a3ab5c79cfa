import { describe, expect, it } from 'vitest';
import { type ClientTraits, refusalMannerOf } from './refusal-manner.ts';

const firefox = 'Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0';
const none: ClientTraits = { userAgent: undefined, contentType: undefined, compression: undefined, isBeacon: false };

describe('clients that throw events away on 429 (sdks.md 17)', () => {
  it.each<[name: string, traits: Partial<ClientTraits>, manner: string]>([
    ['posthog-js', { userAgent: firefox, contentType: 'text/plain' }, 'drops_on_429'],
    ['posthog-js without compression', { userAgent: firefox, contentType: 'application/json' }, 'drops_on_429'],
    ['posthog-js behind a proxy', { userAgent: 'proxy/1', contentType: 'text/plain;charset=UTF-8' }, 'drops_on_429'],
    ['older posthog-js behind a proxy', { contentType: 'text/plain', compression: 'gzip-js' }, 'drops_on_429'],
    [
      'its base64 form behind a proxy',
      { contentType: 'application/x-www-form-urlencoded', compression: 'base64' },
      'drops_on_429',
    ],
    ['its beacon', { contentType: 'application/x-www-form-urlencoded', isBeacon: true }, 'drops_on_429'],
    ['posthog-server for Java', { userAgent: 'posthog-server/2.3.3', contentType: 'application/json' }, 'drops_on_429'],
    ['the Java client before it', { userAgent: 'okhttp/4.9.1', contentType: 'application/json' }, 'drops_on_429'],
    ['posthog-node', { userAgent: 'posthog-node/5.70.0', contentType: 'application/json' }, 'plain'],
    ['posthog-go, compressed', { userAgent: 'posthog-go/1.23.1', compression: 'gzip' }, 'plain'],
    ['posthog-android', { userAgent: 'posthog-android/3.0.0', contentType: 'application/json' }, 'plain'],
    ['curl', { userAgent: 'curl/8.5.0', contentType: 'application/x-www-form-urlencoded' }, 'plain'],
    ['a client without a name', {}, 'plain'],
  ])('%s: %o', (_, traits, manner) => {
    expect(refusalMannerOf({ ...none, ...traits })).toBe(manner);
  });
});
