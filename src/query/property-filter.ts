/**
 * PostHog's property filters as SQL conditions over `properties_raw`, the text that the client sent: a key is a value
 * there, never an identifier, `a.b` is the key `a.b`, and 64-bit integers and strings are compared exactly. Costs a
 * parse of each event's text; narrow by time or event where there are many.
 *
 * As in PostHog, `1` and `"1"` are the same value, a property that is missing or null is not set, and the negative
 * operators hold for it. A list as `value` means any of them, and with a negative operator none of them.
 *
 * Two differences from what `properties` shows: of a repeated key the first value counts, and a text with an integer
 * beyond 64 bits does not parse, so none of its properties is set.
 */
import { z } from 'zod';
import { fault, type Fault } from '../errors.ts';
import type { SqlParameters } from './store-reads.ts';

export const MAX_FILTERS = 50;
export const MAX_VALUES = 1000;
export const MAX_PATTERNS = 50;

const scalar = z.union([z.string(), z.number(), z.boolean()]);
const operators = [
  'exact',
  'is_not',
  'icontains',
  'not_icontains',
  'regex',
  'not_regex',
  'gt',
  'gte',
  'lt',
  'lte',
  'is_set',
  'is_not_set',
] as const;

// Loose: PostHog's own clients send a `label` or a `group_type_index` along.
const filterSchema = z.object({
  key: z.string().min(1),
  value: z.union([scalar, z.array(scalar).min(1).max(MAX_VALUES), z.null()]).optional(),
  operator: z.enum(operators).nullish(),
  type: z.literal('event').nullish(),
});
type Filter = z.infer<typeof filterSchema>;
type Scalar = z.infer<typeof scalar>;

export interface Condition {
  readonly kind: 'condition';
  readonly sql: string;
  readonly parameters: SqlParameters;
}

/** Reads the query parameter `properties`; one condition a filter, all of which must hold. */
export function parsePropertyFilters(text: string): readonly Condition[] | Fault {
  let sent: unknown;
  try {
    sent = JSON.parse(text);
  } catch {
    return refusal('properties', 'a JSON list of {"key","value","operator","type":"event"}');
  }
  const filters = z.array(filterSchema).max(MAX_FILTERS).safeParse(sent);
  if (!filters.success) return refusal(...schemaProblem(filters.error));
  const conditions: Condition[] = [];
  for (const [index, filter] of filters.data.entries()) {
    const condition = conditionOf(filter, index);
    if (condition.kind === 'fault') return condition;
    conditions.push(condition);
  }
  return conditions;
}

function schemaProblem(error: z.ZodError): [name: string, expected: string] {
  const path = error.issues[0]?.path ?? [];
  const name = path.reduce<string>((whole, part) => `${whole}.${String(part)}`, 'properties');
  switch (path[1]) {
    case 'key':
      return [name, 'the name of a property'];
    case 'value':
      return [name, `a text, a number, true, false, or a list of 1 to ${MAX_VALUES} of them`];
    case 'operator':
      return [name, `one of ${operators.join(', ')}`];
    case 'type':
      return [name, '"event"; this version filters by no other properties'];
    case undefined:
    default:
      return [name, `a JSON list of at most ${MAX_FILTERS} objects {"key","value","operator","type":"event"}`];
  }
}

function refusal(name: string, expected: string): Fault {
  return fault('invalid_parameter', { name, expected });
}

function conditionOf(filter: Filter, index: number): Condition | Fault {
  const keyName = `property_${index}_key`;
  const valueName = `property_${index}_value`;
  // NULL when the property is missing or null; a string without its quotes; anything else as JSON text.
  const found = `JSONExtract(properties_raw, {${keyName}:String}, 'Nullable(String)')`;
  const operator = filter.operator ?? 'exact';
  const condition = (sql: string, values: SqlParameters = {}): Condition => ({
    kind: 'condition',
    sql,
    parameters: { [keyName]: filter.key, ...values },
  });
  if (operator === 'is_set') return condition(`isNotNull(${found})`);
  if (operator === 'is_not_set') return condition(`isNull(${found})`);

  const name = `properties.${index}.value`;
  const values = valuesOf(filter);
  if (values.length === 0) return refusal(name, `given: the operator ${operator} compares with it`);
  if (values.some((value) => Number.isInteger(value) && !Number.isSafeInteger(value)))
    return refusal(name, 'a text for an integer beyond 2^53, which a JSON number may not hold exactly');

  switch (operator) {
    case 'exact':
    case 'is_not': {
      const isOneOf = `ifNull(has({${valueName}:Array(String)}, ${found}), 0)`;
      return condition(negatedIf(operator === 'is_not', isOneOf), { [valueName]: values.map(String) });
    }
    case 'icontains':
    case 'not_icontains':
    case 'regex':
    case 'not_regex': {
      if (values.length > MAX_PATTERNS) return refusal(name, `a list of at most ${MAX_PATTERNS} with ${operator}`);
      const isContains = operator.endsWith('icontains');
      const parameters: Record<string, string> = {};
      const matches = values.map((value, at) => {
        parameters[`${valueName}_${at}`] = String(value);
        const wanted = `{${valueName}_${at}:String}`;
        return isContains ? `positionCaseInsensitiveUTF8(${found}, ${wanted}) > 0` : `match(${found}, ${wanted})`;
      });
      const isAny = `ifNull(${matches.join(' OR ')}, 0)`;
      return condition(negatedIf(operator.startsWith('not_'), isAny), parameters);
    }
    case 'gt':
    case 'gte':
    case 'lt':
    case 'lte': {
      const bound = boundOf(values);
      if (bound === undefined) return refusal(name, `one number with the operator ${operator}`);
      const sign = { gt: '>', gte: '>=', lt: '<', lte: '<=' }[operator];
      return condition(`ifNull(toFloat64OrNull(${found}) ${sign} {${valueName}:Float64}, 0)`, { [valueName]: bound });
    }
  }
}

function valuesOf(filter: Filter): readonly Scalar[] {
  if (Array.isArray(filter.value)) return filter.value;
  return filter.value === undefined || filter.value === null ? [] : [filter.value];
}

function negatedIf(isNegated: boolean, condition: string): string {
  return isNegated ? `NOT ${condition}` : condition;
}

/** PostHog's web app sends numbers as texts too. */
function boundOf(values: readonly Scalar[]): number | undefined {
  const [value] = values;
  if (values.length !== 1 || typeof value === 'boolean' || value === undefined) return undefined;
  if (typeof value === 'string' && value.trim() === '') return undefined;
  const bound = Number(value);
  return Number.isFinite(bound) ? bound : undefined;
}
