import { describe, expect, it } from 'vitest';
import { EventAdmission } from '../admission/admit-event.ts';
import { RandomIds } from '../event/id-source.ts';
import { asEpochMs, asProjectId } from '../event/ids.ts';
import { formatUuid } from '../event/uuid.ts';
import type { RequestFacts } from '../normalize/captured-event.ts';
import { Normalizer } from '../normalize/normalize.ts';
import { DocumentDecoder } from '../wire/v0/document-decoder.ts';
import { BatchEncoder, type DecodedCounts } from './batch-encoder.ts';
import { countsBytes, countsLayout, fixedBytes, fixedLayout, recordFlags } from './layout.ts';
import { RecordView, UnreadableRecord } from './record-view.ts';

const facts: RequestFacts = {
  projectId: asProjectId(7),
  requestId: Uint8Array.from({ length: 16 }, (_, i) => i),
  receivedAtMs: asEpochMs(1_700_000_000_000),
  sentAtMs: asEpochMs(1_700_000_000_000),
  ip: '10.1.2.3',
  isAuthenticated: true,
  isHistorical: false,
};
const UUID = '0190b3f2-5d5c-7c2a-9e1b-0123456789ab';

function encode(
  encoder: BatchEncoder,
  documents: readonly string[],
  counts: DecodedCounts = { received: documents.length, dropped: 0 },
): Buffer {
  encoder.reset(counts);
  const admission = new EventAdmission({ maxEventBytes: 1e6, maxAiEventBytes: 8e6 });
  const normalizer = new Normalizer(new RandomIds());
  for (const text of documents) {
    const document = new DocumentDecoder().decode(Buffer.from(text), { isEngage: false });
    if (document.kind === 'fault') throw new Error(document.detail);
    for (const raw of document.events) {
      const verdict = admission.admit(raw, false);
      if (verdict.kind === 'admitted') encoder.addEvent(facts, normalizer.normalize(verdict.event, facts));
      else encoder.addRejection(facts, raw, verdict.rejection, undefined);
    }
  }
  return Buffer.from(encoder.batch().bytes);
}

function decode(bytes: Buffer): Record<string, unknown>[] {
  const found: Record<string, unknown>[] = [];
  const view = new RecordView(bytes);
  const text = (start: number, end: number): string => view.bytes.toString('utf8', start, end);
  while (view.next()) {
    found.push({
      kind: view.kind,
      projectId: view.projectId,
      uuid: formatUuid(view.bytes, view.uuidAt),
      requestId: formatUuid(view.bytes, view.requestIdAt),
      index: view.index,
      timestampMs: view.timestampMs,
      receivedAtMs: view.receivedAtMs,
      sentAtMs: view.sentAtMs,
      isAuthenticated: (view.flags & recordFlags.isAuthenticated) !== 0,
      first: text(view.firstStart, view.firstEnd),
      second: text(view.secondStart, view.secondEnd),
      ip: text(view.ipStart, view.ipEnd),
      lib: text(view.libStart, view.libEnd),
      libVersion: text(view.libVersionStart, view.libVersionEnd),
      last: text(view.lastStart, view.lastEnd),
    });
  }
  return found;
}

