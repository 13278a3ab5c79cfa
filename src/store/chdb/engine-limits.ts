/** What one query may be and bring, whatever the memory; docs/limits.md names them. */
export const MAX_QUERY_TEXT_BYTES = 16 << 20;
export const MAX_ANSWER_BYTES = 256 << 20;
