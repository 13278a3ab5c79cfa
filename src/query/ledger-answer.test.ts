import { describe, expect, it } from 'vitest';
import { fault } from '../errors.ts';
import { asProjectId } from '../event/ids.ts';
import type { LedgerLine, LedgerPage, LedgerSpan } from '../loader/ledger-book.ts';
import { LedgerCell } from '../loader/ledger-tally.ts';
import type { LedgerLookup } from './ledger-lookup.ts';
import { bodyOf, codeOf, nowMs, readApiForTest } from './read-api-for-test.ts';

const minute = nowMs / 1000 - 600;

function lineOf(
  startSeconds: number,
  numbers: Partial<Record<'received' | 'accepted' | 'stored' | 'duplicate' | 'pending' | 'bad', number>>,
): LedgerLine {
  const cell = new LedgerCell();
  cell.received = numbers.received ?? 0;
  cell.accepted = numbers.accepted ?? 0;
  cell.stored = numbers.stored ?? 0;
  cell.duplicate = numbers.duplicate ?? 0;
  if (numbers.bad !== undefined) cell.addRejected('invalid_event', numbers.bad);
  return { projectId: asProjectId(1), startSeconds, cell, pending: numbers.pending ?? 0 };
}

function ledgerOf(
  lines: readonly LedgerLine[],
  findings: readonly number[] = [],
): LedgerLookup & { readonly spans: LedgerSpan[] } {
  const spans: LedgerSpan[] = [];
  const page: LedgerPage = { kind: 'page', lines, counted: [], hasMore: false };
  return {
    spans,
    book: {
      read: (span) => {
        spans.push(span);
        return Promise.resolve(page);
      },
    },
    findingsOf: (project) => (project === 1 ? findings.map((minuteSeconds) => ({ minuteSeconds })) : []),
  };
}

const sound = lineOf(minute, { received: 7, accepted: 5, stored: 2, pending: 2, duplicate: 1, bad: 2 });

async function balanced(ledger: LedgerLookup, query = ''): Promise<unknown> {
  return (
    JSON.parse(bodyOf(await readApiForTest({ ledger }).get(`/api/projects/1/ledger/${query}`))) as { balanced: unknown }
  ).balanced;
}

describe('the ledger over HTTP', () => {
  it('gives totals and each interval, empty ones too, in order', async () => {
    const ledger = ledgerOf([sound, lineOf(minute + 120, { received: 1, accepted: 1, stored: 1 })]);
    const from = new Date(minute * 1000).toISOString();
    const to = new Date((minute + 121) * 1000).toISOString();
    const answer = await readApiForTest({ ledger }).get(`/api/projects/1/ledger?from=${from}&to=${to}&interval=minute`);
    const none = { received: 0, accepted: 0, stored: 0, pending: 0, duplicate: 0, rejected: {} };
    const first = { received: 7, accepted: 5, stored: 2, pending: 2, duplicate: 1, rejected: { invalid_event: 2 } };
    expect(JSON.parse(bodyOf(answer))).toEqual({
      totals: { ...first, received: 8, accepted: 6, stored: 3 },
      balanced: true,
      results: [
        { start: '2026-01-31T11:50:00.000Z', ...first },
        { start: '2026-01-31T11:51:00.000Z', ...none },
        { start: '2026-01-31T11:52:00.000Z', ...none, received: 1, accepted: 1, stored: 1 },
      ],
    });
    expect(ledger.spans).toMatchObject([
      { projectId: 1, fromSeconds: minute, toSeconds: minute + 180, stepSeconds: 60 },
    ]);
  });

  it.each([
    ['an event received and neither accepted nor rejected', { received: 1 }],
    ['an event accepted and lost', { received: 2, accepted: 2, stored: 1 }],
    ['an event counted twice', { received: 1, accepted: 1, stored: 1, duplicate: 1 }],
    ['one event too many and one too few in another minute', { received: 1, accepted: 2, stored: 2 }],
  ])('does not balance with %s', async (_name, numbers) => {
    const other = lineOf(minute + 60, { received: 3, accepted: 2, stored: 2 });
    expect(await balanced(ledgerOf([sound]))).toBe(true);
    expect(await balanced(ledgerOf([sound, lineOf(minute, numbers), other]))).toBe(false);
  });

  it('does not balance where its check has found a difference with the store, within what was asked for', async () => {
    const query = `?from=${new Date(minute * 1000).toISOString()}`;
    expect(await balanced(ledgerOf([sound], [minute]), query)).toBe(false);
    expect(await balanced(ledgerOf([sound], [minute - 60]), query)).toBe(true);
  });

  it.each([
    ['', 60, nowMs / 1000 + 60 - 3600, nowMs / 1000 + 60],
    ['?interval=hour', 3600, nowMs / 1000 + 3600 - 60 * 3600, nowMs / 1000 + 3600],
    ['?interval=day&to=2026-01-31', 86_400, Date.UTC(2025, 11, 2) / 1000, Date.UTC(2026, 0, 31) / 1000],
    ['?from=-1h&to=-0h', 60, nowMs / 1000 - 3600, nowMs / 1000],
  ])('%s is by %d s from %d to %d', async (query, stepSeconds, fromSeconds, toSeconds) => {
    const ledger = ledgerOf([]);
    await readApiForTest({ ledger }).get(`/api/projects/1/ledger${query}`);
    expect(ledger.spans).toMatchObject([{ stepSeconds, fromSeconds, toSeconds }]);
  });

  it('hands on what the store says no to, and asks for patience while a backlog is counted', async () => {
    const away: LedgerLookup = {
      ...ledgerOf([]),
      book: {
        read: (_, ask) =>
          ask({ text: '', parameters: {} }, 1).then((answer) =>
            answer.kind === 'fault' ? answer : { kind: 'behind' },
          ),
      },
    };
    const { get, store } = readApiForTest({ ledger: away });
    store.answerWith(() => ({ kind: 'fault', reason: 'unavailable', message: '' }));
    expect(codeOf(await get('/api/projects/1/ledger/'))).toBe('store_unavailable');
    const behind = readApiForTest({ ledger: { ...away, book: { read: () => Promise.resolve({ kind: 'behind' }) } } });
    expect(await behind.get('/api/projects/1/ledger/')).toEqual(fault('ledger_behind'));
  });
});
