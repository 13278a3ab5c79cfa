import { describe, expect, it } from 'vitest';
import { parseQuery } from './query-parameters.ts';

describe('query of a v0 request (protocol.md 2.1)', () => {
  it.each([
    ['_=abc'], ['_='], ['_=1.5'], ['beacon=true'], ['beacon='], ['_=1&_=2'], ['_=1&sent_at=2'], ['data=a&data=b'], ['compression=a&compression=b'],
    ['_=9223372036854775808'], ['_=-9223372036854775809'], ['beacon=2147483648'], ['beacon=1+'], ['_=0x10'],
  ])('%s is refused', (query) => {
    expect(parseQuery(query)).toMatchObject({ kind: 'fault', code: 'invalid_query' });
  }); // prettier-ignore

  it.each([
    ['', {}],
    ['ver=1&ip=0&ver=2', { data: undefined }],
    ['beacon=1', { isBeacon: true }],
    ['beacon=0', { isBeacon: false }],
    ['beacon=2', { isBeacon: false }],
    ['_=1700000000000', { sentAtMs: 1_700_000_000_000 }],
    ['sent_at=5', { sentAtMs: 5 }],
    ['_=%2B5', { sentAtMs: 5 }],
    ['_=-9223372036854775808', { sentAtMs: -(2 ** 63) }],
    ['beacon=2147483647', { isBeacon: false }],
    ['beacon=01', { isBeacon: true }],
    ['compression=whatever', { compression: 'whatever' }],
    ['data=%7B%7D', { data: '{}' }],
    ['data=a+b', { data: 'a b' }],
    ['data=', { data: undefined }],
    ['data=%ff', { data: '\ufffd' }],
    ['strict=1', { isStrict: true }],
  ])('%s is read', (query, expected) => {
    expect(parseQuery(query)).toMatchObject({ kind: 'parameters', ...expected });
  });
});
