import { afterEach, describe, expect, it } from 'vitest';
import type {
  AppendReceipt,
  AppendRefusal,
  LogReader,
  LogWriter,
  ReadRecords,
  RecordBatch,
} from '../../src/log/log.ts';

/** A fresh, empty log of one engine. */
export interface LogUnderTest {
  readonly writer: LogWriter;
  readonly reader: LogReader;
  /** Ends both without a chance to tidy up, and opens them again on what is left. */
  killAndReopen(): Promise<LogUnderTest>;
  dispose(): Promise<void>;
}

export type OpenLogForTest = () => Promise<LogUnderTest>;

/** `RecordBatch.bytes` of the texts, one record each. */
export function batchOf(...texts: readonly string[]): RecordBatch {
  const parts = texts.flatMap((text) => {
    const record = Buffer.from(text);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(record.length);
    return [length, record];
  });
  return { count: texts.length, bytes: Buffer.concat(parts) };
}

/** The records as texts. */
export function textsOf(found: ReadRecords | undefined): string[] {
  const texts: string[] = [];
  if (found === undefined) return texts;
  const bytes = Buffer.from(found.bytes);
  for (let at = 0; at < bytes.length;) {
    const length = bytes.readUInt32LE(at);
    texts.push(bytes.toString('utf8', at + 4, at + 4 + length));
    at += 4 + length;
  }
  expect(texts).toHaveLength(found.count);
  expect(found.nextSequence).toBe(found.firstSequence + found.count);
  return texts;
}

export function assertReceipt(outcome: AppendReceipt | AppendRefusal): AppendReceipt {
  if (outcome.kind === 'refused') throw new Error(`append was refused: ${outcome.code}`);
  return outcome;
}

export async function readAllTexts(reader: LogReader, writer: LogWriter, maxBytes = 1 << 20): Promise<string[]> {
  const texts: string[] = [];
  let from = await reader.committed(writer.stream);
  for (;;) {
    const found = await reader.read(from, maxBytes);
    if (found === undefined) return texts;
    texts.push(...textsOf(found));
    from = { stream: from.stream, sequence: found.nextSequence };
  }
}

