import { isUtf8 } from 'node:buffer';
import { type Fault, fault } from '../../errors.ts';
import { BadJson, JsonScanner } from '../json/json-scanner.ts';
import { isWord, placeOf } from '../json/json-text.ts';
import type { OtlpLevel } from './otlp-signal.ts';

const OPEN_BRACE = 0x7b;
const OPEN_BRACKET = 0x5b;

/** How many records an OTLP request in JSON holds. Checks all of it; cost: one pass, no objects. */
export function countJsonRecords(body: Buffer, levels: readonly OtlpLevel[]): number | Fault {
  if (!isUtf8(body)) return fault('invalid_encoding', { problem: 'invalid UTF8 in request payload' });
  const scanner = new JsonScanner();
  scanner.reset(body);
  try {
    if (scanner.peek() !== OPEN_BRACE) scanner.fail('expected an object');
    const count = countIn(scanner, levels, 0);
    if (scanner.peek() !== -1) throw new BadJson('trailing characters', scanner.at);
    return count;
  } catch (error) {
    if (!(error instanceof BadJson)) throw error;
    return fault('invalid_json', { problem: error.message, ...placeOf(body, error.position) });
  }
}

/** At any value, which should be the message (or the list of messages) of `levels[depth]`: passes it. */
function countIn(scanner: JsonScanner, levels: readonly OtlpLevel[], depth: number): number {
  const level = levels[depth];
  const first = scanner.peek();
  let count = 0;
  if (first === OPEN_BRACKET) {
    if (!scanner.openArray()) return 0;
    do {
      if (level === undefined || scanner.peek() !== OPEN_BRACE) scanner.value();
      else count += countIn(scanner, levels, depth);
      if (level === undefined) count += 1;
    } while (scanner.nextElement());
    return count;
  }
  if (level === undefined || first !== OPEN_BRACE) {
    scanner.value();
    return 0;
  }
  if (!scanner.openObject()) return 0;
  do {
    scanner.key();
    if (level.names.some((name) => isKey(scanner, name))) count += countIn(scanner, levels, depth + 1);
    else scanner.value();
  } while (scanner.nextMember());
  return count;
}

/** Bytes against bytes: a request may have millions of keys. */
function isKey(scanner: JsonScanner, name: Buffer): boolean {
  return isWord(scanner.text, { start: scanner.stringStart, end: scanner.stringEnd }, name);
}
