import { expect, it } from 'vitest';
import { RandomIds } from './id-source.ts';
import { formatUuid } from './uuid.ts';

const ids = new RandomIds();

it.each([
  [0, '00000000-0000-7'],
  [-5, '00000000-0000-7'],
  [1, '00000000-0001-7'],
  [0xffff, '00000000-ffff-7'],
  [0x0190_b3f2_5d5c, '0190b3f2-5d5c-7'],
  [0x9fff_ffff_fffe + 0.7, '9fffffff-fffe-7'],
  [2 ** 48 + 1, 'ffffffff-ffff-7'],
])('writes the time %d in front (RFC 9562 5.7)', (timeMs, head) => {
  const bytes = new Uint8Array(20);
  ids.writeUuidV7(timeMs, bytes, 2);
  const text = formatUuid(bytes.subarray(2, 18));
  expect(text.slice(0, 15)).toBe(head);
  expect(text[19]).toMatch(/[89ab]/);
  expect([bytes[0], bytes[1], bytes[18], bytes[19]]).toEqual([0, 0, 0, 0]);
});

it('never gives one twice, also when the pool is drawn anew', () => {
  const seen = new Set<string>();
  const bytes = new Uint8Array(16);
  for (let i = 0; i < 10_000; i++) {
    ids.writeUuidV7(1, bytes, 0);
    seen.add(formatUuid(bytes));
  }
  expect(seen.size).toBe(10_000);
});

it('fills words that are the same bytes', () => {
  const words = new Int32Array(4);
  ids.fillUuidV7(0x0190_b3f2_5d5c, words);
  expect((words[0] ?? 0) >>> 0).toBe(0x0190_b3f2);
  expect((words[1] ?? 0) >>> 12).toBe(0x5_d5c7);
  expect((words[2] ?? 0) >>> 30).toBe(2);
});