/** What each engine of the log must do. */
export function logContract(engine: string, open: OpenLogForTest): void {
  describe(`log on ${engine}`, () => {
    const opened: LogUnderTest[] = [];
    const start = async (): Promise<LogUnderTest> => {
      const log = await open();
      opened.push(log);
      return log;
    };
    const restart = async (log: LogUnderTest): Promise<LogUnderTest> => {
      const again = await log.killAndReopen();
      opened.push(again);
      return again;
    };
    afterEach(async () => {
      for (const log of opened.splice(0)) await log.dispose();
    });

    it('gives back every acknowledged record, in order, after the engine was killed', async () => {
      const log = await start();
      const receipt = assertReceipt(await log.writer.append(batchOf('a', 'b', 'c')));
      const survivor = await restart(log);
      const from = { stream: receipt.stream, sequence: receipt.firstSequence };
      expect(textsOf(await survivor.reader.read(from, 1_000))).toEqual(['a', 'b', 'c']);
    });

    it('numbers records from 0, without gaps, in the order of the calls', async () => {
      const { writer } = await start();
      const outcomes = await Promise.all([
        writer.append(batchOf('a', 'b')),
        writer.append(batchOf('c')),
        writer.append(batchOf('d', 'e', 'f')),
      ]);
      expect(outcomes.map((outcome) => assertReceipt(outcome).firstSequence)).toEqual([0, 2, 3]);
      expect(assertReceipt(await writer.append(batchOf('g')))).toEqual({
        kind: 'receipt',
        stream: writer.stream,
        firstSequence: 6,
        count: 1,
      });
    });

    it('goes on counting where it was after a restart', async () => {
      const log = await start();
      assertReceipt(await log.writer.append(batchOf('a', 'b')));
      const { writer, reader } = await restart(log);
      expect(writer.stream).toBe(log.writer.stream);
      expect(assertReceipt(await writer.append(batchOf('c'))).firstSequence).toBe(2);
      expect(await readAllTexts(reader, writer)).toEqual(['a', 'b', 'c']);
    });

    it('keeps no reference to a batch', async () => {
      const { writer, reader } = await start();
      const batch = batchOf('before');
      const appended = writer.append(batch);
      batch.bytes.fill(0x21);
      assertReceipt(await appended);
      expect(await readAllTexts(reader, writer)).toEqual(['before']);
    });

    it('gives at least one batch, then as many whole ones as fit', async () => {
      const { writer, reader } = await start();
      for (const text of ['0123456789', 'abcdefghij', 'ABCDEFGHIJ'])
        assertReceipt(await writer.append(batchOf(text, text)));
      const from = { stream: writer.stream, sequence: 0 };
      expect((await reader.read(from, 1))?.count).toBe(2);
      expect((await reader.read(from, 55))?.count).toBe(2);
      expect((await reader.read(from, 56))?.count).toBe(4);
      expect((await reader.read(from, 57))?.count).toBe(4);
      expect((await reader.read({ ...from, sequence: 2 }, 1_000))?.firstSequence).toBe(2);
      expect(await reader.read({ ...from, sequence: 6 }, 1_000)).toBeUndefined();
    });

    it('remembers across a restart what was committed', async () => {
      const log = await start();
      const { stream } = log.writer;
      assertReceipt(await log.writer.append(batchOf('a', 'b')));
      assertReceipt(await log.writer.append(batchOf('c')));
      expect((await log.reader.committed(stream)).sequence).toBe(0);
      await log.reader.commit({ stream, sequence: 2 });
      const { reader, writer } = await restart(log);
      expect((await reader.committed(stream)).sequence).toBe(2);
      expect((await reader.durableEnd(stream)).sequence).toBe(3);
      expect(await readAllTexts(reader, writer)).toEqual(['c']);
    });

    it('does not go back when an older offset is committed', async () => {
      const { reader, writer } = await start();
      assertReceipt(await writer.append(batchOf('a', 'b')));
      await reader.commit({ stream: writer.stream, sequence: 2 });
      await reader.commit({ stream: writer.stream, sequence: 1 });
      expect((await reader.committed(writer.stream)).sequence).toBe(2);
    });

    it('wakes who waits when something becomes durable, long before the timeout', async () => {
      const { reader, writer } = await start();
      const waiting = (async () => {
        while ((await reader.durableEnd(writer.stream)).sequence === 0) {
          await reader.waitForMore(60_000, new AbortController().signal);
        }
      })();
      assertReceipt(await writer.append(batchOf('a')));
      await waiting;
      expect(await readAllTexts(reader, writer)).toEqual(['a']);
    });

    it('stops waiting at the timeout and when told to', async () => {
      const { reader } = await start();
      await reader.waitForMore(30, new AbortController().signal);
      const stop = new AbortController();
      const waiting = reader.waitForMore(60_000, stop.signal);
      stop.abort();
      await waiting;
    });

    it('finishes what it accepted when it closes, and refuses the rest as draining', async () => {
      const { writer, reader } = await start();
      const accepted = writer.append(batchOf('accepted'));
      const closed = writer.close();
      expect(await writer.append(batchOf('late'))).toEqual({ kind: 'refused', code: 'draining' });
      expect(writer.readiness()).toEqual({ kind: 'refused', code: 'draining' });
      assertReceipt(await accepted);
      await closed;
      await writer.close();
      expect(await readAllTexts(reader, writer)).toEqual(['accepted']);
    });

    it('keeps the order of many appends at once, of all sizes', async () => {
      const { writer, reader } = await start();
      const texts = Array.from({ length: 300 }, (_, i) => `${i}:`.padEnd((i * 7919) % 5_000, 'x'));
      const outcomes = await Promise.all(texts.map((text) => writer.append(batchOf(text))));
      expect(outcomes.map((outcome) => assertReceipt(outcome).firstSequence)).toEqual(texts.map((_, i) => i));
      expect(await readAllTexts(reader, writer, 10_000)).toEqual(texts);
    });

    it('takes a batch of 8 MiB', async () => {
      const { writer, reader } = await start();
      const large = 'l'.repeat(8 << 20);
      assertReceipt(await writer.append(batchOf('small')));
      assertReceipt(await writer.append(batchOf(large)));
      assertReceipt(await writer.append(batchOf('small again')));
      expect((await readAllTexts(reader, writer)).map((text) => text.length)).toEqual([5, 8 << 20, 11]);
    });
  });
}
