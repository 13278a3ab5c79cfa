/** What the doctor says about one thing that it looked at. */
export interface Finding {
  readonly check: DoctorCheck;
  /** `warn`: works, and may surprise. `fail`: the server does not start, or would lose or refuse events. */
  readonly status: 'ok' | 'warn' | 'fail';
  readonly text: string;
  /** What to do, as a sentence; undefined when there is nothing to do. */
  readonly todo: string | undefined;
}

export const doctorChecks = [
  'versions',
  'data_folder',
  'disk_space',
  'sync_latency',
  'clock',
  'port',
  'server',
  'log',
  'store',
] as const;
export type DoctorCheck = (typeof doctorChecks)[number];

export function ok(check: DoctorCheck, text: string): Finding {
  return { check, status: 'ok', text, todo: undefined };
}
