/** What a project does not keep is taken out, and not a byte besides. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keepsAll, type PrivacyPolicy } from './privacy-policy.ts';
import { PrivacyRule } from './privacy.ts';

const policy = (changes: Partial<PrivacyPolicy>): PrivacyRule => new PrivacyRule({ ...keepsAll, ...changes });
const rewrite = (rule: PrivacyRule, text: string): string => rule.rewrite(Buffer.from(text)).toString();
const passwords = policy({ redact: ['*password*', '$set.email', '$session_id', '$product_tour_id'] });
/** A text of an event, and the same with `#…#` for each value that is to be redacted. */
const cases: readonly (readonly [name: string, marked: string])[] = [
  ['a property', '{"event":"e","properties":{"password":#"x"#, "n": 1.0}}'],
  ['at any depth, arrays too', '{"properties":{"a":[{"b":{"my_Password_1":#[1,{"c":"x"}]#}}],"z":1e2}}'],
  ['a key written with escapes', '{"properties":{"p\\u0061ssw\\u006frd":#"x"#}}'],
  ['each of two members of one name', '{"properties":{"password":#1#,"password":#{"a":1}#}}'],
  ['events of an array', '[{"properties":{"password":#1#}} , {"properties":{"password":#true#}}]'],
  ['events of a batch', '{"api_key":"k","batch":[{"properties":{"password":#"x"#}}],"sent_at":"t"}'],
  ['a path, in properties', '{"properties":{"$set":{"email":#"x"#,"name":"n"},"email":"kept"}}'],
  ['a path, beside properties', '{"$set":{"email":#"x"#},"$set_once":{"email":"kept","password":#1#}}'],
  ['what the protocol does not know of an event', '{"event":"","password":#"x"#,"other":{"password":#2#}}'],
  ['keys within fields that stay', '{"distinct_id":{"password":#"x"#},"event":["a",{"password":#1#}]}'],
  ['a text in the place of an event', '[#"{\\"password\\":1}"#, #5#, null, true]'],
  ['a text in the place of properties', '{"properties":#"{\\"password\\":1}"#,"$set":#"x"#}'],
  ['what V1 puts into properties', '{"batch":[{"session_id":#"s"#,"window_id":"w","options":{"product_tour_id":#"p"#}}]}'],
  ['options, but those that steer', '{"options":{"cookieless_mode":true,"password":#1#}}'],
  ['null says nothing', '{"properties":{"password":null}}'],
  ['whose event it is stays', '{"api_key":"k","token":"k","distinct_id":"password","properties":{"distinct_id":"d"}}'],
]; // prettier-ignore

