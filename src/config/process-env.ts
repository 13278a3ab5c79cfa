/** The only place that reads the environment. Pass it on; never read it again. */
export function processEnv(): Readonly<Record<string, string | undefined>> {
  return { ...process.env };
}
