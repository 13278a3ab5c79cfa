/**
 * The `options` of one event (protocol.md 8.2), read leniently: SDKs in many languages write a boolean in many ways. What
 * cannot be read refuses the event, since it would be stored as something its sender did not mean.
 */
import type { JsonScanner } from '../json/json-scanner.ts';
import { stringText } from '../json/json-text.ts';

export interface EventOptions {
  readonly cookielessMode: boolean | undefined;
  readonly disableSkewCorrection: boolean | undefined;
  readonly processPersonProfile: boolean | undefined;
  readonly productTourId: string | undefined;
  /** Says what cannot be read. */
  readonly problem: string | undefined;
}

type BooleanOption = 'cookielessMode' | 'disableSkewCorrection' | 'processPersonProfile';

export const noOptions: EventOptions = {
  cookielessMode: undefined,
  disableSkewCorrection: undefined,
  processPersonProfile: undefined,
  productTourId: undefined,
  problem: undefined,
};

const OPTION_KEYS: ReadonlyMap<string, BooleanOption | 'productTourId'> = new Map([
  ['cookieless_mode', 'cookielessMode'],
  ['disable_skew_correction', 'disableSkewCorrection'],
  ['process_person_profile', 'processPersonProfile'],
  ['product_tour_id', 'productTourId'],
]);
const LONGEST_KEY_BYTES = 64; // also when written with escapes: longer ones are none of ours
const MAX_VALUE_BYTES = 1024;
const TRUE_WORDS = new Set(['true', 't', 'yes', 'y', 'on']);
const FALSE_WORDS = new Set(['false', 'f', 'no', 'n', 'off']);
const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/;

/** At the `{` of `options`: passes the object. @throws BadJson as the scanner does */
export function readOptions(scanner: JsonScanner): EventOptions {
  const { text } = scanner;
  if (!scanner.openObject()) return noOptions;
  const options: { -readonly [K in keyof EventOptions]: EventOptions[K] } = { ...noOptions };
  do {
    scanner.key();
    const { stringStart: start, stringEnd: end, stringIsEscaped: isEscaped } = scanner;
    const key = end - start > LONGEST_KEY_BYTES ? '' : stringText(text, { start, end, isEscaped });
    const option = OPTION_KEYS.get(key);
    scanner.peek();
    const valueStart = scanner.at;
    scanner.value();
    if (option === undefined) continue;
    if (scanner.at - valueStart > MAX_VALUE_BYTES) {
      options.problem ??= `"${key}" is longer than ${MAX_VALUE_BYTES} bytes`;
      continue;
    }
    const value: unknown = JSON.parse(text.toString('utf8', valueStart, scanner.at));
    if (option === 'productTourId') {
      if (value === null || typeof value === 'string') options.productTourId = textOption(value);
      else options.problem ??= `"${key}" is no string`;
      continue;
    }
    const read = booleanOption(value);
    if (read === 'unreadable') options.problem ??= `"${key}" is neither true nor false`;
    else options[option] = read;
  } while (scanner.nextMember());
  return options;
}

function textOption(value: string | null): string | undefined {
  return value === null || value.trim() === '' ? undefined : value;
}

function booleanOption(value: unknown): boolean | undefined | 'unreadable' {
  if (value === null || typeof value === 'boolean') return value ?? undefined;
  if (typeof value === 'number') return value !== 0;
  if (typeof value !== 'string') return 'unreadable';
  const word = value.trim().toLowerCase();
  if (word === '') return undefined;
  if (TRUE_WORDS.has(word)) return true;
  if (FALSE_WORDS.has(word)) return false;
  return NUMBER.test(word) ? Number(word) !== 0 : 'unreadable';
}
