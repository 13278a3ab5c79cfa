/** The network that an address lies in: what may be remembered of a client, and by what its failures are counted. */
import { isIP } from 'node:net';

/** How much of an address is told apart; what is behind it becomes zero. */
export interface NetworkSize {
  /** Of the 4. */
  readonly ipv4Octets: number;
  /** Of the 8, each of 16 bits. */
  readonly ipv6Groups: number;
}

/**
 * @param address as a socket or a header has it; a zone (`%eth0`) is left out, and IPv4 mapped into IPv6 counts as IPv4
 * @returns the network's first address, such as `203.0.113.0` or `2001:db8:1::`; undefined when it is no address
 */
export function networkOf(address: string, size: NetworkSize): string | undefined {
  const [plain = ''] = address.split('%', 1);
  switch (isIP(plain)) {
    case 4:
      return ipv4Network(plain.split('.'), size);
    case 6: {
      const groups = ipv6Groups(plain);
      const [a, b, c, d, e, f, high = 0, low = 0] = groups;
      const isMapped = a === 0 && b === 0 && c === 0 && d === 0 && e === 0 && f === 0xffff;
      if (isMapped) return ipv4Network([high >> 8, high & 0xff, low >> 8, low & 0xff].map(String), size);
      return ipv6Network(groups, size);
    }
    default:
      return undefined;
  }
}

function ipv4Network(octets: readonly string[], { ipv4Octets }: NetworkSize): string {
  return octets.map((octet, i) => (i < ipv4Octets ? octet : '0')).join('.');
}

function ipv6Network(groups: readonly number[], size: NetworkSize): string {
  const kept = groups.slice(0, size.ipv6Groups);
  while (kept.at(-1) === 0) kept.pop();
  const text = kept.map((group) => group.toString(16)).join(':');
  return kept.length === groups.length ? text : `${text}::`;
}

/** Eight numbers; `text` must be a valid IPv6 address without a zone. */
function ipv6Groups(text: string): readonly number[] {
  const dotted = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  let plain = text;
  if (dotted !== null) {
    const [a = 0, b = 0, c = 0, d = 0] = dotted.slice(1).map(Number);
    plain = `${text.slice(0, dotted.index)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [head = '', tail] = plain.split('::');
  const front = numbersOf(head);
  if (tail === undefined) return front;
  const back = numbersOf(tail);
  return [...front, ...Array.from({ length: 8 - front.length - back.length }, () => 0), ...back];
}

function numbersOf(text: string): number[] {
  return text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16));
}
