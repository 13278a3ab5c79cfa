import { type Fault, fault } from '../../errors.ts';
import { BadJson, JsonScanner } from '../json/json-scanner.ts';
import { isWord, placeOf, stringText } from '../json/json-text.ts';

const QUOTE = 0x22;
const OPEN_BRACE = 0x7b;
const TOKEN_NAMES = [Buffer.from('token'), Buffer.from('api_key')];

export interface FlagsRequest {
  readonly kind: 'flags_request';
  /** `token` or `api_key` (sdks.md 4: Python and others say `api_key`, JavaScript `token`); undefined when absent. */
  readonly token: string | undefined;
}

/**
 * Reads a flags request: one JSON object. Persons, groups and the rest are checked as JSON and ignored.
 *
 * @param text decoded, valid UTF-8
 */
export function readFlagsRequest(text: Buffer): FlagsRequest | Fault {
  const scanner = new JsonScanner();
  scanner.reset(text);
  try {
    if (scanner.peek() !== OPEN_BRACE) scanner.fail('expected an object');
    const token = topLevelToken(scanner);
    if (scanner.peek() !== -1) throw new BadJson('trailing characters', scanner.at);
    return { kind: 'flags_request', token };
  } catch (error) {
    if (!(error instanceof BadJson)) throw error;
    return fault('invalid_json', { problem: error.message, ...placeOf(text, error.position) });
  }
}

/** At `{`: passes the object. */
function topLevelToken(scanner: JsonScanner): string | undefined {
  let token: string | undefined;
  if (!scanner.openObject()) return undefined;
  do {
    scanner.key();
    const name = { start: scanner.stringStart, end: scanner.stringEnd };
    if (TOKEN_NAMES.some((word) => isWord(scanner.text, name, word)) && scanner.peek() === QUOTE) {
      scanner.string();
      token ??= stringText(scanner.text, {
        start: scanner.stringStart,
        end: scanner.stringEnd,
        isEscaped: scanner.stringIsEscaped,
      });
    } else {
      scanner.value();
    }
  } while (scanner.nextMember());
  return token;
}
