/** A machine that runs the pipeline: capture processes, a loader, one disk, one store; each may die and is started again. */
import { FairShares } from '../../src/admission/fair-shares.ts';
import { Capture, type CaptureAnswer, type CaptureRequest } from '../../src/capture/capture.ts';
import type { Fault } from '../../src/errors.ts';
import { asProjectId, type ProjectId } from '../../src/event/ids.ts';
import { startLoader, type Loader } from '../../src/loader/loader.ts';
import { noStats } from '../../src/loader/loader-stats.ts';
import type { LogReader, LogWriter } from '../../src/log/log.ts';
import { SegmentLogReader } from '../../src/log/segments/segment-log-reader.ts';
import { SegmentLogWriter } from '../../src/log/segments/segment-log-writer.ts';
import { Privacy } from '../../src/normalize/privacy.ts';
import { Metrics } from '../../src/telemetry/metrics.ts';
import type { FaultyDisk, Misbehaviour } from '../harness/faulty-disk.ts';
import type { SeededRandom } from '../harness/random.ts';
import { RefusalDoubt } from '../harness/refusal-doubt.ts';
import { SeededIds } from '../harness/seeded-ids.ts';
import type { SimulatedProcess, VirtualTime } from '../harness/virtual-time.ts';
import { MemoryStore, type MemoryDatabase, type StoreFaults, type StoreMutation } from './memory-database.ts';
import { projectKeys } from './pipeline-clients.ts';
import type { Delivery, PipelineModel } from './pipeline-model.ts';
import { ReaderTap, WriterTap } from './pipeline-taps.ts';

const DIR = '/data/log';
const MAX_QUEUE_BYTES = 40 << 10;

/** Something that the promises rest on, taken away, to see that the simulation finds it. */
export interface PipelineMutation {
  readonly disk?: Misbehaviour;
  readonly store?: StoreMutation;
  /** Between capture and the log. */
  readonly writer?: (log: LogWriter) => LogWriter;
  /** Between the log and the loader. */
  readonly reader?: (log: LogReader) => LogReader;
  /** What may wait for the log, bytes. */
  readonly maxQueueBytes?: number;
  /** What keys open. */
  readonly projectOf?: (key: string) => number | undefined;
}

export interface PipelineWorld {
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  readonly model: PipelineModel;
  readonly database: MemoryDatabase;
  readonly mutation: PipelineMutation;
  /** A promise is broken: the run ends with it. */
  readonly fail: (cause: unknown) => void;
}

/** What the disk was told to do, and no broken promise. */
export function isFault(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EIO' || error.code === 'ENOSPC');
}

interface Part {
  readonly process: SimulatedProcess;
  readonly disk: FaultyDisk;
  kill(): void;
}

export interface Front extends Part {
  readonly capture: Capture;
  readonly writer: SegmentLogWriter;
  readonly doubt: RefusalDoubt<Delivery>;
}

export interface Back extends Part {
  readonly reader: LogReader;
  readonly loader: Loader;
}

export class Machine {
  readonly #world: PipelineWorld;
  readonly #disk: FaultyDisk;
  readonly #storeFaults: StoreFaults;
  /** The longest that a call takes. */
  readonly #diskMs: number;
  readonly #processes = new Set<Part>();
  readonly #doubts: RefusalDoubt<Delivery>[] = [];
  #started = 0;
  #isOn = true;
  readonly fronts: Front[] = [];
  back: Back | undefined;

  constructor(world: PipelineWorld, disk: FaultyDisk, storeFaults: StoreFaults) {
    this.#world = world;
    this.#disk = disk;
    this.#storeFaults = storeFaults;
    this.#diskMs = world.random.chance(0.2) ? 60 : 3;
  }

  get isOn(): boolean {
    return this.#isOn && !this.#disk.hasEnded;
  }

