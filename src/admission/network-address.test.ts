import { describe, expect, it } from 'vitest';
import { networkOf } from './network-address.ts';

describe('networkOf', () => {
  it.each<[address: string, kept: string | undefined]>([
    ['203.0.113.77', '203.0.113.0'],
    ['::ffff:203.0.113.77', '203.0.113.0'],
    ['::ffff:cb00:714d', '203.0.113.0'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1::'],
    ['2001:DB8:1::', '2001:db8:1::'],
    ['2001:db8::1', '2001:db8::'],
    ['::1', '::'],
    ['64:ff9b::203.0.113.77', '64:ff9b::'],
    ['1::203.0.113.77', '1::'],
    ['fe80::1%eth0', 'fe80::'],
    ['', undefined],
    ['localhost', undefined],
    ['203.0.113', undefined],
    ['203.0.113.77:80', undefined],
  ])('%s to /24 or /48 is %s', (address, kept) => {
    expect(networkOf(address, { ipv4Octets: 3, ipv6Groups: 3 })).toBe(kept);
  });

  it.each([
    ['203.0.113.77', '203.0.113.77'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::'],
    ['2001:db8:1:2:ffff::', '2001:db8:1:2::'],
    ['2001:db8:1:3::', '2001:db8:1:3::'],
  ])('%s to /32 or /64 is %s', (address, kept) => {
    expect(networkOf(address, { ipv4Octets: 4, ipv6Groups: 4 })).toBe(kept);
  });
});
