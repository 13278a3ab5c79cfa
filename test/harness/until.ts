/** Polls until `probe` answers something; on failure says what it last saw. No test sleeps. */
export async function until<T>(
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  options: { readonly deadlineMs: number; readonly what: string },
): Promise<T> {
  const endMs = Date.now() + options.deadlineMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
      last = value;
    } catch (error) {
      last = error;
    }
    if (Date.now() > endMs) {
      throw new Error(
        `not in ${options.deadlineMs} ms: ${options.what}; last seen: ${last instanceof Error ? last.message : JSON.stringify(last)}`,
      );
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