  /** Starts so many capture processes and a loader, again and again until the machine is off. */
  start(captures: number): void {
    const watch = (work: Promise<void>): void => {
      work.catch(this.#world.fail);
    };
    for (let i = 0; i < captures; i++) watch(this.#keepUp((part) => this.#runCapture(part)));
    watch(this.#keepUp((part) => this.#runLoader(part)));
  }

  turnOff(): void {
    this.#isOn = false;
    for (const part of this.#processes) part.kill();
    this.#disk.end();
  }

  /** What may come back after a power cut though it was refused. */
  get doubtful(): readonly Delivery[] {
    return this.#doubts.flatMap((doubt) => [...doubt.items]);
  }

  /** Any process, as `kill -9` would. */
  killOne(): void {
    const parts = [...this.#processes];
    const part = parts[this.#world.random.below(parts.length)];
    if (part === undefined) return;
    this.#world.time.note('kill', part.process.name);
    part.kill();
  }

  /** Stops a process as SIGTERM would. */
  async stopOne(): Promise<void> {
    const { back } = this;
    if (back?.process.isAlive === true && this.#world.random.chance(0.5)) {
      this.#world.time.note('stop', back.process.name);
      await Promise.race([back.loader.stop(), back.process.ended]);
      back.kill();
      return;
    }
    const front = this.fronts[this.#world.random.below(this.fronts.length)];
    if (front === undefined) return;
    this.#world.time.note('stop', front.process.name);
    await Promise.race([front.writer.close(), front.process.ended]);
    front.kill();
  }

  async #keepUp(run: (part: Part) => Promise<void>): Promise<void> {
    const { time, random } = this.#world;
    while (this.isOn) {
      const part = this.#spawn();
      await Promise.race([
        part.process.ended,
        run(part).catch((error: unknown) => {
          // As `app.ts`: the process says why and exits; whoever runs it starts it again.
          if (!isFault(error) && part.process.isAlive) throw error;
        }),
      ]);
      part.kill();
      await time.sleep(1 + random.below(300));
    }
  }

  #spawn(): Part {
    const { time, random } = this.#world;
    this.#started += 1;
    const process = time.spawn(`process ${this.#started}`);
    const disk = this.#disk.process((run) => {
      time.after(this.#diskMs * random.next() ** 3, run, { what: 'disk', owner: process });
    });
    const part: Part = {
      process,
      disk,
      kill: () => {
        process.end();
        disk.kill();
        this.#processes.delete(part);
      },
    };
    this.#processes.add(part);
    return part;
  }

  async #runCapture(part: Part): Promise<void> {
    const { time, random, model, mutation } = this.#world;
    const { process, disk } = part;
    const ids = new SeededIds(random);
    const doubt = new RefusalDoubt<Delivery>();
    this.#doubts.push(doubt);
    const writer = await SegmentLogWriter.open({
      dir: DIR,
      disk,
      ids,
      clock: time.clock,
      timers: process.timers,
      segmentBytes: 64 * 1024,
      maxQueueBytes: mutation.maxQueueBytes ?? MAX_QUEUE_BYTES,
      reserveBytes: 1 << 20,
      retryMs: 50,
      tidyMs: 200,
      onFault: doubt.onFault,
    });
    const tap = new WriterTap(writer, model, MAX_QUEUE_BYTES);
    const projectOf = mutation.projectOf ?? ((key: string) => 1 + projectKeys.findIndex((known) => known === key));
    const capture = new Capture({
      log: mutation.writer?.(tap) ?? tap,
      ids,
      clock: time.clock,
      metrics: new Metrics(),
      shares: new FairShares<ProjectId>(mutation.maxQueueBytes ?? MAX_QUEUE_BYTES),
      gate: { take: () => undefined, giveBack: () => undefined },
      privacy: new Privacy({ projectPrivacy: () => new Map() }),
      keys: {
        findProjectKey: (key) => {
          const revokedAtMs = key === 'phc_revoked' ? time.clock.nowMs() : undefined;
          return { kind: 'public', projectId: asProjectId(projectOf(key) ?? 0), revokedAtMs };
        },
        findPersonalKey: () => undefined,
        notePersonalKeyUse: () => undefined,
      },
      limits: { maxEventBytes: 1 << 20, maxAiEventBytes: 1 << 20, maxInflatedBytes: 1 << 20 },
    });
    const front: Front = { ...part, capture, writer, doubt };
    this.fronts.push(front);
    await process.ended;
  }

  async #runLoader(part: Part): Promise<void> {
    const { time, model, database, mutation } = this.#world;
    const { process, disk } = part;
    const { timers } = process;
    const log = await SegmentLogReader.open({ dir: DIR, disk, timers });
    const tap = new ReaderTap(log, model);
    const store = new MemoryStore(database, { time, owner: process, faults: this.#storeFaults });
    const reader = mutation.reader?.(tap) ?? tap;
    const loader = startLoader({ reader, store, timers, clock: time.clock, stats: noStats });
    this.back = { ...part, reader: log, loader };
    await loader.done;
  }

  /** As `http/` does: asked before the body is read, then answered, unless the process dies before. */
  async answer(front: Front, request: CaptureRequest, delivery: Delivery): Promise<CaptureAnswer | Fault> {
    front.doubt.begin(delivery);
    const answer = await front.capture.handle(request);
    front.doubt.end(delivery, answer.kind === 'stored' ? 'receipt' : 'refused');
    return answer;
  }

  liveFronts(): readonly Front[] {
    return this.fronts.filter(({ process }) => process.isAlive);
  }
}
