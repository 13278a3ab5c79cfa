import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { changed, membersOf, valueOf } from './json-members.ts';

describe('members of an object, in its text', () => {
  it('are found with their values as written', () => {
    const text = ' { "a" : 9007199254740993 ,"b\\n":"x,}\\"" , "c":{"d":[1,{"e":"]"}]},"a":1.0,\n"z": null }';
    expect(membersOf(text)?.map(({ name, valueText }) => [name, valueText])).toEqual([
      ['a', '9007199254740993'],
      ['b\n', '"x,}\\""'],
      ['c', '{"d":[1,{"e":"]"}]}'],
      ['a', '1.0'],
      ['z', 'null'],
    ]);
    expect(valueOf(membersOf(text) ?? [], 'a')).toBe('1.0');
  });

  it.each(['5', '[{"a":1}]', '"{}"', 'null', ' true'])('are none in %s', (text) => {
    expect(membersOf(text)).toBeUndefined();
  });

  it('are changed, and the others left as they were', () => {
    expect(changed('{"a": 1.0, "b":2,"a":3}', ['a'], [['c', '9007199254740993']])).toBe('{"b":2,"c":9007199254740993}');
    expect(changed('{ }', [], [['c', '1']])).toBe('{"c":1}');
    expect(changed('{ "a" : 1 }', ['b'], [])).toBe('{ "a" : 1 }');
  });

  it('take apart any object, and a string of many megabytes', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.constantFrom(undefined, 1, '\t'), (object, space) => {
        const text = JSON.stringify(object, null, space);
        const found = (membersOf(text) ?? []).map(({ name, valueText }) => [name, JSON.parse(valueText) as unknown]);
        expect(found).toEqual(Object.entries(JSON.parse(text) as object));
      }),
    );
    const long = 'x\\"'.repeat(8_000_000);
    expect(valueOf(membersOf(`{"a":"${long}","b":1}`) ?? [], 'a')?.length).toBe(long.length + 2);
  });
});
