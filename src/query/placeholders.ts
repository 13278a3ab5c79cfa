/**
 * HogQL's `{name}` placeholders as ClickHouse's typed ones, `{name:Type}`. Values never enter the text; a `{name}`
 * inside a string, a quoted identifier or a comment is left alone, and so is a placeholder that brings its own type.
 */
import { fault, type Fault } from '../errors.ts';
import type { Sql, SqlParameters } from './store-reads.ts';

/**
 * What a placeholder cannot be in, then the placeholder. Each alternative also ends at the end of the text, and no two
 * of its parts can match the same character: reading takes linear time whatever the text is.
 */
const TOKEN = new RegExp(
  [
    String.raw`'[^'\\]*(?:(?:\\[\s\S]?|'')[^'\\]*)*(?:'|$)`,
    String.raw`"[^"\\]*(?:(?:\\[\s\S]?|"")[^"\\]*)*(?:"|$)`,
    '`[^`\\\\]*(?:(?:\\\\[\\s\\S]?|``)[^`\\\\]*)*(?:`|$)',
    String.raw`--[^\n]*`,
    String.raw`/\*[\s\S]*?(?:\*/|$)`,
    String.raw`\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*(:[^{}]*)?\}`,
  ].join('|'),
  'g',
);

interface TypedValue {
  readonly kind: 'value';
  readonly type: string;
  readonly value: SqlParameters[string];
}

/** @param values from the request's JSON; those that the text does not name are left out. */
export function bindPlaceholders(text: string, values: Readonly<Record<string, unknown>>): Sql | Fault {
  const parameters: Record<string, SqlParameters[string]> = {};
  let refusal: Fault | undefined;
  const bound = text.replace(TOKEN, (token: string, name: string | undefined, ownType: string | undefined) => {
    if (name === undefined) return token;
    const typed = Object.hasOwn(values, name)
      ? typedValue(name, values[name])
      : refused(name, `given, since the SQL names {${name}}`);
    if (typed.kind === 'fault') {
      refusal ??= typed;
      return token;
    }
    parameters[name] = typed.value;
    return ownType === undefined ? `{${name}:${typed.type}}` : token;
  });
  return refusal ?? { text: bound, parameters };
}

/** Types come from this list alone, so nothing that a client sends enters the text. */
function typedValue(name: string, value: unknown): TypedValue | Fault {
  if (value === null) return { kind: 'value', type: 'Nullable(String)', value };
  if (typeof value === 'boolean') return { kind: 'value', type: 'Bool', value };
  if (typeof value === 'string') return { kind: 'value', type: 'String', value };
  if (typeof value === 'number')
    return isUnsafe(value) ? tooLarge(name) : { kind: 'value', type: numberType(value), value };
  if (!Array.isArray(value)) return refused(name, 'a text, a number, true, false, null, or a list of texts or numbers');
  const items: readonly unknown[] = value;
  if (items.every((item) => typeof item === 'string')) return { kind: 'value', type: 'Array(String)', value: items };
  if (!items.every((item) => typeof item === 'number')) return refused(name, 'a list of texts alone or numbers alone');
  if (items.some(isUnsafe)) return tooLarge(name);
  const type = items.every(Number.isInteger) ? 'Array(Int64)' : 'Array(Float64)';
  return { kind: 'value', type, value: items };
}

function numberType(value: number): string {
  return Number.isInteger(value) ? 'Int64' : 'Float64';
}

/** A JSON number that may have been rounded on its way in; guessing would answer another question. */
function isUnsafe(value: number): boolean {
  return Number.isInteger(value) && !Number.isSafeInteger(value);
}

function tooLarge(name: string): Fault {
  return refused(name, `at most 2^53 as a number; send a larger one as text and write toInt64({${name}})`);
}

function refused(name: string, expected: string): Fault {
  return fault('invalid_parameter', { name: `query.values.${name}`, expected });
}
