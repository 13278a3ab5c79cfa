import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { open, type Key } from 'lmdb';
import { describe, expect, it, onTestFinished } from 'vitest';
import { systemClock } from '../../src/event/clock.ts';
import { RandomIds } from '../../src/event/id-source.ts';
import { openLmdbRegistry } from '../../src/registry/lmdb/lmdb-registry.ts';
import { seedFirstProject } from '../../src/registry/seed.ts';
import type { Registry } from '../../src/registry/registry.ts';
import { registryContract } from './registry.contract.ts';

registryContract('lmdb', async (clock) => {
  const parent = mkdtempSync(join(tmpdir(), 'hedgerow-registry-'));
  const dir = join(parent, 'data', 'registry');
  const ids = new RandomIds();
  const handles: Registry[] = [];
  async function openOne(): Promise<Registry> {
    const registry = await openLmdbRegistry({ dir, clock, ids });
    handles.push(registry);
    return registry;
  }
  async function closeAll(): Promise<void> {
    await Promise.all(handles.splice(0).map((handle) => handle.close()));
  }
  return {
    registry: await openOne(),
    openSecond: openOne,
    reopen: async () => {
      await closeAll();
      return openOne();
    },
    storedBytes: () => Buffer.concat(readdirSync(dir).map((name) => readFileSync(join(dir, name)))),
    dispose: async () => {
      await closeAll();
      rmSync(parent, { recursive: true, force: true });
    },
  };
});

describe('the registry on lmdb alone', () => {
  function freshDir(): string {
    const dir = mkdtempSync(join(tmpdir(), 'hedgerow-registry-'));
    onTestFinished(() => rmSync(dir, { recursive: true, force: true }));
    return join(dir, 'registry');
  }
  const rest = { clock: systemClock, ids: new RandomIds() };

  /** Writes a row as no code of ours would. */
  async function putRaw(dir: string, key: Key, value: unknown): Promise<void> {
    const rows = open<unknown>({ path: dir, noSubdir: false, encoding: 'json' });
    await rows.put(key, value);
    await rows.close();
  }

  it('makes a folder that only its owner may open', async () => {
    const dir = freshDir();
    await (await openLmdbRegistry({ dir, ...rest })).close();
    expect(statSync(dir).mode & 0o777).toBe(0o700);
  });

  it('does not open what a newer version wrote, and says so', async () => {
    const dir = freshDir();
    await (await openLmdbRegistry({ dir, ...rest })).close();
    await putRaw(dir, ['meta', 'format'], 2);
    await expect(openLmdbRegistry({ dir, ...rest })).rejects.toThrow(
      'the registry was written by a newer version of Hedgerow: its format is 2, and this version reads formats up to 1',
    );
  });

  it('does not open a damaged row, and does not show its value', async () => {
    const dir = freshDir();
    await (await openLmdbRegistry({ dir, ...rest })).close();
    await putRaw(dir, ['project-key', 'phc_hidden'], { id: 'a', kind: 'root', projectId: 1, createdAtMs: 1 });
    const failure: unknown = await openLmdbRegistry({ dir, ...rest }).catch((error: unknown) => error);
    expect(String(failure)).toContain('the registry is damaged: a project key does not read (kind, revokedAtMs)');
    expect(String(failure)).not.toMatch(/phc_hidden|root/);
  });

  it('sees within a second what another process changed, and survives its kill', async () => {
    const dir = freshDir();
    const registry = await openLmdbRegistry({ dir, ...rest });
    onTestFinished(() => registry.close());
    const made = await seedFirstProject(registry, {
      projectApiKey: 'phc_watched',
      publicApiKey: undefined,
      personalApiKey: undefined,
    });
    // Plain lmdb in a process of its own: it revokes the key, says when, and waits to be killed.
    const source = `
      import { open } from 'lmdb';
      const rows = open({ path: process.argv[1], noSubdir: false, encoding: 'json', overlappingSync: false });
      await rows.transaction(() => {
        rows.putSync(['project-key', 'phc_watched'], { ...rows.get(['project-key', 'phc_watched']), revokedAtMs: 77 });
        rows.putSync(['meta', 'revision'], rows.get(['meta', 'revision']) + 1);
      });
      console.log('changed');
      setInterval(() => rows.get(['meta', 'revision']), 1_000);
    `;
    const child = spawn(process.execPath, ['--input-type=module', '-e', source, dir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    expect(registry.findProjectKey('phc_watched')).toEqual(made?.serverKey);
    await once(child.stdout, 'data');
    const changedAtMs = performance.now();
    await expect.poll(() => registry.findProjectKey('phc_watched')?.revokedAtMs, { interval: 5 }).toBe(77);
    expect(performance.now() - changedAtMs).toBeLessThan(1_000);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect((await registry.createProject('after the kill')).id).toBe(2);
  });
});
