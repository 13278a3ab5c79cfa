import { BlockList, isIP } from 'node:net';

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
