/** Records ready for the log: `count` times a length (u32, little endian) and that many bytes. */
export interface EncodedRecords {
  readonly count: number;
  readonly bytes: Uint8Array;
}
