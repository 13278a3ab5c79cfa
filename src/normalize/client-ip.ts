import { isIP } from 'node:net';

/** The headers that may name the client, in the order of protocol.md 3.9. None is verified. */
export interface AddressHeaders {
  readonly 'x-forwarded-for'?: string | string[] | undefined;
  readonly forwarded?: string | undefined;
  readonly 'x-real-ip'?: string | string[] | undefined;
  readonly 'fly-client-ip'?: string | string[] | undefined;
  readonly 'true-client-ip'?: string | string[] | undefined;
  readonly 'cf-connecting-ip'?: string | string[] | undefined;
  readonly 'cloudfront-viewer-address'?: string | string[] | undefined;
}

const SINGLE_HEADERS = [
  'x-real-ip',
  'fly-client-ip',
  'true-client-ip',
  'cf-connecting-ip',
  'cloudfront-viewer-address',
] as const;

/** A bare address; with a port, brackets or quotes they are taken off. Undefined when it is no address. */
export function addressOf(text: string): string | undefined {
  const trimmed = text.trim().replaceAll('"', '');
  if (trimmed.includes('%')) return undefined; // a zone (`fe80::1%eth0`) means something to its own machine alone
  if (isIP(trimmed) !== 0) return trimmed;
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(trimmed)?.[1];
  const candidate = bracketed ?? trimmed.replace(/:\d+$/, '');
  return isIP(candidate) === 0 ? undefined : candidate;
}

/** @param socketAddress as the socket has it; an IPv4 address mapped into IPv6 is given back as IPv4 */
export function clientIp(headers: AddressHeaders, socketAddress: string | undefined): string {
  const forwardedFor = headers['x-forwarded-for'];
  if (forwardedFor !== undefined) {
    for (const part of (typeof forwardedFor === 'string' ? forwardedFor : forwardedFor.join(',')).split(',')) {
      const address = addressOf(part);
      if (address !== undefined) return address;
    }
  }
  if (headers.forwarded !== undefined) {
    for (const match of headers.forwarded.matchAll(/for=("[^"]*"|[^;,\s]+)/gi)) {
      const address = addressOf(match[1] ?? '');
      if (address !== undefined) return address;
    }
  }
  for (const name of SINGLE_HEADERS) {
    const value = headers[name];
    if (typeof value !== 'string') continue;
    // Amazon's ends in a port always, which may look like one more group of an IPv6 address.
    const address = addressOf(name === 'cloudfront-viewer-address' ? value.replace(/:\d+$/, '') : value);
    if (address !== undefined) return address;
  }
  if (socketAddress === undefined) return '';
  return socketAddress.startsWith('::ffff:') ? socketAddress.slice(7) : socketAddress;
}
