import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { captureCurl, firstGreeting, laterGreeting, queryCurl, type FirstStart } from './greeting.ts';

const start: FirstStart = {
  version: '0.1.0',
  url: 'http://127.0.0.1:8000',
  projectName: 'Default project',
  keys: {
    server: `phc_${'s'.repeat(43)}`,
    public: `phc_${'p'.repeat(43)}`,
    personal: `phx_${'x'.repeat(43)}`,
  },
  dataDir: '/srv/hedgerow-data',
  dataDirFlag: '',
  style: 'plain',
};

/** The arguments that a shell gives to curl, by running a `curl` that only prints them. */
function argumentsOf(command: string): readonly string[] {
  const printing = `curl() { for each in "$@"; do printf '%s\\0' "$each"; done; }\n${command}`;
  return execFileSync('sh', ['-c', printing], { encoding: 'utf8' }).split('\0').slice(0, -1);
}

describe('the greeting', () => {
  it('keeps within 80 columns wherever a line holds no key', () => {
    const text = firstGreeting(start) + laterGreeting(start);
    const tooWide = text.split('\n').filter((line) => line.length > 80 && !/ph[cx]_/.test(line));
    expect(tooWide).toEqual([]);
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(84);
  });

  it('is plain text unless colour is asked for', () => {
    expect(firstGreeting(start)).not.toContain('\u001b');
    const coloured = firstGreeting({ ...start, style: 'colour' });
    expect(coloured).toContain('\u001b[1m');
    // eslint-disable-next-line no-control-regex
    expect(coloured.replace(/\u001b\[\d+m/g, '')).toBe(firstGreeting(start));
  });

  it('names all three keys on the first start and none later', () => {
    for (const key of Object.values(start.keys)) expect(firstGreeting(start)).toContain(key);
    expect(laterGreeting(start)).not.toMatch(/ph[cx]_/);
    expect(laterGreeting(start)).toContain('npx hedgerow keys list');
  });

  it('prints curl lines that paste into a shell as one command', () => {
    const [url, , authorization, , type, , body] = argumentsOf(captureCurl(start));
    expect([url, authorization, type]).toEqual([
      'http://127.0.0.1:8000/capture/',
      `Authorization: Bearer ${start.keys.personal}`,
      'Content-Type: application/json',
    ]);
    expect(JSON.parse(body ?? '')).toEqual({ api_key: start.keys.server, event: 'hello', distinct_id: 'me' });
    const query = argumentsOf(queryCurl(start));
    expect(JSON.parse(query.at(-1) ?? '')).toMatchObject({ query: { kind: 'HogQLQuery' } });
  });

  it('pastes the same from the greeting itself, indented as it is there', () => {
    const printed = firstGreeting(start);
    const from = printed.indexOf('  curl ');
    const command = printed.slice(from, printed.indexOf('\n\n', from));
    expect(JSON.parse(argumentsOf(command).at(-1) ?? '')).toMatchObject({ event: 'hello' });
  });

  it('survives keys that hold quotes and backslashes', () => {
    const odd = { ...start, keys: { ...start.keys, server: `it's "q" \\ $HOME` } };
    expect(JSON.parse(argumentsOf(captureCurl(odd)).at(-1) ?? '')).toMatchObject({ api_key: odd.keys.server });
  });
});
