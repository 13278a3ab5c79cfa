import { describe, expect, it } from 'vitest';
import { Comparison } from './comparison.ts';
import { EventSeries } from './event-series.ts';
import { Problems } from './problems.ts';
import { SentEvents } from './sent-events.ts';

const series = new EventSeries(new Uint8Array(16).fill(7), 1_700_000_000_000);
const otherSeries = new EventSeries(new Uint8Array(16).fill(8), 1_700_000_000_000);

interface Stored {
  readonly n: number;
  readonly digest?: string;
}

/** Numbers 0 to 3 are acknowledged, 4 is in doubt, 5 was refused, 6 too, with an answer. */
function compare(
  rows: readonly Stored[],
  { keptRejections = [6] }: { readonly keptRejections?: readonly number[] } = {},
) {
  const sent = new SentEvents();
  for (let n = 0; n < 5; n++) sent.next('in_doubt');
  for (let n = 0; n < 4; n++) sent.settle(n, 'acknowledged');
  for (let n = 5; n < 7; n++) sent.next('refused');
  sent.settle(6, 'refusal_answered');
  const problems = new Problems();
  const comparison = new Comparison(series, sent, problems);
  for (const { n, digest = series.digestOf(n) } of rows) comparison.seeEvent(series.uuidOf(n), digest);
  for (const n of keptRejections) comparison.seeRejection(series.uuidOf(n));
  return { comparison, problems };
}

const acknowledged: readonly Stored[] = [{ n: 0 }, { n: 1 }, { n: 2 }, { n: 3 }];

function found({ comparison, problems }: ReturnType<typeof compare>): unknown {
  comparison.finish();
  return problems
    .examples()
    .filter(({ kind }) => kind !== 'not_accepted') // number 4, in each case
    .map(({ kind, uuid }) => [kind, uuid === undefined ? undefined : series.numberOf(uuid)]);
}

describe('the comparison', () => {
  it('finds nothing where each acknowledged event is there once, and one in doubt is there or is not', () => {
    expect(found(compare(acknowledged))).toEqual([]);
    expect(found(compare([...acknowledged, { n: 4 }]))).toEqual([]);
  });

  it('names an acknowledged event that is missing', () => {
    expect(found(compare([{ n: 0 }, { n: 2 }, { n: 3 }]))).toEqual([['lost', 1]]);
  });

  it('names an event that is there twice, once, however often it is there', () => {
    expect(found(compare([...acknowledged, { n: 2 }, { n: 2 }]))).toEqual([['doubled', 2]]);
    expect(found(compare([...acknowledged, { n: 4 }, { n: 4 }]))).toEqual([['doubled', 4]]);
  });

  it('names an event whose content is not what was acknowledged first', () => {
    expect(found(compare([...acknowledged.slice(1), { n: 0, digest: series.digestOf(1) }]))).toEqual([['changed', 0]]);
  });

  it('names a refused event among the events, answered or not', () => {
    expect(found(compare([...acknowledged, { n: 5 }, { n: 6 }]))).toEqual([
      ['refused_but_stored', 5],
      ['refused_but_stored', 6],
    ]);
  });

  it('names a refusal that was answered and is not among the rejections', () => {
    expect(found(compare(acknowledged, { keptRejections: [5] }))).toEqual([['rejection_lost', 6]]);
  });

  it('names a row that nobody sent: of another run, and of a number that was not given out', () => {
    const { comparison, problems } = compare([...acknowledged, { n: 7 }]);
    comparison.seeEvent(otherSeries.uuidOf(0), otherSeries.digestOf(0));
    expect(problems.countOf('unasked')).toBe(2);
  });

  it('says which event never got an acknowledgement, though it was sent again', () => {
    const { comparison, problems } = compare(acknowledged);
    comparison.finish();
    expect(problems.countOf('not_accepted')).toBe(1);
  });
});

describe('the events of a run', () => {
  it('are one JSON object each, with a uuid that tells their number', () => {
    for (const n of [0, 1, 996, 2 ** 40]) {
      const event = JSON.parse(series.jsonOf(n)) as { uuid: string; properties: { n: number } };
      expect(series.numberOf(event.uuid)).toBe(n);
      expect(event.properties.n).toBe(n);
      expect(event.uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
      expect(JSON.parse(series.refusedJsonOf(n))).not.toHaveProperty('distinct_id');
    }
  });

  it('differ in content between the first and its copy, so that a copy in its place shows', () => {
    expect(series.jsonOf(3, 'copy')).not.toBe(series.jsonOf(3));
    expect(series.digestOf(3)).not.toBe(series.digestOf(4));
  });
});

describe('what was sent', () => {
  it('is counted by fate, over more than its first room', () => {
    const sent = new SentEvents();
    const count = 200_000;
    let last = -1;
    while (last < count - 1) last = sent.next('in_doubt');
    expect(sent.count).toBe(count);
    sent.settle(count - 1, 'acknowledged');
    expect([sent.fateOf(0), sent.fateOf(count - 1), sent.fateOf(count)]).toEqual([
      'in_doubt',
      'acknowledged',
      'unsent',
    ]);
    expect([sent.countOf('in_doubt'), sent.countOf('acknowledged')]).toEqual([count - 1, 1]);
  });
});
