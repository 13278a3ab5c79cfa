import { describe, expect, it } from 'vitest';
import { DocumentDecoder } from '../wire/v0/document-decoder.ts';
import { readDistinctId } from './distinct-id.ts';

function idOf(json: string): string {
  const document = new DocumentDecoder().decode(Buffer.from(`{"event":"e","distinct_id":${json}}`), {
    isEngage: false,
  });
  if (document.kind === 'fault') throw new Error(document.detail);
  const [event] = document.events;
  if (event === undefined) throw new Error('no event');
  const id = readDistinctId(event);
  if (id.kind === 'missing') return '(missing)';
  return id.kind === 'text'
    ? Buffer.from(id.bytes).toString()
    : event.body.toString('utf8', event.distinctIdStart, event.distinctIdEnd);
}

describe('distinct_id as text (protocol.md 3.5)', () => {
  it.each([
    ['"plain"', 'plain'],
    ['" kept "', ' kept '],
    ['""', '(missing)'],
    [String.raw`" \t\u00a0\u2003"`, '(missing)'],
    ['23', '23'],
    ['23.40', '23.4'],
    ['1e3', '1000.0'],
    ['1e21', '1e21'],
    ['9007199254740993', '9007199254740993'],
    ['18446744073709551616', '1.8446744073709552e19'],
    ['true', 'true'],
    ['["a","b"]', '["a","b"]'],
    ['{"string":"a","number":3}', '{"number":3,"string":"a"}'],
    ['{"a": [1.0, "1.0", {"c":2,"b":-1}]}', '{"a":[1.0,"1.0",{"b":-1,"c":2}]}'],
    [String.raw`"a\u0000b"`, 'a\ufffdb'],
    [String.raw`"\u00e9"`, 'é'],
    [JSON.stringify('a'.repeat(200)), 'a'.repeat(200)],
    [JSON.stringify('a'.repeat(201)), 'a'.repeat(200)],
    [JSON.stringify('é'.repeat(201)), 'é'.repeat(200)],
    [JSON.stringify('😀'.repeat(201)), '😀'.repeat(200)],
  ])('%s becomes %s', (json, text) => {
    expect(idOf(json)).toBe(text);
  });
});
