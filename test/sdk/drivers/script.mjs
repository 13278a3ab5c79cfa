/** What the drivers in JavaScript share: the script's values and the lines they print. */
import { randomUUID } from 'node:crypto';
import { createInterface } from 'node:readline';

export const BURST = 250;
const LOT = 25;
const PAUSE_MS = 60;

export function print(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Whole milliseconds, yesterday, so that each `n` has an instant of its own. */
const baseMs = Date.now() - 86_400_000;

export function instantOf(n) {
  return new Date(baseMs + n * 1001);
}

export const rich = {
  n: -1,
  $ignore_sent_at: true,
  text: 'naïve 日本語 😀 "quoted" back\\slash \n line\ttab \u2028',
  empty: '',
  yes: true,
  no: false,
  nothing: null,
  zero: 0,
  integer: -42,
  largest: Number.MAX_SAFE_INTEGER,
  float: 1.5,
  third: 1 / 3,
  tiny: 1e-7,
  nested: { list: [1, 'two', null, { three: [true, 0.25] }], empty: {}, none: [], 'a.b c': 'x' },
  ключ: 'значение',
};

/** An event that leaves its uuid and time to the SDK says null; the suite then checks what can be known. */
export function claim(event, distinctId, properties, chosen = {}) {
  print({
    claim: {
      event,
      distinct_id: distinctId,
      uuid: chosen.uuid ?? null,
      timestamp: chosen.timestamp?.toISOString() ?? null,
      properties,
    },
  });
}

export function chosenFor(n) {
  return n % 2 === 0 || n < 0 ? { uuid: randomUUID(), timestamp: instantOf(n) } : {};
}

/** Calls `capture(n)` for the burst, in lots; stops before the ninth lot until the suite says go on. */
export async function burst(capture) {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  for (let n = 0; n < BURST; n++) {
    if (n === 4 * LOT) print({ half: true });
    if (n === 8 * LOT) await lines.next();
    capture(n);
    if (n % LOT === LOT - 1) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  process.stdin.destroy();
}
