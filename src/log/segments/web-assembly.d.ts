/** What we use of it; the types of Node.js 20 leave it out. */
declare namespace WebAssembly {
  class Memory {
    /** @throws RangeError where the system grants no address space. Pages of 64 KiB. */
    constructor(descriptor: { readonly initial: number });
    /** Detaches the buffer it gave before. @returns the earlier number of pages */
    grow(pages: number): number;
    readonly buffer: ArrayBuffer;
  }
}
