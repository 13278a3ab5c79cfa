import { fault, type Fault } from '../errors.ts';
import type { Limits } from '../limits/limits.ts';
import { limitNames, limitsJson, limitWireNames } from '../limits/limits-json.ts';
import { limitRules, type LimitsChange } from '../registry/project-limits.ts';
import type { Registry } from '../registry/registry.ts';
import { parseBody } from './hogql-query.ts';
import { jsonAnswer, type ProjectRead, type ReadAnswer } from './read-exchange.ts';

export interface LimitsPlaces {
  readonly registry: Registry;
  readonly limits: Pick<Limits, 'usedThisMonth'>;
}

/** `GET /api/projects/:project/limits/` */
export function showLimits({ project }: ProjectRead, { registry, limits }: LimitsPlaces): ReadAnswer {
  const json = limitsJson(registry.projectLimits().get(project.id), limits.usedThisMonth(project.id));
  return jsonAnswer(JSON.stringify(json));
}

/** `PUT /api/projects/:project/limits/`: what is left out stays, null ends a limit. Answers like GET. */
export async function changeLimits(read: ProjectRead, places: LimitsPlaces): Promise<ReadAnswer | Fault> {
  const sent = parseBody(read.request.body);
  if (sent.kind === 'fault') return sent;
  const change = changeOf(sent.value);
  if (change.kind === 'fault') return change;
  const changed = await places.registry.setProjectLimits(read.project.id, change.change);
  return changed === undefined ? fault('unknown_project') : showLimits(read, places);
}

/** `used_this_month` may be there, so that an answer can be changed and sent back; it changes nothing. */
function changeOf(body: unknown): { readonly kind: 'change'; readonly change: LimitsChange } | Fault {
  const known: readonly string[] = [...Object.values(limitWireNames), 'used_this_month'];
  if (!isObject(body) || Object.keys(body).some((name) => !known.includes(name))) {
    const expected = `an object of ${Object.values(limitWireNames).join(', ')}, each a number or null, and nothing else`;
    return fault('invalid_parameter', { name: 'body', expected });
  }
  const change: { -readonly [Name in keyof LimitsChange]: LimitsChange[Name] } = {};
  for (const name of limitNames) {
    const value = body[limitWireNames[name]];
    if (value === undefined) continue;
    if (value === null) change[name] = 'none';
    else if (typeof value === 'number' && limitRules[name].isValid(value)) change[name] = value;
    else {
      return fault('invalid_parameter', {
        name: limitWireNames[name],
        expected: `${limitRules[name].expected}, or null for none`,
      });
    }
  }
  return { kind: 'change', change };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
