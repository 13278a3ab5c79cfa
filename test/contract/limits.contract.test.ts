import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RandomIds } from '../../src/event/id-source.ts';
import type { Limits } from '../../src/limits/limits.ts';
import { MemoryLimits } from '../../src/limits/memory/memory-limits.ts';
import { openLmdbRegistry } from '../../src/registry/lmdb/lmdb-registry.ts';
import type { EventUse } from '../../src/registry/project-limits.ts';
import type { Registry } from '../../src/registry/registry.ts';
import { limitsContract } from './limits.contract.ts';

limitsContract('memory', async (clock) => {
  const parent = mkdtempSync(join(tmpdir(), 'hedgerow-limits-'));
  const registries: Registry[] = [];
  let engines: Limits[] = [];
  let isFailing = false;
  let faults = 0;
  const openRegistry = async (): Promise<Registry> => {
    const registry = await openLmdbRegistry({ dir: join(parent, 'registry'), clock, ids: new RandomIds() });
    registries.push(registry);
    return registry;
  };
  const openEngine = async (): Promise<Limits> => {
    const registry = await openRegistry();
    const limits = new MemoryLimits({
      registry: {
        projectLimits: () => registry.projectLimits(),
        eventUse: (id, month) => registry.eventUse(id, month),
        addEventUse: (uses: readonly EventUse[]) =>
          isFailing ? Promise.reject(new Error('the disk is full')) : registry.addEventUse(uses),
      },
      clock,
      onFault: () => (faults += 1),
    });
    engines.push(limits);
    return limits;
  };
  const operator = await openRegistry();
  const [project, other] = [await operator.createProject('limited'), await operator.createProject('other')];
  const limits = await openEngine();
  return {
    limits,
    projectId: project.id,
    otherProjectId: other.id,
    set: async (projectId, change) => {
      await operator.setProjectLimits(projectId, change);
      for (const registry of registries) registry.projects(); // looks again, as each does after RECHECK_MS
    },
    openSecond: openEngine,
    reopen: async () => {
      for (const engine of engines) await engine.close();
      engines = [];
      return openEngine();
    },
    killAndReopen: async () => {
      engines = [];
      return openEngine();
    },
    failWrites: (wanted) => {
      isFailing = wanted;
    },
    faults: () => faults,
    dispose: async () => {
      isFailing = false;
      for (const engine of engines) await engine.close();
      for (const registry of registries) await registry.close();
      rmSync(parent, { recursive: true, force: true });
    },
  };
});
