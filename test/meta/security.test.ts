/** docs/security.md names only tests that are there, and its numbers are those of the code. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ATTEMPT_INTERVAL_MS, MAX_FAILED_ATTEMPTS } from '../../src/admission/failed-attempts.ts';
import { addressPolicies, MAX_PATTERN_CHARACTERS, MAX_PATTERNS } from '../../src/normalize/privacy-policy.ts';
import { readableTables } from '../../src/store/schema.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const text = readFileSync(join(root, 'docs/security.md'), 'utf8');

describe('docs/security.md', () => {
  it('names tests that are there, one in each row of what is protected', () => {
    const rows = text.split('## What is protected')[1]?.split('\n## ')[0]?.split('\n').slice(4) ?? [];
    const tests = rows
      .filter((row) => row.startsWith('|'))
      .map((row) => row.match(/`(?:test|src)\/[\w./-]+\.ts`/g) ?? []);
    expect(tests.length).toBeGreaterThan(8);
    expect(tests.filter((named) => named.length === 0)).toEqual([]);
    const missing = tests
      .flat()
      .map((name) => name.slice(1, -1))
      .filter((name) => !existsSync(join(root, name)));
    expect(missing).toEqual([]);
  });

  it('says the numbers of the code', () => {
    expect(text).toContain(
      `${MAX_FAILED_ATTEMPTS} may come at once from an address, then one each ${ATTEMPT_INTERVAL_MS / 1_000} s`,
    );
    expect(text).toContain(`At most ${MAX_PATTERNS} patterns of at most ${MAX_PATTERN_CHARACTERS} characters`);
    for (const policy of addressPolicies) expect(text).toContain(`\`${policy}\``);
  });

  it('names the tables that SQL can read', () => {
    expect(text).toContain(`only the tables ${readableTables.map((table) => `\`${table}\``).join(', ')}`);
  });

  it('is where SECURITY.md says', () => {
    expect(readFileSync(join(root, 'SECURITY.md'), 'utf8')).toContain('](docs/security.md)');
  });
});
