import type { IncomingHttpHeaders } from 'node:http';
import { BlockList, isIP } from 'node:net';
import { addressOf } from '../normalize/client-ip.ts';

/** @param trusted `all`, or addresses and networks (`10.0.0.0/8`); `config/` has checked them */
export function trustOf(trusted: 'all' | readonly string[]): (address: string | undefined) => boolean {
  if (trusted === 'all') return () => true;
  const list = new BlockList();
  for (const entry of trusted) {
    const [address = '', bits] = entry.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return (address) => {
    if (address === undefined) return false;
    const plain = address.startsWith('::ffff:') ? address.slice(7) : address;
    const family = isIP(plain);
    return family !== 0 && list.check(plain, family === 6 ? 'ipv6' : 'ipv4');
  };
}

/**
 * By which address failures are counted. A client writes what it likes into the headers, so they count only behind a proxy
 * that is trusted by name, and of the addresses there the last that is no such proxy: the one before is the client's word.
 */
export function countedAddressOf(
  trusted: 'all' | readonly string[],
): (headers: IncomingHttpHeaders, socketAddress: string | undefined) => string {
  if (trusted === 'all') return (_headers, socketAddress) => socketAddress ?? '';
  const isTrusted = trustOf(trusted);
  return (headers, socketAddress) => {
    if (!isTrusted(socketAddress)) return socketAddress ?? '';
    const forwardedFor = headers['x-forwarded-for'];
    const texts = typeof forwardedFor === 'string' ? forwardedFor.split(',') : (forwardedFor ?? []);
    const others = texts.map(addressOf).filter((address) => !isTrusted(address));
    const realIp = headers['x-real-ip'];
    const named = texts.length > 0 ? others.at(-1) : addressOf(typeof realIp === 'string' ? realIp : '');
    return named ?? socketAddress ?? '';
  };
}
