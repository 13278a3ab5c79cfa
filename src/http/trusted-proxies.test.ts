import { describe, expect, it } from 'vitest';
import { countedAddressOf } from './trusted-proxies.ts';

const PROXY = '10.0.0.1';
const CLIENT = '203.0.113.7';

describe('the address by which failures are counted', () => {
  it.each<[name: string, trusted: 'all' | readonly string[], headers: Readonly<Record<string, string>>, socket: string, counted: string]>([
    ['is the socket’s, whatever the headers say', 'all', { 'x-forwarded-for': CLIENT }, PROXY, PROXY],
    ['is the socket’s when nobody is trusted', [], { 'x-forwarded-for': CLIENT }, PROXY, PROXY],
    ['is the socket’s when it is no trusted proxy', [PROXY], { 'x-forwarded-for': '1.1.1.1' }, CLIENT, CLIENT],
    ['is what a proxy trusted by name says', ['10.0.0.0/8'], { 'x-forwarded-for': CLIENT }, PROXY, CLIENT],
    ['is the last that is no such proxy: a client may write others before', ['10.0.0.0/8'],
      { 'x-forwarded-for': `1.1.1.1, ${CLIENT}, 10.0.0.2` }, PROXY, CLIENT],
    ['is in X-Real-IP where there is no X-Forwarded-For', [PROXY], { 'x-real-ip': CLIENT }, PROXY, CLIENT],
    ['is not X-Real-IP beside X-Forwarded-For', [PROXY], { 'x-real-ip': '1.1.1.1', 'x-forwarded-for': CLIENT }, PROXY, CLIENT],
    ['is the proxy’s own when it says nothing', [PROXY], {}, PROXY, PROXY],
    ['is the proxy’s own when it says nonsense', [PROXY], { 'x-forwarded-for': 'me' }, PROXY, PROXY],
  ])('%s', (_name, trusted, headers, socket, counted) => {
    expect(countedAddressOf(trusted)(headers, socket)).toBe(counted);
  }); // prettier-ignore
});
