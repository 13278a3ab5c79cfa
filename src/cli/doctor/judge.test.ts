import { describe, expect, it } from 'vitest';
import type { Finding } from './finding.ts';
import { judgeAgreement, judgeClock, judgePort, judgeSpace, judgeSync, judgeVersions, pastGaps } from './judge.ts';

const MIB = 1 << 20;
const segmentBytes = 32 * MIB;
const agreement = { stream: 's', committed: 10, end: 20, stored: 10 };
const clock = { nowMs: Date.parse('2026-06-01T00:00:00Z'), stepMs: 0 };
const sync = { medianMs: 0.3, slowestMs: 4, isInMemory: false };

const cases: readonly [name: string, finding: Finding, status: Finding['status'], todo: RegExp | undefined][] = [
  ['Node.js 20.15.0', judgeVersions('20.15.0', 1), 'ok', undefined],
  ['Node.js 20.14.9', judgeVersions('20.14.9', 1), 'fail', /Node.js 20.15/],
  ['Node.js 24', judgeVersions('24.0.0', 1), 'ok', undefined],
  ['a byte too little for the log', judgeSpace({ freeBytes: 128 * MIB - 1, segmentBytes }), 'fail', /disk_full/],
  ['just enough for the log', judgeSpace({ freeBytes: 128 * MIB, segmentBytes }), 'warn', /soon/],
  ['2 GiB free', judgeSpace({ freeBytes: 2048 * MIB, segmentBytes }), 'ok', undefined],
  ['a quick disk', judgeSync(sync), 'ok', undefined],
  ['a slow disk', judgeSync({ ...sync, medianMs: 21 }), 'warn', /slow or busy/],
  ['a folder in memory', judgeSync({ ...sync, isInMemory: true }), 'warn', /power cut/],
  ['a sync that no medium can do', judgeSync({ ...sync, medianMs: 0.001 }), 'warn', /in memory/],
  ['a clock that is right', judgeClock(clock), 'ok', undefined],
  ['a clock in 1970', judgeClock({ ...clock, nowMs: 0 }), 'fail', /Set the machine/],
  ['a clock in 2101', judgeClock({ ...clock, nowMs: Date.UTC(2101, 0, 2) }), 'fail', /Set the machine/],
  ['a clock that jumps back', judgeClock({ ...clock, stepMs: -3_600_000 }), 'warn', /slew/],
  ['a free port', judgePort('::', 8000, 'free'), 'ok', undefined],
  ['a port of another program', judgePort('::', 8000, 'taken'), 'fail', /--port/],
  ['a port of our own', judgePort('::', 8000, 'ours'), 'ok', undefined],
  ['a port below 1024', judgePort('::', 80, 'forbidden'), 'fail', /1024/],
  ['an address of another machine', judgePort('10.9.9.9', 80, 'no_such_address'), 'fail', /--host/],
  ['a store that has what the log let go of', judgeAgreement([agreement]), 'ok', undefined],
  ['a store a block ahead of the offset', judgeAgreement([{ ...agreement, stored: 20 }]), 'ok', undefined],
  ['a store ahead of the log', judgeAgreement([{ ...agreement, stored: 21 }]), 'fail', /one backup/],
  ['a store behind the offset', judgeAgreement([{ ...agreement, stored: 9 }]), 'warn', /one backup/],
];

describe('the doctor on', () => {
  for (const [name, finding, status, todo] of cases) {
    it(`${name}: ${status}`, () => {
      expect(finding.status).toBe(status);
      if (todo === undefined) expect(finding.todo).toBeUndefined();
      else expect(finding.todo).toMatch(todo);
    });
  }
});

it('the end of the store moves over the gaps that begin there, and no others', () => {
  const gaps = [
    { firstSequence: 12, endSequence: 15 },
    { firstSequence: 10, endSequence: 12 },
    { firstSequence: 20, endSequence: 25 },
  ];
  expect(pastGaps(10, gaps)).toBe(15);
  expect(pastGaps(9, gaps)).toBe(9);
});
