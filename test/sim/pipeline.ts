/**
 * The whole pipeline in virtual time: clients that send and send again, machines that run capture, log and loader on a bad
 * disk and a bad store and end at any step, and a calm one at last, on which the loader catches up. The promises are in
 * pipeline-model.ts.
 */
import type { CaptureRequest } from '../../src/capture/capture.ts';
import { formatUuid } from '../../src/event/uuid.ts';
import type { LogReader } from '../../src/log/log.ts';
import { parseQuery } from '../../src/wire/v0/query-parameters.ts';
import { FaultyDisk } from '../harness/faulty-disk.ts';
import { PromiseBroken } from '../harness/promise-broken.ts';
import { SeededRandom } from '../harness/random.ts';
import { SeededIds } from '../harness/seeded-ids.ts';
import { VirtualTime } from '../harness/virtual-time.ts';
import { calmStore, MemoryDatabase } from './memory-database.ts';
import { runClient, type Answer, type Sender } from './pipeline-clients.ts';
import { Machine, type Front, type PipelineMutation, type PipelineWorld } from './pipeline-machine.ts';
import { PipelineModel, type Delivery, type SentEvent } from './pipeline-model.ts';

const ANSWER_TIMEOUT_MS = 2_000;
const CATCH_UP_MS = 120_000;

export interface PipelineSummary {
  readonly acknowledged: number;
  readonly stored: number;
  readonly duplicates: number;
  readonly rejections: number;
  readonly refused: number;
  readonly unknown: number;
  readonly steps: number;
  /** Of all steps: the same for the same seed. */
  readonly hash: string;
}

/** @throws PromiseBroken */
export async function simulatePipeline(seed: number, mutation: PipelineMutation = {}): Promise<PipelineSummary> {
  const random = new SeededRandom(seed);
  const time = new VirtualTime(random);
  const database = new MemoryDatabase(random, mutation.store);
  const model = new PipelineModel(database);
  try {
    await time.run(
      new Promise<void>((resolve, reject) => {
        const world: PipelineWorld = { time, random, model, database, mutation, fail: reject };
        new Life(world).run().then(resolve, reject);
      }),
    );
  } catch (error) {
    throw new PromiseBroken(seed, error, time.trace);
  }
  return { ...model.counts, steps: time.steps, hash: time.hash };
}

class Life implements Sender {
  readonly #world: PipelineWorld;
  readonly #ids: SeededIds;
  #machine: Machine | undefined;

  constructor(world: PipelineWorld) {
    this.#world = world;
    this.#ids = new SeededIds(world.random);
  }

