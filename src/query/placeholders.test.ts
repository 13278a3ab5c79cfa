import { describe, expect, it } from 'vitest';
import { bindPlaceholders } from './placeholders.ts';

describe('the placeholders of HogQL', () => {
  const typed: readonly [name: string, value: unknown, type: string][] = [
    ['a text', 'x', 'String'],
    ['a whole number', 7, 'Int64'],
    ['a fraction', 0.5, 'Float64'],
    ['true', true, 'Bool'],
    ['null', null, 'Nullable(String)'],
    ['texts', ['a', 'b'], 'Array(String)'],
    ['whole numbers', [1, -2], 'Array(Int64)'],
    ['numbers with a fraction', [1, 0.5], 'Array(Float64)'],
    ['an empty list', [], 'Array(String)'],
  ];
  for (const [name, value, type] of typed) {
    it(`${name} becomes ${type}`, () => {
      const text = `select {v:${type}}, {v:${type}}`;
      expect(bindPlaceholders('select {v}, { v }', { v: value })).toEqual({ text, parameters: { v: value } });
    });
  }

  const untouched: readonly [name: string, text: string][] = [
    ['a string', "select '{v}'"],
    ['a string with a doubled quote', "select 'it''s {v}'"],
    ['a string with an escaped quote', String.raw`select 'it\'s {v}'`],
    ['a string that never ends', "select 'it {v}"],
    ['a string that ends in a backslash', "select 'it {v}\\"],
    ['a quoted identifier', 'select "{v}"'],
    ['an identifier in backticks', 'select `{v}`'],
    ['a line comment', 'select 1 -- {v}'],
    ['a comment', 'select 1 /* {v} */'],
    ['a comment that never ends', 'select 1 /* {v}'],
    ['a map', "select {'v': 1}"],
  ];
  for (const [name, text] of untouched) {
    it(`${name} is left alone`, () => {
      expect(bindPlaceholders(text, { v: 1 })).toEqual({ text, parameters: {} });
    });
  }

  it('one behind a comment or a string is bound', () => {
    const bound = bindPlaceholders("select 'a' /* b */ + {v} -- c\n + {v}", { v: 1 });
    expect(bound).toMatchObject({ text: "select 'a' /* b */ + {v:Int64} -- c\n + {v:Int64}" });
  });

  it('one that brings its own type keeps it', () => {
    const text = 'select {v:UInt8}';
    expect(bindPlaceholders(text, { v: 1 })).toEqual({ text, parameters: { v: 1 } });
  });

  it('a value never enters the text, whatever it holds', () => {
    const value = "'; DROP TABLE events --{other}`\\";
    expect(bindPlaceholders('select {v}', { v: value })).toEqual({
      text: 'select {v:String}',
      parameters: { v: value },
    });
  });

  it('a value that the text does not name is not passed on, nor is its name', () => {
    expect(bindPlaceholders('select 1', { "a'b": 1, c: {} })).toEqual({ text: 'select 1', parameters: {} });
  });

  const refused: readonly [name: string, values: Record<string, unknown>][] = [
    ['a name without a value', {}],
    ['an object', { v: {} }],
    ['a list of both', { v: ['a', 1] }],
    ['a list of lists', { v: [[1]] }],
    ['an integer that JSON may have rounded', { v: 9_007_199_254_740_992 }],
    ['such an integer in a list', { v: [1, 9_007_199_254_740_992] }],
  ];
  for (const [name, values] of refused) {
    it(`${name} is refused by name`, () => {
      const answer = bindPlaceholders('select {v}', values);
      expect(answer).toMatchObject({ kind: 'fault', code: 'invalid_parameter' });
      expect('detail' in answer ? answer.detail : '').toContain('"query.values.v"');
    });
  }

  it('a name of every object, such as constructor, has no value unless it was sent', () => {
    expect(bindPlaceholders('select {constructor}', {})).toMatchObject({ code: 'invalid_parameter' });
  });

  it('reads a megabyte of openings in linear time', () => {
    const openings = ['/*', "'\\", '"', '{ ', '{a:', "''"];
    for (const opening of openings) bindPlaceholders(opening.repeat(500_000), {});
  }, 5_000);
});
