/**
 * Time that passes only when nothing is left to do, and a seeded choice of what happens next.
 *
 * Replay    Nothing here asks the machine for time, order or chance: the same seed takes the same steps, of which `trace`
 *           keeps a sum and the last few.
 * Step      One callback, then all promises that follow from it: a tick that is asked for from a promise comes when no other
 *           promise is ready, so each step ends with none.
 * Order     Of what is ready any may be next, also of timers that are due at one moment. What a process asks for with
 *           `setImmediate` is ready at once; time moves when nothing is ready. Engines answer after a time of their own.
 * Process   `spawn` gives timers whose callbacks end with it, as those of a process that is killed do.
 */
import type { Clock, Timer, Timers } from '../../src/event/clock.ts';
import { asEpochMs } from '../../src/event/ids.ts';
import type { SeededRandom } from './random.ts';

const KEPT_STEPS = 50;
/** Lets the test runner have its turn. */
const STEPS_A_TURN = 20_000;
const EPOCH_MS = Date.UTC(2026, 0, 1);

interface Note {
  step: number;
  ms: number;
  who: string;
  what: string;
}

interface Task extends Timer {
  readonly owner: SimulatedProcess | undefined;
  readonly what: string;
  run: (() => void) | undefined;
  dueMs: number;
  /** Undefined: once. */
  readonly everyMs: number | undefined;
}

