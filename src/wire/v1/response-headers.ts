/** What V1's answers say in their headers beside the usual (protocol.md 8.5). */
const HEADER_TEXT = /^[\t\x20-\x7e\x80-\xff]*$/;

/** `Tue, 31 Jan 2026 12:00:00 +0000`: V1 writes its `Date` in the form of RFC 2822. */
export function rfc2822(timeMs: number): string {
  return new Date(timeMs).toUTCString().replace('GMT', '+0000');
}

/** May this text, which came in a header, go out in one? */
export function isHeaderText(text: string): boolean {
  return HEADER_TEXT.test(text);
}
