/** A folder imports only from rows above it (style.md, "Layout"), type imports too; engines are imported by app.ts alone. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseSync } from 'oxc-parser';
import { describe, expect, it } from 'vitest';

const src = fileURLToPath(new URL('../../src', import.meta.url));

/** Top to bottom: each may import what stands before it. */
const ROWS = [
  'event', 'errors.ts', 'config', 'telemetry', 'wire', 'admission', 'normalize', 'record', 'log', 'registry', 'limits',
  'store', 'loader', 'capture', 'query', 'backup', 'http', 'start-failure.ts',
  'backup-engines.ts', 'app.ts', 'cli',
]; // prettier-ignore
const ENGINES = ['log/segments', 'log/kafka', 'registry/lmdb', 'limits/memory', 'store/chdb', 'store/clickhouse'];
/** design.md 6: these know nothing of each other, although one stands above the other. */
const NEVER: readonly (readonly [string, string])[] = [
  ['log', 'event/outcome.ts'],
  ['log', 'wire'],
  ['log', 'record'],
  ['store', 'log'],
  ['admission', 'registry'],
];
/** Commands that work without a server open the embedded engines themselves: keys the registry, the doctor log and store. */
const ENGINE_USERS = [
  'app.ts',
  'backup-engines.ts',
  'cli/data-folder.ts',
  'cli/doctor/log-health.ts',
  'cli/doctor/store-health.ts',
];

function files(): string[] {
  return readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter(
      (name) =>
        name.endsWith('.ts') && !name.endsWith('.test.ts') && !name.endsWith('-for-test.ts') && !name.endsWith('.d.ts'),
    )
    .map((name) => name.replaceAll('\\', '/'));
}

function importsOf(file: string): string[] {
  const path = join(src, file);
  const { module } = parseSync(path, readFileSync(path, 'utf8'));
  const sources = [
    ...module.staticImports.map((entry) => entry.moduleRequest.value),
    ...module.staticExports.flatMap((entry) => entry.entries.flatMap((inner) => inner.moduleRequest?.value ?? [])),
  ];
  return sources
    .filter((source) => source.startsWith('.'))
    .map((source) => relative(src, resolve(dirname(path), source)).replaceAll('\\', '/'));
}

function rowOf(file: string): number {
  const [top] = file.split('/');
  return ROWS.indexOf(top ?? '');
}

function engineOf(file: string): string | undefined {
  return ENGINES.find((engine) => file.startsWith(`${engine}/`));
}

describe('imports', () => {
  const edges = files().flatMap((from) => importsOf(from).map((to) => ({ from, to })));

  it('every file stands in a known row', () => {
    expect(files().filter((file) => rowOf(file) < 0)).toEqual([]);
  });

  it('point up: a folder imports only from rows above it', () => {
    const wrong = edges.filter(({ from, to }) => rowOf(to) > rowOf(from));
    expect(
      wrong.map(({ from, to }) => `src/${from} imports src/${to}, which stands below it: move the shared noun up`),
    ).toEqual([]);
  });

  it('leave engines to app.ts', () => {
    const wrong = edges.filter(({ from, to }) => {
      const engine = engineOf(to);
      return engine !== undefined && engineOf(from) !== engine && !ENGINE_USERS.includes(from);
    });
    expect(
      wrong.map(
        ({ from, to }) => `src/${from} imports the engine src/${to}: take its port, and let app.ts hand it over`,
      ),
    ).toEqual([]);
  });

  it('keep apart what must not know each other', () => {
    const wrong = edges.filter(({ from, to }) =>
      NEVER.some(([a, b]) => from.startsWith(`${a}/`) && (to === b || to.startsWith(`${b}/`))),
    );
    expect(wrong).toEqual([]);
  });

  it('leave no file that nothing imports', () => {
    // The last one writes docs/settings.md, which its test compares.
    const entries = new Set([
      'cli/main.ts',
      'store/chdb/child.ts',
      'capture/zstd-worker.ts',
      'backup/file-worker.ts',
      'config/settings-doc.ts',
    ]);
    const imported = new Set(edges.map(({ to }) => to));
    expect(files().filter((file) => !entries.has(file) && !imported.has(file))).toEqual([]);
  });
});
