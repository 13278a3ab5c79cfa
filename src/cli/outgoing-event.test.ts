import { describe, expect, it } from 'vitest';
import { RandomIds } from '../event/id-source.ts';
import { lineEvent, linesOf, namedEvent, parseProperty, type OutgoingEvent } from './outgoing-event.ts';

const ids = new RandomIds();

function eventOf(line: string): OutgoingEvent {
  const event = lineEvent(line, 'line 1', ids);
  if (event?.kind !== 'event') throw new Error('the line was not read as an event');
  return event;
}

async function* chunks(...texts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield await Promise.resolve(Buffer.from(text));
}

describe('a property on the command line', () => {
  it.each([
    ['plan=pro', 'plan', '"pro"'],
    ['price=9.50', 'price', '9.50'],
    ['big=18446744073709551616', 'big', '18446744073709551616'],
    ['beta=true', 'beta', 'true'],
    ['tags=["a","b"]', 'tags', '["a","b"]'],
    ['url=https://example.com/?a=b', 'url', '"https://example.com/?a=b"'],
    ['empty=', 'empty', '""'],
    ['quoted="12"', 'quoted', '"12"'],
  ])('reads %s', (text, name, valueText) => {
    expect(parseProperty(text)).toEqual([name, valueText]);
  });

  it.each(['plan', '=pro', ''])('refuses %j, which has no name or no value', (text) => {
    expect(() => parseProperty(text)).toThrow('expected name=value');
  });
});

describe('events to be sent', () => {
  it('carry a uuid, a time and the properties', () => {
    const { json } = namedEvent({ event: 'paid', distinctId: 'ann', properties: ['n=1', 'n=2'] }, ids);
    expect(JSON.parse(json)).toEqual({
      uuid: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7/),
      event: 'paid',
      distinct_id: 'ann',
      timestamp: expect.stringMatching(/Z$/),
      properties: { n: 2 },
    });
  });

  it('keep the text of a line, and get a uuid only where they have none', () => {
    expect(eventOf(' {"uuid":"u","n":1.0} \r').json).toBe('{"uuid":"u","n":1.0}');
    expect(eventOf('{ "n":18446744073709551616}').json).toMatch(
      /^\{"uuid":"[0-9a-f-]{36}","n":18446744073709551616\}$/,
    );
    expect(Object.keys(JSON.parse(eventOf('{ }').json))).toEqual(['uuid']);
  });

  it('are not made of blank lines, arrays or broken JSON', () => {
    expect(lineEvent('  ', 'line 1', ids)).toBeUndefined();
    expect(lineEvent('[1]', 'line 1', ids)?.kind).toBe('unreadable');
    expect(lineEvent('{"a":', 'line 1', ids)?.kind).toBe('unreadable');
  });
});

describe('the lines of a file', () => {
  it('end at LF alone, wherever the chunks are cut', async () => {
    const lines = [];
    for await (const line of linesOf(chunks('\ufeffa', 'b\nc\u2028d', '\n\ne'))) lines.push(line);
    expect(lines).toEqual(['ab', 'c\u2028d', '', 'e']);
  });
});
