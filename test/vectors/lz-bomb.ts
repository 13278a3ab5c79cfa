/**
 * LZ-string text that grows fastest: each code names the entry that it makes itself, so that each step adds a longer copy.
 *
 * @returns what decodes to `a` so many times: codes + 1 + codes * (codes + 1) / 2
 */
export function lzBomb(codes: number): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  const bits: number[] = [];
  const put = (value: number, width: number): void => {
    for (let i = 0; i < width; i++) bits.push((value >> i) & 1);
  };
  put(0, 2);
  put(0x61, 8);
  let entries = 4;
  let width = 3;
  let untilWider = 4;
  for (let i = 0; i < codes; i++) {
    put(entries, width);
    entries += 1;
    untilWider -= 1;
    if (untilWider === 0) {
      untilWider = 2 ** width;
      width += 1;
    }
  }
  put(2, width);
  const chars: string[] = [];
  for (let i = 0; i < bits.length; i += 6) {
    let value = 0;
    for (let bit = 0; bit < 6; bit++) value = (value << 1) | (bits[i + bit] ?? 0);
    chars.push(alphabet.charAt(value));
  }
  return chars.join('');
}
