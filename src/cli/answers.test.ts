import { describe, expect, it } from 'vitest';
import { asEpochMs, asProjectId } from '../event/ids.ts';
import type { ProjectKey } from '../registry/registry.ts';
import { describeEvent } from './event-command.ts';
import { readAnswer } from './query-command.ts';
import { usableKey } from './send-command.ts';

describe('the answer of a query', () => {
  it('becomes rows of exact text, with numbers to the right', () => {
    const text =
      '{"columns":["event","n"],"types":["String","Nullable(UInt64)"],' +
      '"results":[["a\\"b",18446744073709551615],[null,null],["{}",1.0]],"hasMore":true}';
    expect(readAnswer(text)).toEqual({
      columns: [
        { title: 'event', align: 'left' },
        { title: 'n', align: 'right' },
      ],
      rows: [
        ['a"b', '18446744073709551615'],
        ['', ''],
        ['{}', '1.0'],
      ],
      hasMore: true,
    });
  });

  it('is refused when it is no query result', () => {
    expect(() => readAnswer('capture')).toThrow('no query result');
  });
});

describe('what happened to an event', () => {
  it('is told with its reason, without what is absent, and with exact numbers', () => {
    const answer =
      '{"uuid":"u","status":"rejected","code":"missing_distinct_id","detail":"who?","event":"paid","ip":null,' +
      '"properties":{"n":18446744073709551616}}';
    expect(describeEvent(answer)).toBe(
      'status         rejected\n' +
        'code           missing_distinct_id\n' +
        'detail         who?\n' +
        'event          paid\n' +
        'properties     {"n":18446744073709551616}\n',
    );
  });
});

describe('the project key for test events', () => {
  const keyOf = (kind: ProjectKey['kind'], project: number, revokedAtMs?: number): ProjectKey => ({
    id: `${kind}-${project}`,
    kind,
    key: `phc_${kind}_${project}`,
    projectId: asProjectId(project),
    createdAtMs: asEpochMs(0),
    revokedAtMs: revokedAtMs === undefined ? undefined : asEpochMs(revokedAtMs),
  });

  it('is the public one of the first project that has a valid key', () => {
    expect(usableKey([keyOf('public', 2), keyOf('server', 1), keyOf('public', 1)])?.key).toBe('phc_public_1');
    expect(usableKey([keyOf('public', 1, 5), keyOf('server', 1)])?.key).toBe('phc_server_1');
    expect(usableKey([keyOf('public', 1, 5)])).toBeUndefined();
  });
});
