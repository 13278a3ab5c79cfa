import { describe, expect, it } from 'vitest';
import { isPersonalKeyShape, projectKeyProblem } from './key-shape.ts';

describe('the shape of a project key, protocol.md 4', () => {
  const rows: readonly [name: string, text: string, problem: ReturnType<typeof projectKeyProblem>][] = [
    ['no text is empty', '', 'empty'],
    ['one byte is enough', 'k', undefined],
    ['no prefix is required', 'any-other string', undefined],
    ['63 bytes pass', 'a'.repeat(63), undefined],
    ['64 bytes pass', 'a'.repeat(64), undefined],
    ['65 bytes are too long', 'a'.repeat(65), 'too_long'],
    ['bytes count, not characters: 33 of two bytes are too long', 'é'.repeat(33), 'too_long'],
    ['32 of two bytes are 64 bytes, and not ASCII', 'é'.repeat(32), 'not_ascii'],
    ['an emoji is not ASCII', 'phc_😀', 'not_ascii'],
    ['a long personal key is too long before it is personal', `phx_${'a'.repeat(61)}`, 'too_long'],
    ['a personal key that is not ASCII is not ASCII first', 'phx_é', 'not_ascii'],
    ['a personal key', 'phx_abc', 'personal_api_key'],
    ['a personal key with NUL is a personal key first', 'phx_\0', 'personal_api_key'],
    ['NUL', 'phc_\0abc', 'null_byte'],
    ['0x7f is ASCII', '\x7f', undefined],
    ['0x80 is not', '\x80', 'not_ascii'],
  ];
  for (const [name, text, problem] of rows) it(name, () => expect(projectKeyProblem(text)).toBe(problem));
});

describe('the shape of a personal key', () => {
  const rows: readonly [name: string, text: string, isShape: boolean][] = [
    ['the prefix alone is none', 'phx_', false],
    ['the prefix and one byte', 'phx_a', true],
    ['another prefix', 'phc_abc', false],
    ['255 bytes pass', `phx_${'a'.repeat(251)}`, true],
    ['256 bytes pass', `phx_${'a'.repeat(252)}`, true],
    ['257 bytes are too many', `phx_${'a'.repeat(253)}`, false],
    ['a space would not survive a header', 'phx_a ', false],
    ['nor would a letter beyond ASCII', 'phx_é', false],
  ];
  for (const [name, text, isShape] of rows) it(name, () => expect(isPersonalKeyShape(text)).toBe(isShape));
});
