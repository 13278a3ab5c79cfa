/** Text as UTF-8 bytes that lie in somebody's buffer: `bytes[start, end)`. Valid as long as that buffer is. */
export interface TextSlice {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
}

export const emptySlice: TextSlice = { bytes: new Uint8Array(0), start: 0, end: 0 };

export function sliceOf(text: string): TextSlice {
  const bytes = Buffer.from(text, 'utf8');
  return { bytes, start: 0, end: bytes.length };
}

export function textOf(slice: TextSlice): string {
  return Buffer.from(slice.bytes.buffer, slice.bytes.byteOffset, slice.bytes.byteLength).toString(
    'utf8',
    slice.start,
    slice.end,
  );
}