  async run(): Promise<void> {
    const { time, random, model, database, mutation, fail } = this.#world;
    let disk = new FaultyDisk(random);
    const clients = Promise.all(
      Array.from({ length: 1 + random.below(6) }, () =>
        runClient({ time, random, ids: this.#ids, sender: this, sent: model.sent }, 2 + random.below(12)),
      ),
    );
    clients.catch(fail);
    const doubtful: Delivery[] = [];
    const machines = 1 + random.below(4);
    for (let i = 0; i < machines; i++) {
      disk.behaviour = {
        endsAtCall: random.chance(0.7) ? 1 + random.below(random.chance(0.3) ? 80 : 1500) : undefined,
        failureRate: random.chance(0.4) ? (random.chance(0.25) ? 0.2 : 0.02) : 0,
        shortWriteRate: random.chance(0.3) ? 0.2 : 0,
        ...mutation.disk,
      };
      const isStoreBad = random.chance(0.6);
      const machine = new Machine(this.#world, disk, {
        failureRate: isStoreBad ? 0.1 * random.next() : 0,
        deathRate: isStoreBad ? 0.05 * random.next() : 0,
      });
      this.#machine = machine;
      machine.start(1 + random.below(2));
      await Promise.race([disk.ended, this.#trouble(machine, disk)]);
      machine.turnOff();
      const how = random.chance(0.6) ? 'power_cut' : 'kill';
      time.note(how);
      doubtful.push(...machine.doubtful);
      if (how === 'power_cut') {
        for (const delivery of doubtful) if (delivery.fate === 'refused') delivery.fate = 'doubtful';
      }
      database.lose(how === 'power_cut' ? 0.7 : 0.1);
      model.checkVisible();
      disk = disk.reboot(how);
      await time.sleep(random.below(500));
    }
    disk.behaviour = {};
    const machine = new Machine(this.#world, disk, calmStore);
    this.#machine = machine;
    machine.start(1);
    await clients;
    await this.#catchUp(machine);
    model.checkEnd();
    machine.turnOff();
  }

  /** What befalls a machine, until its time is over. */
  async #trouble(machine: Machine, disk: FaultyDisk): Promise<void> {
    const { time, random, model } = this.#world;
    const usualFree = disk.free;
    for (let rest = random.below(12); rest > 0 && machine.isOn; rest--) {
      await time.sleep(random.below(300));
      const chance = random.next();
      if (chance < 0.25) machine.killOne();
      else if (chance < 0.35) await machine.stopOne();
      else if (chance < 0.45) time.skewMs += (random.next() - 0.5) * 600_000;
      else if (chance < 0.55) disk.free = random.chance(0.5) ? random.below(1 << 20) : usualFree;
      else model.checkVisible();
    }
    disk.free = usualFree;
    await time.sleep(random.below(1000));
  }

  /** Until all that is durable is committed. */
  async #catchUp(machine: Machine): Promise<void> {
    const { time } = this.#world;
    const deadlineMs = time.clock.monotonicMs() + CATCH_UP_MS;
    for (;;) {
      await time.sleep(100);
      const back = machine.back;
      // Until its writer has recovered a stream, a reader may see less of it than is durable.
      if (machine.liveFronts().length > 0 && back?.process.isAlive === true && (await isCaughtUp(back.reader))) return;
      if (time.clock.monotonicMs() > deadlineMs) throw new Error('the loader does not catch up');
    }
  }

  send(_key: string, body: Buffer, events: readonly SentEvent[]): Promise<Answer> {
    const { time, random } = this.#world;
    return new Promise((resolve) => {
      time.after(ANSWER_TIMEOUT_MS, () => resolve({ kind: 'lost' }), { what: 'client: no answer' });
      const arrivals = random.chance(0.03) ? 2 : 1; // the network brings it twice
      for (let i = 0; i < arrivals; i++) {
        time.after(10 * random.next() ** 2, () => this.#arrive(body, events, resolve), { what: 'request' });
      }
    });
  }

  #arrive(body: Buffer, events: readonly SentEvent[], resolve: (answer: Answer) => void): void {
    const { random, fail } = this.#world;
    const fronts = this.#machine?.liveFronts() ?? [];
    const front = fronts[random.below(fronts.length)];
    if (front === undefined) {
      resolve({ kind: 'lost' });
      return;
    }
    const readiness = front.capture.readiness();
    if (readiness.kind === 'refused') {
      this.#reply(front, { kind: 'fault', code: readiness.code }, resolve);
      return;
    }
    this.#handle(front, body, events).then((answer) => this.#reply(front, answer, resolve), fail);
  }

  async #handle(front: Front, body: Buffer, events: readonly SentEvent[]): Promise<Answer> {
    const { model, time } = this.#world;
    const id = new Uint8Array(16);
    this.#ids.writeUuidV7(time.clock.nowMs(), id, 0);
    const delivery = model.deliver(formatUuid(id, 0), events);
    const machine = this.#machine;
    if (machine === undefined) return { kind: 'lost' };
    const answer = await machine.answer(front, this.#requestOf(Buffer.from(body), id), delivery);
    // What a dying process decides nobody hears of.
    if (!front.process.isAlive || front.disk.hasEnded) return { kind: 'lost' };
    const isKept = answer.kind === 'stored' || events.every(({ kind }) => kind !== 'good');
    const isRefused = answer.kind === 'fault' && (answer.code === 'revoked_api_key' || REFUSALS.has(answer.code));
    model.answered(delivery, isRefused ? 'refused' : isKept ? 'kept' : 'unknown');
    if (!isRefused && !isKept)
      throw new Error(`S1: good events were answered with ${answer.kind === 'fault' ? answer.code : ''}`);
    return answer.kind === 'stored' ? { kind: 'kept' } : { kind: 'fault', code: answer.code };
  }

  /** The way back, on which it may be lost. */
  #reply(front: Front, answer: Answer, resolve: (answer: Answer) => void): void {
    const { time, random } = this.#world;
    if (random.chance(0.05)) return;
    time.after(10 * random.next() ** 2, () => resolve(answer), { what: `answer ${answer.kind}`, owner: front.process });
  }

  #requestOf(body: Buffer, requestId: Uint8Array): CaptureRequest {
    const parameters = parseQuery('');
    if (parameters.kind === 'fault') throw new Error(parameters.detail);
    return {
      method: 'POST',
      path: '/batch',
      parameters,
      contentType: 'application/json',
      contentEncoding: undefined,
      authorization: undefined,
      personalApiKeyHeader: undefined,
      userAgent: undefined,
      body,
      receivedAtMs: this.#world.time.clock.nowMs(),
      requestId,
      ip: '127.0.0.1',
    };
  }
}

const REFUSALS: ReadonlySet<string> = new Set([
  'overloaded',
  'over_fair_share',
  'disk_full',
  'log_unavailable',
  'draining',
  'rate_limited',
]);

async function isCaughtUp(reader: LogReader): Promise<boolean> {
  for (const stream of await reader.streams()) {
    const { sequence } = await reader.committed(stream);
    if (sequence < (await reader.durableEnd(stream)).sequence) return false;
  }
  return true;
}
