/** zstd frames (RFC 8878) for a Node.js without an encoder of its own: made by hand, and one of a real encoder. */

const MAX_BLOCK_BYTES = 128 * 1024;

/** The text in stored blocks, in frames of two blocks each, behind a skippable frame. */
export function zstdOfRawBlocks(text: Buffer): Buffer {
  const parts: Buffer[] = [Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3])];
  const blocks = Math.max(1, Math.ceil(text.length / MAX_BLOCK_BYTES));
  for (let i = 0; i < blocks; i++) {
    if (i % 2 === 0) parts.push(Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38])); // a window of 128 KiB
    const block = text.subarray(i * MAX_BLOCK_BYTES, (i + 1) * MAX_BLOCK_BYTES);
    const isLast = i % 2 === 1 || i === blocks - 1;
    const header = (block.length << 3) | Number(isLast);
    parts.push(Buffer.from([header & 0xff, (header >> 8) & 0xff, (header >> 16) & 0xff]), block);
  }
  return Buffer.concat(parts);
}

/** Three events named `v1 zstd encoder`, compressed by `zstd -19 --check` 1.5.4: entropy-coded literals and sequences. */
export const zstdOfAnEncoder = Buffer.from(
  'KLUv/WQxAo0IADbSNh1QbR44EJZpuh6uj0S6j3FiFqlqtVj0eIdkzKyZPS4ALgAsAPd26upvOun83k54Pc36pT/ekIL1w31rOnVC' +
    'KcYsxBIoSykDRjHN+hvj+TevrqH+Frc0S1ua9eMbbYi1dfjV6ayUxvbWI/xOLWVjvJPwLXydeqkCQXGKMizVrB8M8copOTb4+Lnl' +
    'VB86zg4JnaXwNcv1vr9bOR2n99j4oeX5OF5LIUev02nWHwmAaBFF/WyDcHvoOH5/22AkTmCn86z+8B840O7T68zHVzMbJkVR10mj' +
    'P78ZK3SWBBQgwGxoth0JFeOXET+zZzB6Eyrj9zgzXzIFiR4xcDMsyBltawzxtQxlolgYwCMDuAB0AsX00KU=',
  'base64',
);
export const uuidsOfAnEncoder = [1, 2, 3].map((n) => `01900000-cccc-7000-8000-00000000000${n}`);

/**
 * 24 bytes over which a decoder can sit for ever: the table of Huffman weights has one symbol, and reading it takes no bits,
 * so that a loop which ends when the bits do never ends.
 */
export const zstdThatNeverEnds = Buffer.from([
  ...[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38], // a window of 128 KiB
  ...[(14 << 3) | (2 << 1) | 1, 0, 0], // the last block, compressed, 14 bytes
  ...[0x02, 0x81, 0x02], // Huffman literals: 16 bytes in one stream, 10 bytes compressed
  ...[6, 0xf0, 0x03, 0, 0, 0, 1], // 6 bytes of weights: accuracy 5, all 32 states are symbol 0
  ...[0, 0, 1, 0], // the literals, and no sequences
]);
