/**
 * Runs seeds for a while, or one of them again.
 *
 *   HEDGEROW_SIM_SECONDS  how long, all simulations together; 20 unless told, from the same seed each time
 *   HEDGEROW_SIM_SEED     that one alone, of each simulation that is run; a failure prints the command
 */
import { PromiseBroken, replayCommand } from '../harness/promise-broken.ts';

const SHORT_SECONDS = 20;
/** On a machine that is busy with something else, too. */
const MIN_SEEDS = 40;

export interface SeededRun {
  readonly name: string;
  /** Of the time there is. */
  readonly share: number;
  readonly simulate: (seed: number) => Promise<Readonly<Record<string, number | string>>>;
}

/** @returns how many seeds there were, and the sums of what they counted; undefined when one alone was wanted */
export async function runSeeds(run: SeededRun): Promise<{ seeds: number; sums: Record<string, number> } | undefined> {
  const { name, share, simulate } = run;
  const wanted = process.env['HEDGEROW_SIM_SEED'];
  if (wanted !== undefined) {
    console.log(`${name}: seed ${wanted}: ${JSON.stringify(await oneSeed(run, Number(wanted)))}`);
    return undefined;
  }
  const told = process.env['HEDGEROW_SIM_SECONDS'];
  const seconds = (told === undefined ? SHORT_SECONDS : Number(told)) * share;
  // A long run looks where no other has been; a short one takes the same time and the same way each time.
  const first = told === undefined ? 1 : Math.floor(Math.random() * 0x7fff_ffff);
  const sums: Record<string, number> = {};
  const startMs = performance.now();
  const cpu = process.cpuUsage();
  let seeds = 0;
  for (; seeds < MIN_SEEDS || performance.now() - startMs < seconds * 1000; seeds++) {
    for (const [what, count] of Object.entries(await oneSeed({ name, share, simulate }, first + seeds))) {
      if (typeof count === 'number') sums[what] = (sums[what] ?? 0) + count;
    }
  }
  const { user, system } = process.cpuUsage(cpu);
  const perMinute = (ms: number): string => Math.round((seeds * 60_000) / ms).toLocaleString('en');
  console.log(
    `${name}: ${seeds} seeds from ${first}, ${perMinute(performance.now() - startMs)} a minute ` +
      `(${perMinute((user + system) / 1000)} a minute of a core): ${JSON.stringify(sums)}`,
  );
  return { seeds, sums };
}

async function oneSeed(
  { name, simulate }: SeededRun,
  seed: number,
): Promise<Readonly<Record<string, number | string>>> {
  try {
    return await simulate(seed);
  } catch (error) {
    if (!(error instanceof PromiseBroken)) throw error;
    const said = `${name}, ${error.message}\nreplay: ${replayCommand(name, seed)}\nlast steps:\n${error.trace.join('\n')}`;
    throw new Error(said, { cause: error });
  }
}
