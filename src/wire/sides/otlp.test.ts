import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { otlpAnswer } from './otlp-answer.ts';
import { countJsonRecords } from './otlp-json.ts';
import { countProtobufRecords, encodePartialSuccess } from './otlp-protobuf.ts';
import { otlpSignals } from './otlp-signal.ts';

/** One length-delimited field, written independently of the code under test: shorter than 128 bytes. */
function field(number: number, ...content: readonly Buffer[]): Buffer {
  const inner = Buffer.concat(content);
  if (inner.length > 127) throw new Error('too long for this test');
  return Buffer.concat([Buffer.from([(number << 3) | 2, inner.length]), inner]);
}

const text = (value: string): Buffer => Buffer.from(value);
/** time_unix_nano of a log record and of a data point: field 1, 8 bytes. */
const aTime = Buffer.from([0x09, 1, 2, 3, 4, 5, 6, 7, 8]);

describe('an OTLP request in JSON', () => {
  const { logs, metrics, traces } = otlpSignals;
  it.each([
    ['two resources', logs, '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{"body":{"stringValue":"]"}}]}]},{"scopeLogs":[{"logRecords":[{}]},{}]}]}', 3],
    ['no record', logs, '{"resourceLogs":[]}', 0],
    ['an empty object', traces, '{}', 0],
    ['names that lie elsewhere', logs, '{"logRecords":[1],"resourceLogs":[{"logRecords":[{}],"resource":{"scopeLogs":[{"logRecords":[{}]}]}}]}', 0],
    ['spans', traces, ' {"resourceSpans" : [ {"resource":{}, "scopeSpans":[ {"spans":[{"name":"a","events":[{},{}]}]} ] } ] } ', 1],
    ['metrics of each kind', metrics, `{"resourceMetrics":[{"scopeMetrics":[{"metrics":[${['gauge', 'sum', 'histogram', 'exponentialHistogram', 'summary'].map((kind) => `{"name":"m","${kind}":{"dataPoints":[{},{}]}}`).join(',')}]}]}]}`, 10],
    ['null where a list should be', logs, '{"resourceLogs":[{"scopeLogs":null}]}', 0],
  ] as const)('with %s is counted', (_name, signal, json, count) => {
    expect(countJsonRecords(Buffer.from(json), signal.levels)).toBe(count);
  }); // prettier-ignore

  it.each(['', '[]', '"x"', '{', '{"resourceLogs":[{]}', '{}{}', '{"resourceLogs":[{}],}'])(
    '%j is refused with its place',
    (json) => {
      expect(countJsonRecords(Buffer.from(json), logs.levels)).toMatchObject({ kind: 'fault', code: 'invalid_json' });
    },
  );

  it('that is no UTF-8 is refused', () => {
    expect(countJsonRecords(Buffer.from([0x7b, 0xff, 0x7d]), logs.levels)).toMatchObject({ code: 'invalid_encoding' });
  });
});

describe('an OTLP request in protobuf', () => {
  const record = field(2, aTime, field(5, field(1, text('hello'))));
  const logs = Buffer.concat([
    field(1, field(1, field(1, text('resource'))), field(2, field(1, text('scope')), record, record), field(2, record)),
    field(1, field(2, record)),
  ]);

  it('is counted: the records of all scopes of all resources', () => {
    expect(countProtobufRecords(logs, otlpSignals.logs.levels)).toBe(4);
    expect(countProtobufRecords(Buffer.alloc(0), otlpSignals.logs.levels)).toBe(0);
  });

  it('of metrics counts the data points of each kind of metric', () => {
    const points = [field(1, aTime), field(1, aTime)];
    const kinds = [5, 7, 9, 10, 11].map((kind) => field(2, field(1, text('m')), field(kind, ...points)));
    const request = Buffer.concat(kinds.map((kind) => field(1, field(2, kind))));
    expect(countProtobufRecords(request, otlpSignals.metrics.levels)).toBe(10);
  });

  it('that is cut short anywhere is refused or counts less, and never reads beyond its end', () => {
    for (let end = 0; end < logs.length; end++) {
      const count = countProtobufRecords(logs.subarray(0, end), otlpSignals.logs.levels);
      if (typeof count === 'number') expect(count).toBeLessThan(4);
      else expect(count).toMatchObject({ code: 'invalid_encoding' });
    }
  });

  it('of any bytes ends with a count or a fault', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.constantFrom('logs', 'metrics', 'traces'), (bytes, name) => {
        const count = countProtobufRecords(Buffer.from(bytes), otlpSignals[name].levels);
        expect(typeof count === 'number' ? 'number' : count.code).toMatch(/^number$|^invalid_encoding$/);
      }),
      { numRuns: 2000 },
    );
  });
});

describe('the answer', () => {
  it('to JSON with records is a partial success that rejects all of them, the count as a text', () => {
    const answer = otlpAnswer(
      otlpSignals.metrics,
      Buffer.from('{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":{"dataPoints":[{}]}}]}]}]}'),
      false,
    );
    if (answer.kind === 'fault') throw new Error(answer.detail);
    expect(answer.contentType).toBe('application/json');
    expect(JSON.parse(answer.body.toString())).toEqual({
      partialSuccess: {
        rejectedDataPoints: '1',
        errorMessage: expect.stringContaining('none of these data points') as string,
      },
    });
  });

  it('without records is the empty success in either encoding', () => {
    expect(otlpAnswer(otlpSignals.logs, Buffer.from('{}'), false)).toMatchObject({ body: Buffer.from('{}') });
    expect(otlpAnswer(otlpSignals.logs, Buffer.alloc(0), true)).toMatchObject({
      body: Buffer.alloc(0),
      contentType: 'application/x-protobuf',
    });
  });

  it('in protobuf is these bytes', () => {
    expect(encodePartialSuccess(300, 'no').toString('hex')).toBe('0a0708ac0212026e6f');
    const long = encodePartialSuccess(1, 'x'.repeat(130));
    expect(long.subarray(0, 8).toString('hex')).toBe('0a87010801128201');
    expect(long).toHaveLength(3 + 2 + 3 + 130);
  });
});
