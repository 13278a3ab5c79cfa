/** Stand between the parts of the pipeline and tell the model what passes. */
import type {
  AppendReadiness,
  AppendReceipt,
  AppendRefusal,
  LogOffset,
  LogReader,
  LogWriter,
} from '../../src/log/log.ts';
import type { ReadRecords, RecordBatch, StreamId } from '../../src/log/log.ts';
import type { PipelineModel } from './pipeline-model.ts';

/** A writer that says what waits for it. */
export type MeasuredWriter = LogWriter & { readonly queuedBytes: number };

export class WriterTap implements LogWriter {
  readonly #log: MeasuredWriter;
  readonly #model: PipelineModel;
  readonly #maxQueueBytes: number;

  constructor(log: MeasuredWriter, model: PipelineModel, maxQueueBytes: number) {
    this.#log = log;
    this.#model = model;
    this.#maxQueueBytes = maxQueueBytes;
  }

  get stream(): StreamId {
    return this.#log.stream;
  }

  async append(batch: RecordBatch): Promise<AppendReceipt | AppendRefusal> {
    const copy = { count: batch.count, bytes: Uint8Array.from(batch.bytes) };
    const outcome = this.#log.append(batch);
    const { queuedBytes } = this.#log;
    if (queuedBytes > this.#maxQueueBytes) throw new Error(`S8: ${queuedBytes} bytes wait for the log`);
    const settled = await outcome;
    if (settled.kind === 'receipt') this.#model.noteReceipt(copy);
    return settled;
  }

  readiness(): AppendReadiness {
    return this.#log.readiness();
  }

  close(): Promise<void> {
    return this.#log.close();
  }
}

/** Hands everything on. */
export class PassingReader implements LogReader {
  protected readonly log: LogReader;

  constructor(log: LogReader) {
    this.log = log;
  }

  streams(): Promise<readonly StreamId[]> {
    return this.log.streams();
  }
  committed(stream: StreamId): Promise<LogOffset> {
    return this.log.committed(stream);
  }
  durableEnd(stream: StreamId): Promise<LogOffset> {
    return this.log.durableEnd(stream);
  }
  read(from: LogOffset, maxBytes: number): Promise<ReadRecords | undefined> {
    return this.log.read(from, maxBytes);
  }
  waitForMore(timeoutMs: number, signal: AbortSignal): Promise<void> {
    return this.log.waitForMore(timeoutMs, signal);
  }
  commit(upTo: LogOffset): Promise<void> {
    return this.log.commit(upTo);
  }
  close(): Promise<void> {
    return this.log.close();
  }
}

export class ReaderTap extends PassingReader {
  readonly #model: PipelineModel;

  constructor(log: LogReader, model: PipelineModel) {
    super(log);
    this.#model = model;
  }

  override async read(from: LogOffset, maxBytes: number): Promise<ReadRecords | undefined> {
    const read = await this.log.read(from, maxBytes);
    if (read !== undefined) this.#model.noteRead(read, from);
    return read;
  }

  override commit(upTo: LogOffset): Promise<void> {
    this.#model.noteCommit(upTo);
    return this.log.commit(upTo);
  }
}
