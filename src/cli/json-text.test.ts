import { describe, expect, it } from 'vitest';
import { elementTexts, memberText, plainText } from './json-text.ts';

describe('JSON taken apart as text', () => {
  it('keeps integers beyond 64 bits as they were sent', () => {
    expect(elementTexts('[18446744073709551616, 1.0]')).toEqual(['18446744073709551616', '1.0']);
  });

  it('splits nested arrays, objects and strings that hold brackets and commas', () => {
    expect(elementTexts(' [ [1,[2]], {"a":[3,"],"]}, "x\\",[" , [], {} ] ')).toEqual([
      '[1,[2]]',
      '{"a":[3,"],"]}',
      '"x\\",["',
      '[]',
      '{}',
    ]);
    expect(elementTexts('[]')).toEqual([]);
    expect(elementTexts('{"a":1}')).toEqual([]);
  });

  it('finds a member by its decoded name, the last of equal names, and only on the first level', () => {
    expect(memberText('{"a":{"b":1},"b" : [2, 3] ,"c":null}', 'b')).toBe('[2, 3]');
    expect(memberText('{"\\u0061":1,"a":2}', 'a')).toBe('2');
    expect(memberText('{"a":1}', 'z')).toBeUndefined();
    expect(memberText('{}', 'z')).toBeUndefined();
  });

  it('shows strings without quotes and null as nothing', () => {
    expect(['"a\\nb"', 'null', '1', '{"a":1}'].map((text) => plainText(text))).toEqual(['a\nb', '', '1', '{"a":1}']);
  });
});
