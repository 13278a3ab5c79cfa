import { expect, it } from 'vitest';
import { judgeSegment, recoveryCases, type SegmentFindings } from './recovery-cases.ts';

const values = {
  header: ['good', 'newer', 'bad'],
  place: ['consumed', 'middle', 'last'],
  frames: ['exact', 'short', 'straddling'],
  behind: ['nothing', 'later_group'],
  noted: ['reached', 'missing'],
} as const satisfies { readonly [K in keyof SegmentFindings]: readonly SegmentFindings[K][] };

function allFindings(): SegmentFindings[] {
  const { header, place, frames, behind, noted } = values;
  return header.flatMap((h) =>
    place.flatMap((p) =>
      frames.flatMap((f) =>
        behind.flatMap((b) => noted.map((n) => ({ header: h, place: p, frames: f, behind: b, noted: n }))),
      ),
    ),
  );
}

it('each combination of findings is decided, and each row decides some', () => {
  const used = new Set(allFindings().map((findings) => judgeSegment(findings)));
  expect([...recoveryCases].filter((row) => !used.has(row))).toEqual([]);
});

it('only a segment whose header checks is kept or passed over', () => {
  for (const findings of allFindings().filter(({ header }) => header !== 'good')) {
    expect(['damaged', 'newer_format']).toContain(judgeSegment(findings).then);
  }
});

it('a last segment is kept only when it ends where it must, with nothing later behind it and nothing known beyond', () => {
  const kept = allFindings().filter((findings) => findings.place === 'last' && judgeSegment(findings).then === 'keep');
  expect(kept).toEqual([{ header: 'good', place: 'last', frames: 'exact', behind: 'nothing', noted: 'reached' }]);
});

it('a segment in the middle is kept only when it ends where the next one begins', () => {
  for (const findings of allFindings().filter(({ header, place }) => header === 'good' && place === 'middle')) {
    expect(judgeSegment(findings).then).toBe(findings.frames === 'exact' ? 'keep' : 'damaged');
  }
});