const sentOf = (marked: string): string => marked.replaceAll('#', '');
const keptOf = (marked: string): string => marked.replaceAll(/#[^#]*#/g, '"[redacted]"');

describe('redaction', () => {
  it.each(cases)('%s', (_name, marked) => {
    expect(rewrite(passwords, sentOf(marked))).toBe(keptOf(marked));
  });

  it('of everything leaves what says whose and which event it is', () => {
    const marked =
      '{"api_key":"k","event":"e","distinct_id":"d","uuid":"u","timestamp":"t","x":#1#,' +
      '"properties":{"distinct_id":"d","$cookieless_mode":true,"token":#"k"#,"a":#1#}}';
    expect(rewrite(policy({ redact: ['*'] }), sentOf(marked))).toBe(keptOf(marked));
  });

  it('gives the same buffer back when nothing matches, and when the text is no JSON', () => {
    for (const text of ['{"event":"e","properties":{"a":1}}', '{"properties":{"password":1}', '', '[']) {
      const bytes = Buffer.from(text);
      expect(passwords.rewrite(bytes)).toBe(bytes);
    }
  });

  it('changes nothing but the values of matching keys, byte for byte', () => {
    interface Node { readonly sent: string; readonly kept: string } // prettier-ignore
    const space = fc.constantFrom('', '', ' ', '\n\t');
    const plain = (text: string): Node => ({ sent: text, kept: text });
    const scalar = fc.oneof(
      fc
        .constantFrom('1', '-0.0', '1e5', '1.10', '123456789012345678901', 'true', 'false', '"\\u0041\\n"', '"é"')
        .map(plain),
      fc.string().map((text) => plain(JSON.stringify(text))),
    );
    const key = fc.oneof(
      fc.constantFrom(['"a"', false], ['"b c"', false], ['"é"', false], ['"pass"', false]),
      fc.constantFrom(['"password"', true], ['"MyPassWordX"', true], ['"p\\u0061ssword"', true], ['"\\u0050assword"', true]),
    ) as fc.Arbitrary<[string, boolean]>; // prettier-ignore
    const { value } = fc.letrec<{ value: Node }>((tie) => {
      const member = fc.tuple(key, space, space, tie('value')).map(([[name, isMatch], before, after, node]): Node => {
        const head = `${before}${name}${before}:${after}`;
        return { sent: head + node.sent, kept: head + (isMatch ? '"[redacted]"' : node.kept) };
      });
      const join = (open: string, close: string) => (nodes: readonly Node[]): Node => ({
        sent: `${open}${nodes.map(({ sent }) => sent).join(',')}${close}`,
        kept: `${open}${nodes.map(({ kept }) => kept).join(',')}${close}`,
      }); // prettier-ignore
      return {
        value: fc.oneof(
          { maxDepth: 5, depthSize: 'medium' },
          scalar,
          fc.array(member, { maxLength: 5 }).map(join('{', '}')),
          fc.array(tie('value'), { maxLength: 4 }).map(join('[', ']')),
        ),
      };
    });
    const rule = policy({ redact: ['*password*'] });
    fc.assert(
      fc.property(value, value, (first, second) => {
        const text = (a: string, b: string): string =>
          `{"batch": [{"event":"e","properties":{"x":${a}} },{"$set" :{"y":${b}}}]}`;
        expect(rewrite(rule, text(first.sent, second.sent))).toBe(text(first.kept, second.kept));
      }),
      { numRuns: 500 },
    );
  });

  it('of deep and wide texts takes time in proportion', () => {
    const rule = policy({ redact: ['*password*', 'a.b.*x', '*c*d*'] });
    const long = `{"properties":{"${'k'.repeat(900)}":{${Array.from({ length: 20_000 }, (_, i) => `"k${i}":1`).join(',')}}}}`;
    const deep = `{"properties":${'{"a":'.repeat(120)}1${'}'.repeat(120)}}`;
    const startedMs = performance.now();
    expect(rewrite(rule, long).length).toBe(long.length);
    expect(rewrite(rule, deep)).toBe(deep);
    expect(performance.now() - startedMs).toBeLessThan(2_000);
  });
});

it('a match of $set or $unset beside the properties leaves none of it', () => {
  const text = (set: string, unset: string): string =>
    `{"event":"e","$set":${set},"$set_once":{"a":1},"$unset":${unset}}`;
  const kept = '{"event":"e","$set":null,"$set_once":{"a":1},"$unset":null}';
  expect(rewrite(policy({ redact: ['$SET', '$unset'] }), text('{"a":1}', '["a"]'))).toBe(kept);
});

it('a text of many matches is written in one buffer', () => {
  const text = `{"properties":{${Array.from({ length: 300_000 }, () => '"a":1').join(',')}}}`;
  const kept = rewrite(policy({ redact: ['a'] }), text);
  expect(kept).toBe(text.replaceAll('"a":1', '"a":"[redacted]"'));
});

describe('the policy on addresses', () => {
  it.each<[policy: 'keep' | 'truncate' | 'drop', address: string, kept: string]>([
    ['keep', '203.0.113.77', '203.0.113.77'],
    ['truncate', '203.0.113.77', '203.0.113.0'],
    ['truncate', '2001:db8:1:2::5', '2001:db8:1::'],
    ['truncate', '', ''],
    ['drop', '203.0.113.77', ''],
  ])('%s of %s leaves %j', (address, sent, kept) => {
    expect(policy({ address, redact: ['x'] }).address(sent)).toBe(kept);
  });

  it.each<[policy: 'keep' | 'truncate' | 'drop', sent: string, kept: string]>([
    ['keep', '"203.0.113.77"', '"203.0.113.77"'],
    ['truncate', '"203.0.113.77"', '"203.0.113.0"'],
    ['truncate', '"203.0.113.0"', '"203.0.113.0"'],
    ['truncate', '"2001:db8:1:2::5"', '"2001:db8:1::"'],
    ['truncate', '"somewhere"', 'null'],
    ['truncate', '{"a":"203.0.113.77"}', 'null'],
    ['truncate', 'null', 'null'],
    ['drop', '"203.0.113.77"', 'null'],
  ])('%s: $ip %s becomes %s, wherever it stands', (address, sent, kept) => {
    const text = (value: string): string =>
      `{"properties":{"$ip":${value} , "\\u0024ip":${value},"$set":{"$ip":${value}}},"$set_once":{"$ip":${value}},"$ip":${value}}`;
    expect(rewrite(policy({ address }), text(sent))).toBe(text(kept));
  });
});
