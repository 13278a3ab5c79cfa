/**
 * The v0 protocol, one rule a row: a request and what it leads to, in the answer and in what is stored. `section` is that of
 * docs/protocol.md; `design` rows are rules that we changed on purpose. test/blackbox/protocol-v0.test.ts sends all of them.
 */
import { shapeRows } from './protocol-v0-shapes.ts';
import { answerRows } from './protocol-v0-answers.ts';
import { decodingRows } from './protocol-v0-decoding.ts';
import { fieldRows } from './protocol-v0-fields.ts';
import { textRows } from './protocol-v0-texts.ts';
import type { ProtocolRow } from './protocol-row.ts';

export const protocolRows: readonly ProtocolRow[] = [
  ...decodingRows,
  ...textRows,
  ...shapeRows,
  ...fieldRows,
  ...answerRows,
];
