import { describe, expect, it } from 'vitest';
import { parsePropertyFilters } from './property-filter.ts';

const found = "JSONExtract(properties_raw, {property_0_key:String}, 'Nullable(String)')";

function parse(...filters: readonly unknown[]): ReturnType<typeof parsePropertyFilters> {
  return parsePropertyFilters(JSON.stringify(filters));
}

describe('a property filter', () => {
  const rows: readonly [operator: string | undefined, value: unknown, sql: string, parameters: object][] = [
    [undefined, 'a', `ifNull(has({property_0_value:Array(String)}, ${found}), 0)`, { property_0_value: ['a'] }],
    [
      'exact',
      [1, true],
      `ifNull(has({property_0_value:Array(String)}, ${found}), 0)`,
      { property_0_value: ['1', 'true'] },
    ],
    ['is_not', 'a', `NOT ifNull(has({property_0_value:Array(String)}, ${found}), 0)`, { property_0_value: ['a'] }],
    [
      'icontains',
      'a',
      `ifNull(positionCaseInsensitiveUTF8(${found}, {property_0_value_0:String}) > 0, 0)`,
      { property_0_value_0: 'a' },
    ],
    [
      'not_icontains',
      ['a', 'b'],
      `NOT ifNull(positionCaseInsensitiveUTF8(${found}, {property_0_value_0:String}) > 0 OR ` +
        `positionCaseInsensitiveUTF8(${found}, {property_0_value_1:String}) > 0, 0)`,
      { property_0_value_0: 'a', property_0_value_1: 'b' },
    ],
    ['regex', '^a', `ifNull(match(${found}, {property_0_value_0:String}), 0)`, { property_0_value_0: '^a' }],
    ['not_regex', '^a', `NOT ifNull(match(${found}, {property_0_value_0:String}), 0)`, { property_0_value_0: '^a' }],
    ['gt', 1, `ifNull(toFloat64OrNull(${found}) > {property_0_value:Float64}, 0)`, { property_0_value: 1 }],
    ['gte', '1.5', `ifNull(toFloat64OrNull(${found}) >= {property_0_value:Float64}, 0)`, { property_0_value: 1.5 }],
    ['lt', [2], `ifNull(toFloat64OrNull(${found}) < {property_0_value:Float64}, 0)`, { property_0_value: 2 }],
    ['lte', -1, `ifNull(toFloat64OrNull(${found}) <= {property_0_value:Float64}, 0)`, { property_0_value: -1 }],
    ['is_set', 'is_set', `isNotNull(${found})`, {}],
    ['is_not_set', undefined, `isNull(${found})`, {}],
  ];
  for (const [operator, value, sql, parameters] of rows) {
    it(`${operator ?? 'without an operator'} with ${JSON.stringify(value) ?? 'no value'}`, () => {
      expect(parse({ key: 'plan', value, operator, type: 'event' })).toEqual([
        { kind: 'condition', sql, parameters: { property_0_key: 'plan', ...parameters } },
      ]);
    });
  }

  it('keeps keys and values out of the SQL, whatever they hold', () => {
    const hostile = 'a`\'") OR 1=1 --\\{project_id:UInt32}\u0000';
    const harmless = parse({ key: 'plan', value: 'a' });
    const attempt = parse({ key: hostile, value: hostile });
    if ('kind' in harmless || 'kind' in attempt) throw new Error('refused');
    expect(attempt[0]?.sql).toBe(harmless[0]?.sql);
    expect(attempt[0]?.parameters).toEqual({ property_0_key: hostile, property_0_value: [hostile] });
  });

  it('gives each filter parameters of its own', () => {
    const both = parse({ key: 'a', value: 'x' }, { key: 'b', value: 'y' });
    if ('kind' in both) throw new Error('refused');
    expect(both.flatMap((one) => Object.keys(one.parameters))).toEqual([
      'property_0_key',
      'property_0_value',
      'property_1_key',
      'property_1_value',
    ]);
  });

  const refused: readonly [name: string, text: string, at: string][] = [
    ['no JSON', '[', 'properties'],
    ['a group of filters', '{"type":"AND","values":[]}', 'properties'],
    ['no key', '[{"value":1}]', 'properties.0.key'],
    ['a key that is no text', '[{"key":{},"value":1}]', 'properties.0.key'],
    ['an unknown operator', '[{"key":"a","value":1,"operator":"is_cleaned_path_exact"}]', 'properties.0.operator'],
    ['properties of a person', '[{"key":"a","value":1,"type":"person"}]', 'properties.0.type'],
    ['no value', '[{"key":"a"}]', 'properties.0.value'],
    ['null', '[{"key":"a","value":null}]', 'properties.0.value'],
    ['an object as value', '[{"key":"a","value":{}}]', 'properties.0.value'],
    ['no values', '[{"key":"a","value":[]}]', 'properties.0.value'],
    ['more than a word', '[{"key":"a","value":"many","operator":"gt"}]', 'properties.0.value'],
    ['more than nothing', '[{"key":"a","value":"","operator":"gt"}]', 'properties.0.value'],
    ['more than true', '[{"key":"a","value":true,"operator":"gt"}]', 'properties.0.value'],
    ['more than two numbers', '[{"key":"a","value":[1,2],"operator":"gt"}]', 'properties.0.value'],
    ['an integer that JSON may have rounded', '[{"key":"a","value":9007199254740993}]', 'properties.0.value'],
    [
      '51 patterns',
      JSON.stringify([{ key: 'a', value: Array(51).fill('x'), operator: 'regex' }]),
      'properties.0.value',
    ],
    ['1001 values', JSON.stringify([{ key: 'a', value: Array(1001).fill('x') }]), 'properties.0.value'],
    ['51 filters', `[${Array(51).fill('{"key":"a","value":"x"}').join(',')}]`, 'properties'],
  ];
  for (const [name, text, at] of refused) {
    it(`is refused with ${name}, naming ${at}`, () => {
      const answer = parsePropertyFilters(text);
      expect(answer).toMatchObject({ kind: 'fault', code: 'invalid_parameter' });
      expect('detail' in answer ? answer.detail : '').toContain(`"${at}"`);
    });
  }
});