describe('records', () => {
  it('give back what was put in, byte for byte', () => {
    const properties = String.raw`{ "a" : 1.0, "b":12345678901234567890, "é":"\u00e9", "$lib":"web","$lib_version":"1\u002e2" }`;
    const bytes = encode(new BatchEncoder(), [
      `{"event":"bought","distinct_id":"ann","uuid":"${UUID}","timestamp":"2023-11-14T22:13:19.5Z","properties":${properties}}`,
    ]);
    expect(decode(bytes)).toEqual([
      {
        kind: 'event',
        projectId: 7,
        uuid: UUID,
        requestId: '00010203-0405-0607-0809-0a0b0c0d0e0f',
        index: 0,
        timestampMs: 1_699_999_999_500,
        receivedAtMs: 1_700_000_000_000,
        sentAtMs: 1_700_000_000_000,
        isAuthenticated: true,
        first: 'bought',
        second: 'ann',
        ip: '10.1.2.3',
        lib: 'web',
        libVersion: '1.2',
        last: properties,
      },
    ]);
  });

  it.each([
    ['beside properties', '"properties":{"x":1},"$set":{"a":1}', '{"x":1,"$set":{"a":1}}'],
    ['without properties', '"$set_once":{"a":1}', '{"$set_once":{"a":1}}'],
    ['with empty properties', '"properties":{ },"$set":{},"$unset":["b"]', '{ "$set":{},"$unset":["b"]}'],
    ['where properties have one already', '"properties":{"$set":{"b":2}},"$set":{"a":1}', '{"$set":{"b":2}}'],
  ])('show $set %s inside properties (interface.md 3)', (_name, fields, expected) => {
    const [record] = decode(encode(new BatchEncoder(), [`{"event":"e","distinct_id":"d",${fields}}`]));
    expect(record?.['last']).toBe(expected);
  });

  it('keep a rejected event as sent, with its reason', () => {
    const [record] = decode(encode(new BatchEncoder(), ['{"event":"e","distinct_id":" "}']));
    expect(record).toMatchObject({
      kind: 'rejection',
      first: 'missing_distinct_id',
      last: '{"event":"e","distinct_id":" "}',
    });
  });

  it('of a large request grow the buffer, and a small one behind it is whole', () => {
    const encoder = new BatchEncoder();
    const large = 'x'.repeat(900_000);
    const documents = Array.from({ length: 5 }, () => `{"event":"e","distinct_id":"d","properties":{"a":"${large}"}}`);
    expect(decode(encode(encoder, documents)).map((record) => String(record['last']).length)).toEqual(
      Array.from({ length: 5 }, () => 900_008),
    );
    expect(decode(encode(encoder, ['{"event":"e","distinct_id":"d"}']))[0]?.['last']).toBe('{}');
  });

  it('have the layout that the table states', () => {
    const bytes = encode(new BatchEncoder(), [
      `{"event":"bought","distinct_id":"ann","uuid":"${UUID}","properties":{}}`,
    ]);
    const record = bytes.subarray(4);
    const at = (name: keyof typeof fixedLayout): Buffer =>
      record.subarray(fixedLayout[name][0], fixedLayout[name][0] + fixedLayout[name][1]);
    expect(at('uuid').toString('hex')).toBe(UUID.replaceAll('-', ''));
    expect(at('projectId').readUInt32LE()).toBe(7);
    expect(at('receivedAtMs').readDoubleLE()).toBe(1_700_000_000_000);
    expect(at('firstLength').readUInt32LE()).toBe(6);
    expect(at('secondLength').readUInt32LE()).toBe(3);
    expect(at('ipLength').readUInt16LE()).toBe(8);
    expect(at('lastLength').readUInt32LE()).toBe(2);
    const fields = Object.values(fixedLayout);
    expect(fields.map(([offset]) => offset)).toEqual(
      fields.map((_, i) => fields.slice(0, i).reduce((sum, [, size]) => sum + size, 0)),
    );
    expect(fields.reduce((sum, [, size]) => sum + size, 0)).toBe(fixedBytes);
    const [[receivedAt], [droppedAt]] = [countsLayout.received, countsLayout.dropped];
    expect([record.readUInt32LE(fixedBytes + receivedAt), record.readUInt32LE(fixedBytes + droppedAt)]).toEqual([1, 0]);
    expect([receivedAt, droppedAt, countsBytes]).toEqual([0, 4, 8]);
    expect(record.toString('latin1', fixedBytes + countsBytes, fixedBytes + countsBytes + 6)).toBe('bought');
  });

  it('say once a request, in the first of them, how many events it was decoded to', () => {
    const documents = [
      '{"event":"a","distinct_id":"d"}',
      '{"event":"b","distinct_id":" "}',
      '{"event":"c","distinct_id":"d"}',
    ];
    const view = new RecordView(encode(new BatchEncoder(), documents, { received: 5, dropped: 2 }));
    const found: unknown[] = [];
    while (view.next()) {
      const name = view.bytes.toString('utf8', view.firstStart, view.firstEnd);
      found.push(view.hasCounts ? [name, view.received, view.dropped] : name);
    }
    expect(found).toEqual([['a', 5, 2], 'missing_distinct_id', 'c']);
  });

  it('of a rejection alone say it too', () => {
    const view = new RecordView(encode(new BatchEncoder(), ['{"event":"b"}'], { received: 1, dropped: 0 }));
    expect([view.next(), view.kind, view.received, view.dropped]).toEqual([true, 'rejection', 1, 0]);
    expect(view.bytes.toString('utf8', view.lastStart, view.lastEnd)).toBe('{"event":"b"}');
  });

  it('of a request none of whose events is kept are a tally, with nothing but the counts', () => {
    const encoder = new BatchEncoder();
    encode(encoder, ['{"event":"what the buffer held before","distinct_id":"d"}']);
    encoder.reset({ received: 3, dropped: 3 });
    encoder.addTally(facts);
    const view = new RecordView(encoder.batch().bytes);
    expect([view.next(), view.kind, view.received, view.dropped]).toEqual([true, 'tally', 3, 3]);
    expect([view.projectId, view.receivedAtMs, view.end - view.start]).toEqual([7, 1_700_000_000_000, 86 + 8]);
    expect(formatUuid(view.bytes, view.requestIdAt)).toBe('00010203-0405-0607-0809-0a0b0c0d0e0f');
    expect(view.next()).toBe(false);
  });

  it('of version 1, which had no counts, are read as they were written', () => {
    // kind, version, flags, project, uuid, request, index, three instants, and the lengths of the six texts
    const head = [
      '01', '01', '0300', '07000000', UUID.replaceAll('-', ''), '000102030405060708090a0b0c0d0e0f', '02000000',
      '00c06056febc7842', '00008056febc7842', '00008056febc7842', '06000000', '03000000', '0800', '0300', '0500', '02000000',
    ].join(''); // prettier-ignore
    const texts = Buffer.from(['bought', 'ann', '10.1.2.3', 'web', '1.2.3', '{}'].join(''));
    const record = Buffer.concat([Buffer.from(head, 'hex'), texts]);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(record.length);
    const bytes = Buffer.concat([length, record, length, record]);
    const [first, second, ...more] = decode(bytes);
    expect(first).toMatchObject({
      kind: 'event', projectId: 7, uuid: UUID, requestId: '00010203-0405-0607-0809-0a0b0c0d0e0f', index: 2, isAuthenticated: true,
      receivedAtMs: 1_700_000_000_000, timestampMs: 1_699_999_999_500, first: 'bought', second: 'ann', ip: '10.1.2.3', lib: 'web', libVersion: '1.2.3', last: '{}',
    }); // prettier-ignore
    expect([second, more]).toEqual([first, []]);
    const view = new RecordView(bytes);
    expect([view.next(), view.version, view.hasCounts]).toEqual([true, 1, false]);
  });

  it('of another version, or that are cut short, are refused', () => {
    const bytes = encode(new BatchEncoder(), ['{"event":"e","distinct_id":"d"}']);
    const newer = Buffer.from(bytes);
    newer[5] = 3;
    expect(() => new RecordView(newer).next()).toThrow(UnreadableRecord);
    const shorter = Buffer.from(bytes);
    shorter.writeUInt32LE(fixedBytes, 0);
    expect(() => new RecordView(shorter.subarray(0, 4 + fixedBytes)).next()).toThrow(UnreadableRecord);
    expect(() => new RecordView(bytes.subarray(0, bytes.length - 1)).next()).toThrow(UnreadableRecord);
  });
});