export class VirtualTime {
  readonly #random: SeededRandom;
  readonly #ready: Task[] = [];
  /** By `dueMs`, soonest last. */
  readonly #timers: Task[] = [];
  #nowMs = 0;
  #steps = 0;
  #sum = 0x811c9dc5;
  readonly #notes: Note[] = Array.from({ length: KEPT_STEPS }, () => ({ step: 0, ms: 0, who: '', what: '' }));
  #noted = 0;
  /** What the wall clock shows beside what has passed: it jumps. */
  skewMs = 0;
  readonly clock: Clock = {
    nowMs: () => asEpochMs(EPOCH_MS + Math.floor(this.#nowMs) + this.skewMs),
    monotonicMs: () => this.#nowMs,
  };

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  get steps(): number {
    return this.#steps;
  }

  /** Tells whether two runs took the same steps. */
  get hash(): string {
    return `${this.#steps}:${(this.#sum >>> 0).toString(16)}`;
  }

  /** The last steps, oldest first. */
  get trace(): readonly string[] {
    const from = Math.max(0, this.#noted - KEPT_STEPS);
    return Array.from({ length: this.#noted - from }, (_, i) => {
      const note = this.#notes[(from + i) % KEPT_STEPS];
      return note === undefined ? '' : `${note.step} ${note.ms.toFixed(2)} ms: ${note.who} ${note.what}`;
    });
  }

  /** Notes what was seen, which becomes part of the trace. */
  note(what: string, who = ''): void {
    let sum = Math.imul(this.#sum ^ Math.floor(this.#nowMs * 1000), 0x01000193);
    for (let i = 0; i < what.length; i++) sum = Math.imul(sum ^ what.charCodeAt(i), 0x01000193);
    for (let i = 0; i < who.length; i++) sum = Math.imul(sum ^ who.charCodeAt(i), 0x01000193);
    this.#sum = sum;
    const note = this.#notes[this.#noted % KEPT_STEPS];
    this.#noted += 1;
    if (note === undefined) return;
    note.step = this.#steps;
    note.ms = this.#nowMs;
    note.who = who;
    note.what = what;
  }

  spawn(name: string): SimulatedProcess {
    return new SimulatedProcess(this, name);
  }

  soon(run: () => void, what: string, owner?: SimulatedProcess): void {
    this.#ready.push({ owner, what, run, dueMs: 0, everyMs: undefined, unref });
  }

  after(ms: number, run: () => void, said: { what: string; owner?: SimulatedProcess; everyMs?: number }): Timer {
    const dueMs = this.#nowMs + Math.max(0.001, ms);
    const task: Task = { owner: said.owner, what: said.what, run, dueMs, everyMs: said.everyMs, unref };
    this.#insert(task);
    return task;
  }

  /** A pause of somebody who is no process under test. */
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.after(ms, resolve, { what: 'sleep' });
    });
  }

  cancel(timer: Timer | undefined): void {
    if (timer === undefined) return;
    (timer as Task).run = undefined;
  }

  /**
   * Steps until `work` is settled.
   *
   * @throws what it throws; Error when nothing is left that could settle it, or after `maxSteps`
   */
  async run<T>(work: Promise<T>, maxSteps = 2_000_000): Promise<T> {
    let state: 'open' | 'done' = 'open';
    const settle = (): void => {
      state = 'done';
    };
    work.then(settle, settle);
    const isOpen = (): boolean => state === 'open';
    await drained();
    for (const end = this.#steps + maxSteps; isOpen();) {
      if (!this.#step()) throw new Error('nothing is left to do, and it is not done');
      if (this.#steps > end) throw new Error(`no end after ${maxSteps} steps`);
      await drained();
      if (this.#steps % STEPS_A_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    return work;
  }

  #step(): boolean {
    for (;;) {
      const task = this.#pick();
      if (task === undefined) return false;
      const { run, owner } = task;
      if (run === undefined || owner?.isAlive === false) continue;
      this.#steps += 1;
      this.note(task.what, owner?.name);
      if (task.everyMs === undefined) task.run = undefined;
      else {
        task.dueMs = this.#nowMs + Math.max(1, task.everyMs);
        this.#insert(task);
      }
      run();
      return true;
    }
  }

  #pick(): Task | undefined {
    const ready = this.#ready;
    if (ready.length === 0) this.#pass();
    if (ready.length === 0) return undefined;
    const at = ready.length === 1 ? 0 : this.#random.below(ready.length);
    const picked = ready[at];
    const last = ready.pop();
    if (last !== undefined && last !== picked) ready[at] = last;
    return picked;
  }

  /** Moves on to the next moment at which a timer is due. */
  #pass(): void {
    const timers = this.#timers;
    for (let next = timers.at(-1); next !== undefined && this.#ready.length === 0; next = timers.at(-1)) {
      if (next.run === undefined || next.owner?.isAlive === false) {
        timers.pop();
        continue;
      }
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      for (; next !== undefined && next.dueMs <= this.#nowMs; next = timers.at(-1)) {
        timers.pop();
        this.#ready.push(next);
      }
    }
  }

  #insert(task: Task): void {
    const timers = this.#timers;
    let at = timers.length;
    while (at > 0 && (timers[at - 1]?.dueMs ?? 0) <= task.dueMs) at -= 1;
    timers.splice(at, 0, task);
  }
}

/** What ends together. */
export class SimulatedProcess {
  readonly name: string;
  readonly #time: VirtualTime;
  #announceEnd: () => void = () => undefined;
  isAlive = true;
  readonly ended: Promise<void>;

  constructor(time: VirtualTime, name: string) {
    this.#time = time;
    this.name = name;
    this.ended = new Promise((resolve) => {
      this.#announceEnd = resolve;
    });
  }

  readonly timers: Timers = {
    setImmediate: (run) => this.#time.soon(run, 'turn', this),
    setTimeout: (run, ms) => this.#time.after(Math.max(1, ms), run, { what: 'timeout', owner: this }),
    setInterval: (run, ms) => this.#time.after(Math.max(1, ms), run, { what: 'interval', owner: this, everyMs: ms }),
    clear: (timer) => this.#time.cancel(timer),
  };

  end(): void {
    this.isAlive = false;
    this.#announceEnd();
  }
}

function unref(): void {
  // virtual time keeps nothing alive
}

/** Resolves when no promise is ready any more. */
function drained(): Promise<void> {
  return new Promise((resolve) => {
    process.nextTick(resolve);
  });
}
