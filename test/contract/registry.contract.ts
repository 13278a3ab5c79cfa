/**
 * What every engine of the registry promises. `open` gives a fresh, empty registry; its `openSecond` another handle on
 * the same data, as another process has it; `reopen` closes all and opens the data again.
 */
import { describe, expect, it, onTestFinished } from 'vitest';
import type { KeyLookup } from '../../src/admission/key-lookup.ts';
import type { Clock } from '../../src/event/clock.ts';
import { asEpochMs, asProjectId } from '../../src/event/ids.ts';
import {
  scopes,
  type Project,
  type ProjectKey,
  type ProjectKeyKind,
  type Registry,
} from '../../src/registry/registry.ts';
import { seedFirstProject } from '../../src/registry/seed.ts';

export interface RegistryForTest {
  readonly registry: Registry;
  readonly openSecond: () => Promise<Registry>;
  /** Closes every handle first. */
  readonly reopen: () => Promise<Registry>;
  /** Everything that lies on disk. */
  readonly storedBytes: () => Buffer;
  readonly dispose: () => Promise<void>;
}
export type OpenRegistryForTest = (clock: Clock) => Promise<RegistryForTest>;

const START_MS = 1_800_000_000_000;
/** A change made elsewhere is seen within this time. */
const SEEN_ELSEWHERE_MS = 1_000;

class FakeClock implements Clock {
  #elapsedMs = 0;
  nowMs = () => asEpochMs(START_MS + this.#elapsedMs);
  monotonicMs = () => this.#elapsedMs;
  advance(byMs: number): void {
    this.#elapsedMs += byMs;
  }
}

async function keyOf(registry: Registry, project: Project, kind: ProjectKeyKind, key?: string): Promise<ProjectKey> {
  const made = await registry.createProjectKey(project.id, kind, key);
  if (made.kind === 'refused') throw new Error(`the key was refused: ${made.reason}`);
  return made;
}

const noSeeds = { projectApiKey: undefined, publicApiKey: undefined, personalApiKey: undefined };
const allSeeds = { projectApiKey: 'phc_seed_server', publicApiKey: 'my own public key', personalApiKey: 'phx_seed' };
const absentProject = asProjectId(4_000_000_000);

export function registryContract(engine: string, open: OpenRegistryForTest): void {
  async function opened(): Promise<RegistryForTest & { clock: FakeClock }> {
    const clock = new FakeClock();
    const forTest = await open(clock);
    onTestFinished(() => forTest.dispose());
    return { ...forTest, clock };
  }

  describe(`projects in the registry on ${engine}`, () => {
    it('starts without projects and keys', async () => {
      const { registry } = await opened();
      expect(registry.projects()).toEqual([]);
      expect(registry.projectKeys()).toEqual([]);
      expect(registry.personalKeys()).toEqual([]);
      expect(registry.project(absentProject)).toBeUndefined();
    });

    it('gives projects ascending ids and lists them in that order', async () => {
      const { registry } = await opened();
      const made = [];
      for (let i = 0; i < 12; i++) made.push(await registry.createProject(`project ${i}`));
      expect(registry.projects()).toEqual(made);
      expect(made.map(({ id }) => id)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
      expect(made[0]).toEqual({ id: 1, name: 'project 0', createdAtMs: START_MS });
    });

    it('renames a project and keeps the rest of it', async () => {
      const { registry, reopen } = await opened();
      const project = await registry.createProject('before');
      expect(await registry.renameProject(project.id, 'after ü')).toEqual({ ...project, name: 'after ü' });
      expect(registry.project(project.id)).toEqual({ ...project, name: 'after ü' });
      expect((await reopen()).project(project.id)).toEqual({ ...project, name: 'after ü' });
    });

    it('renames and deletes nothing where there is no such project', async () => {
      const { registry } = await opened();
      expect(await registry.renameProject(absentProject, 'x')).toBeUndefined();
      expect(await registry.deleteProject(absentProject)).toBe(false);
    });

    it('revokes the keys of a deleted project, and no others', async () => {
      const { registry, clock } = await opened();
      const [deleted, kept] = [await registry.createProject('deleted'), await registry.createProject('kept')];
      const gone = [await keyOf(registry, deleted, 'server'), await keyOf(registry, deleted, 'public')];
      const stays = await keyOf(registry, kept, 'public');
      clock.advance(5_000);
      expect(await registry.deleteProject(deleted.id)).toBe(true);
      expect(registry.projects()).toEqual([kept]);
      expect(registry.project(deleted.id)).toBeUndefined();
      for (const { key } of gone) expect(registry.findProjectKey(key)?.revokedAtMs).toBe(START_MS + 5_000);
      expect(registry.findProjectKey(stays.key)).toEqual(stays);
      expect(await registry.deleteProject(deleted.id)).toBe(false);
    });

    it('never gives the id of a deleted project again', async () => {
      const { registry, reopen } = await opened();
      const first = await registry.createProject('first');
      await registry.deleteProject(first.id);
      expect((await (await reopen()).createProject('second')).id).toBe(first.id + 1);
    });
  });

  describe(`project keys in the registry on ${engine}`, () => {
    it('makes keys that begin with phc_, fit in 64 bytes and differ', async () => {
      const { registry } = await opened();
      const project = await registry.createProject('p');
      const made = [await keyOf(registry, project, 'server'), await keyOf(registry, project, 'server')];
      for (const { key } of made) expect(key).toMatch(/^phc_[\w-]{40,60}$/);
      expect(made[0]?.key).not.toBe(made[1]?.key);
      expect(made[0]?.id).not.toBe(made[1]?.id);
    });

    it('finds a key by its text, and only by all of it', async () => {
      const { registry } = await opened();
      const made = await keyOf(registry, await registry.createProject('p'), 'public');
      expect(made).toMatchObject({ kind: 'public', projectId: 1, createdAtMs: START_MS, revokedAtMs: undefined });
      expect(registry.findProjectKey(made.key)).toEqual(made);
      expect(registry.findProjectKey(made.key)).toBe(registry.findProjectKey(made.key));
      for (const other of ['', made.key.slice(0, -1), `${made.key}x`, made.key.toUpperCase(), '__proto__', made.id]) {
        expect(registry.findProjectKey(other)).toBeUndefined();
      }
    });

    it('takes keys that the operator chose, at one and at 64 bytes', async () => {
      const { registry, reopen } = await opened();
      const project = await registry.createProject('p');
      const texts = ['k', 'a'.repeat(64), 'sTestFTW', '{"a": 1}'];
      for (const text of texts) expect((await keyOf(registry, project, 'server', text)).key).toBe(text);
      const later = await reopen();
      for (const text of texts) expect(later.findProjectKey(text)?.key).toBe(text);
    });

    it('stops on a chosen key of a shape that no request could carry', async () => {
      const { registry } = await opened();
      const project = await registry.createProject('p');
      for (const text of ['', 'a'.repeat(65), 'ü', 'phx_abc', 'a\0b']) {
        await expect(registry.createProjectKey(project.id, 'server', text)).rejects.toThrow('project key');
      }
      expect(registry.projectKeys()).toEqual([]);
    });

    it('refuses a key that exists, in any project, of any kind, even revoked', async () => {
      const { registry } = await opened();
      const [one, two] = [await registry.createProject('one'), await registry.createProject('two')];
      const made = await keyOf(registry, one, 'server', 'phc_same');
      const refusal = { kind: 'refused', reason: 'duplicate_key' };
      expect(await registry.createProjectKey(one.id, 'server', 'phc_same')).toEqual(refusal);
      expect(await registry.createProjectKey(two.id, 'public', 'phc_same')).toEqual(refusal);
      await registry.revokeKey(made.id);
      expect(await registry.createProjectKey(two.id, 'public', 'phc_same')).toEqual(refusal);
      expect(registry.projectKeys()).toHaveLength(1);
    });

    it('refuses a key for a project that is not there', async () => {
      const { registry } = await opened();
      const refusal = { kind: 'refused', reason: 'unknown_project' };
      expect(await registry.createProjectKey(absentProject, 'server')).toEqual(refusal);
    });

    it('finds a revoked key as revoked; the first revocation stays', async () => {
      const { registry, clock, reopen } = await opened();
      const made = await keyOf(registry, await registry.createProject('p'), 'public');
      expect(await registry.revokeKey(made.id)).toBe(true);
      clock.advance(1_000);
      expect(await registry.revokeKey(made.id)).toBe(true);
      expect(registry.findProjectKey(made.key)).toEqual({ ...made, revokedAtMs: START_MS });
      expect((await reopen()).findProjectKey(made.key)).toEqual({ ...made, revokedAtMs: START_MS });
    });

    it('revokes nothing where no key has the id', async () => {
      const { registry } = await opened();
      const made = await keyOf(registry, await registry.createProject('p'), 'public');
      for (const id of ['', 'absent', made.key]) expect(await registry.revokeKey(id)).toBe(false);
      expect(registry.findProjectKey(made.key)).toEqual(made);
    });
  });

  describe(`personal keys in the registry on ${engine}`, () => {
    it('makes a secret of 32 random bytes behind phx_, and finds the key by it', async () => {
      const { registry, reopen } = await opened();
      const { key, secret } = await registry.createPersonalKey({ scopes: ['capture', 'query'], projects: undefined });
      expect(secret).toMatch(/^phx_[\w-]{43}$/);
      expect(key).toMatchObject({ kind: 'personal', scopes: ['capture', 'query'], projects: undefined });
      expect(key).toMatchObject({ createdAtMs: START_MS, revokedAtMs: undefined, lastUsedAtMs: undefined });
      expect(registry.findPersonalKey(secret)).toEqual(key);
      for (const other of ['', 'phx_', secret.slice(0, -1), `${secret}x`, key.id, 'phx_'.padEnd(10_000, 'a')]) {
        expect(registry.findPersonalKey(other)).toBeUndefined();
      }
      expect((await reopen()).findPersonalKey(secret)).toEqual(key);
    });

    it('keeps no secret on disk', async () => {
      const { registry, storedBytes } = await opened();
      const { secret } = await registry.createPersonalKey({ scopes: ['capture'], projects: undefined });
      await registry.createPersonalKey({ scopes: ['capture'], projects: undefined, secret: 'phx_chosen-by-hand' });
      const projectKey = await keyOf(registry, await registry.createProject('p'), 'public');
      await registry.close();
      const stored = storedBytes();
      expect(stored.includes(projectKey.key), 'the project key is there: the search looks at the right bytes').toBe(
        true,
      );
      expect(stored.includes(secret.slice(4))).toBe(false);
      expect(stored.includes('chosen-by-hand')).toBe(false);
    });

    it('limits a key to projects, to none too', async () => {
      const { registry, reopen } = await opened();
      const { id } = await registry.createProject('p');
      const some = await registry.createPersonalKey({ scopes: ['admin'], projects: [id] });
      const none = await registry.createPersonalKey({ scopes: [], projects: [] });
      const later = await reopen();
      expect(later.findPersonalKey(some.secret)).toMatchObject({ scopes: ['admin'], projects: [id] });
      expect(later.findPersonalKey(none.secret)).toMatchObject({ scopes: [], projects: [] });
      expect(later.personalKeys()).toHaveLength(2);
    });

    it('gives back the key that has a chosen secret already, as it is', async () => {
      const { registry } = await opened();
      const first = await registry.createPersonalKey({ scopes: ['query'], projects: undefined, secret: 'phx_mine' });
      const again = await registry.createPersonalKey({ scopes: [...scopes], projects: undefined, secret: 'phx_mine' });
      expect(again).toEqual(first);
      expect(registry.personalKeys()).toEqual([first.key]);
    });

    it('stops on a chosen secret that no header could carry', async () => {
      const { registry } = await opened();
      for (const secret of ['', 'phx_', 'phc_abc', 'phx_a b', 'phx_ü', `phx_${'a'.repeat(253)}`]) {
        const wanted = { scopes, projects: undefined, secret };
        await expect(registry.createPersonalKey(wanted)).rejects.toThrow('not a personal key');
      }
      expect(registry.personalKeys()).toEqual([]);
    });

    it('finds a revoked key as revoked', async () => {
      const { registry } = await opened();
      const { key, secret } = await registry.createPersonalKey({ scopes: ['capture'], projects: undefined });
      expect(await registry.revokeKey(key.id)).toBe(true);
      expect(registry.findPersonalKey(secret)?.revokedAtMs).toBe(START_MS);
    });

    it('records the last use, at most once a minute', async () => {
      const { registry, clock } = await opened();
      const { key } = await registry.createPersonalKey({ scopes: ['capture'], projects: undefined });
      const lastUse = () => registry.personalKeys()[0]?.lastUsedAtMs;
      registry.notePersonalKeyUse(key.id);
      await expect.poll(lastUse).toBe(START_MS);
      clock.advance(59_999);
      registry.notePersonalKeyUse(key.id);
      await registry.createProject('a later change, behind which an earlier one would be seen');
      expect(lastUse()).toBe(START_MS);
      clock.advance(1);
      registry.notePersonalKeyUse(key.id);
      await expect.poll(lastUse).toBe(START_MS + 60_000);
    });

    it('records a use noted just before the close', async () => {
      const { registry, reopen } = await opened();
      const { key, secret } = await registry.createPersonalKey({ scopes: ['capture'], projects: undefined });
      registry.notePersonalKeyUse(key.id);
      const later = await reopen();
      expect(later.personalKeys()[0]?.lastUsedAtMs).toBe(START_MS);
      expect(later.findPersonalKey(secret)?.lastUsedAtMs).toBe(START_MS);
    });

    it('takes the use of a key that is not there, and a use after the close, without a word', async () => {
      const { registry } = await opened();
      const { key } = await registry.createPersonalKey({ scopes: ['capture'], projects: undefined });
      registry.notePersonalKeyUse('absent');
      await registry.close();
      registry.notePersonalKeyUse(key.id);
    });
  });

  describe(`handles of the registry on ${engine}`, () => {
    it('keeps everything over a reopen', async () => {
      const { registry, reopen } = await opened();
      const project = await registry.createProject('p');
      const projectKey = await keyOf(registry, project, 'server');
      const { key } = await registry.createPersonalKey({ scopes: ['query'], projects: [project.id] });
      const later = await reopen();
      expect(later.projects()).toEqual([project]);
      expect(later.projectKeys()).toEqual([projectKey]);
      expect(later.personalKeys()).toEqual([key]);
    });

    it('sees a key that another handle made at once', async () => {
      const { registry, openSecond } = await opened();
      const second = await openSecond();
      const project = await registry.createProject('p');
      const projectKey = await keyOf(registry, project, 'public');
      const { key, secret } = await registry.createPersonalKey({ scopes: ['capture'], projects: undefined });
      expect(second.findProjectKey(projectKey.key)).toEqual(projectKey);
      expect(second.findPersonalKey(secret)).toEqual(key);
      expect(second.project(project.id)).toEqual(project);
      expect(second.projects()).toEqual([project]);
    });

    it('sees within a second what another handle revoked', async () => {
      const { registry, openSecond, clock } = await opened();
      const projectKey = await keyOf(registry, await registry.createProject('p'), 'public');
      const { key, secret } = await registry.createPersonalKey({ scopes: ['capture'], projects: undefined });
      const second = await openSecond();
      expect(second.findProjectKey(projectKey.key)?.revokedAtMs).toBeUndefined();
      await registry.revokeKey(projectKey.id);
      await registry.revokeKey(key.id);
      clock.advance(SEEN_ELSEWHERE_MS);
      expect(second.findProjectKey(projectKey.key)?.revokedAtMs).toBe(START_MS);
      expect(second.findPersonalKey(secret)?.revokedAtMs).toBe(START_MS);
    });

    it('shows another handle the last use', async () => {
      const { registry, openSecond } = await opened();
      const { key } = await registry.createPersonalKey({ scopes: ['capture'], projects: undefined });
      const second = await openSecond();
      registry.notePersonalKeyUse(key.id);
      await expect.poll(() => second.personalKeys()[0]?.lastUsedAtMs).toBe(START_MS);
    });

    it('loses no change that two handles make at the same time', async () => {
      const { registry, openSecond } = await opened();
      const second = await openSecond();
      const made = await Promise.all(
        Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? registry : second).createProject(`p${i}`)),
      );
      expect(new Set(made.map(({ id }) => id)).size).toBe(20);
      expect(registry.projects()).toHaveLength(20);
      expect(second.projects()).toHaveLength(20);
    });

    it('goes on to answer lookups after the close, refuses changes, and closes twice', async () => {
      const { registry } = await opened();
      const projectKey = await keyOf(registry, await registry.createProject('p'), 'public');
      const unfinished = registry.createProject('accepted before the close');
      await Promise.all([registry.close(), registry.close()]);
      expect((await unfinished).id).toBe(2);
      expect(registry.findProjectKey(projectKey.key)).toEqual(projectKey);
      expect(registry.findProjectKey('absent')).toBeUndefined();
      expect(registry.projectKeys()).toEqual([projectKey]);
      expect(registry.personalKeys()).toEqual([]);
      await expect(registry.createProject('late')).rejects.toThrow('the registry is closed');
    });

    it('answers the questions that admission asks', async () => {
      const { registry } = await opened();
      const lookup: KeyLookup = registry;
      expect(lookup.findProjectKey('absent')).toBeUndefined();
    });
  });

  describe(`privacy of a project in the registry on ${engine}`, () => {
    it('keeps what it is told, and leaves what is left out', async () => {
      const { registry, reopen } = await opened();
      const { id } = await registry.createProject('shop');
      expect(registry.projectPrivacy().get(id)).toBeUndefined();
      const redact = ['*password*', '$set.email'];
      expect(await registry.setProjectPrivacy(id, { redact })).toEqual({ address: 'keep', redact });
      expect(await registry.setProjectPrivacy(id, { address: 'drop' })).toEqual({ address: 'drop', redact });
      expect(await registry.setProjectPrivacy(id, {})).toEqual({ address: 'drop', redact });
      expect((await reopen()).projectPrivacy().get(id)).toEqual({ address: 'drop', redact });
    });

    it('has an entry for projects alone that keep less than everything', async () => {
      const { registry } = await opened();
      const first = await registry.createProject('first');
      const second = await registry.createProject('second');
      await registry.setProjectPrivacy(first.id, { address: 'truncate', redact: ['a'] });
      await registry.setProjectPrivacy(second.id, { redact: ['a'] });
      await registry.setProjectPrivacy(first.id, { address: 'keep', redact: [] });
      expect([...registry.projectPrivacy().keys()]).toEqual([second.id]);
      await registry.deleteProject(second.id);
      expect([...registry.projectPrivacy().keys()]).toEqual([]);
      expect(await registry.setProjectPrivacy(second.id, { redact: ['a'] })).toBeUndefined();
      expect(await registry.setProjectPrivacy(absentProject, { redact: ['a'] })).toBeUndefined();
    });

    it('is seen in another process within a second, and is the same object until something changes', async () => {
      const { registry, openSecond, clock } = await opened();
      const second = await openSecond();
      const { id } = await registry.createProject('shop');
      await registry.setProjectPrivacy(id, { address: 'drop' });
      clock.advance(SEEN_ELSEWHERE_MS);
      const policy = second.projectPrivacy().get(id);
      expect(policy).toEqual({ address: 'drop', redact: [] });
      clock.advance(SEEN_ELSEWHERE_MS);
      expect(second.projectPrivacy().get(id)).toBe(policy);
    });
  });

  describe(`limits in the registry on ${engine}`, () => {
    const all = { eventsPerSecond: 0.5, burst: 20, monthlyQuota: 0 };

    it('keeps them with the project, names left out as they were, and gives the rest back after a reopen', async () => {
      const { registry, reopen } = await opened();
      const { id } = await registry.createProject('limited');
      expect(registry.projectLimits()).toEqual(new Map());
      expect(await registry.setProjectLimits(id, all)).toEqual(all);
      const changed = { eventsPerSecond: 0.5, burst: undefined, monthlyQuota: 7 };
      expect(await registry.setProjectLimits(id, { burst: 'none', monthlyQuota: 7 })).toEqual(changed);
      expect(await registry.setProjectLimits(id, {})).toEqual(changed);
      expect((await reopen()).projectLimits()).toEqual(new Map([[id, changed]]));
    });

    it('forgets a project whose last limit went, one that was deleted, and knows none that never was', async () => {
      const { registry } = await opened();
      const [first, second] = [await registry.createProject('first'), await registry.createProject('second')];
      await registry.setProjectLimits(first.id, { burst: 5 });
      await registry.setProjectLimits(second.id, { burst: 5 });
      await registry.setProjectLimits(first.id, { burst: 'none' });
      await registry.deleteProject(second.id);
      expect(registry.projectLimits()).toEqual(new Map());
      expect(await registry.setProjectLimits(absentProject, { burst: 5 })).toBeUndefined();
      expect(await registry.setProjectLimits(second.id, { burst: 5 })).toBeUndefined();
    });

    it('gives the same object until something changes, elsewhere too', async () => {
      const { registry, openSecond, clock } = await opened();
      const second = await openSecond();
      const { id } = await registry.createProject('limited');
      await registry.setProjectLimits(id, { burst: 5 });
      const seen = registry.projectLimits();
      await registry.addEventUse([{ projectId: id, month: '2026-01', events: 3 }]);
      clock.advance(SEEN_ELSEWHERE_MS);
      expect(registry.projectLimits()).toBe(seen);
      await second.setProjectLimits(id, { burst: 6 });
      clock.advance(SEEN_ELSEWHERE_MS);
      expect(registry.projectLimits().get(id)?.burst).toBe(6);
    });

    it('adds up the events of a month, of all processes, and never below 0', async () => {
      const { registry, openSecond, reopen } = await opened();
      const second = await openSecond();
      const { id } = await registry.createProject('counted');
      expect(registry.eventUse(id, '2026-01')).toBe(0);
      const add = (to: Registry, events: number, month = '2026-01'): Promise<readonly number[]> =>
        to.addEventUse([{ projectId: id, month, events }]);
      await Promise.all(Array.from({ length: 50 }, (_, i) => add(i % 2 === 0 ? registry : second, 2)));
      expect([registry.eventUse(id, '2026-01'), second.eventUse(id, '2026-01')]).toEqual([100, 100]);
      expect(
        await registry.addEventUse([
          { projectId: id, month: '2026-02', events: 4 },
          { projectId: id, month: '2026-01', events: -30 },
          { projectId: id, month: '2026-01', events: 1 },
        ]),
      ).toEqual([4, 70, 71]);
      expect(await add(second, -10, '2026-02')).toEqual([0]);
      const later = await reopen();
      expect([later.eventUse(id, '2026-01'), later.eventUse(id, '2026-02')]).toEqual([71, 0]);
    });
  });

  describe(`seeding the registry on ${engine}`, () => {
    it('makes the first project with a key of each kind, and prints what it made', async () => {
      const { registry } = await opened();
      const made = await seedFirstProject(registry, noSeeds);
      expect(made?.project.name).toBe('Default project');
      expect(registry.projects()).toEqual([made?.project]);
      expect(made?.serverKey).toMatchObject({ kind: 'server', projectId: made?.project.id });
      expect(made?.publicKey).toMatchObject({ kind: 'public', projectId: made?.project.id });
      expect(made?.personalKey).toMatchObject({ scopes: ['capture', 'query', 'admin'], projects: undefined });
      expect(registry.findPersonalKey(made?.personalSecret ?? '')).toEqual(made?.personalKey);
      expect(registry.projectKeys()).toHaveLength(2);
    });

    it('takes the seeds, and does nothing the second time', async () => {
      const { registry, reopen } = await opened();
      const made = await seedFirstProject(registry, allSeeds);
      expect(made).toMatchObject({ serverKey: { key: 'phc_seed_server' }, publicKey: { key: 'my own public key' } });
      expect(made?.personalSecret).toBe('phx_seed');
      const later = await reopen();
      expect(await seedFirstProject(later, allSeeds)).toBeUndefined();
      expect(await seedFirstProject(later, noSeeds)).toBeUndefined();
      expect([later.projects().length, later.projectKeys().length, later.personalKeys().length]).toEqual([1, 2, 1]);
    });

    it('adds seeds given later to the oldest project, once', async () => {
      const { registry } = await opened();
      const first = await seedFirstProject(registry, noSeeds);
      await registry.createProject('another');
      for (let start = 0; start < 2; start++) expect(await seedFirstProject(registry, allSeeds)).toBeUndefined();
      expect(registry.findProjectKey('phc_seed_server')).toMatchObject({
        kind: 'server',
        projectId: first?.project.id,
      });
      expect(registry.findProjectKey('my own public key')).toMatchObject({
        kind: 'public',
        projectId: first?.project.id,
      });
      expect(registry.findPersonalKey('phx_seed')).toMatchObject({ scopes, projects: undefined });
      expect([registry.projectKeys().length, registry.personalKeys().length]).toEqual([4, 2]);
    });

    it('leaves a seed that was revoked revoked', async () => {
      const { registry } = await opened();
      const made = await seedFirstProject(registry, allSeeds);
      await registry.revokeKey(made?.serverKey.id ?? '');
      await registry.revokeKey(made?.personalKey.id ?? '');
      await seedFirstProject(registry, allSeeds);
      expect(registry.findProjectKey('phc_seed_server')?.revokedAtMs).toBe(START_MS);
      expect(registry.findPersonalKey('phx_seed')?.revokedAtMs).toBe(START_MS);
    });

    it('makes one project when processes start together', async () => {
      const { registry, openSecond } = await opened();
      const second = await openSecond();
      const made = await Promise.all([seedFirstProject(registry, allSeeds), seedFirstProject(second, allSeeds)]);
      expect(made.filter((one) => one !== undefined)).toHaveLength(1);
      for (const handle of [registry, second]) {
        expect([handle.projects().length, handle.projectKeys().length, handle.personalKeys().length]).toEqual([
          1, 2, 1,
        ]);
      }
    });

    it('changes nothing when a seed is the key of a project that was deleted', async () => {
      const { registry } = await opened();
      const made = await seedFirstProject(registry, allSeeds);
      await registry.deleteProject(made?.project.id ?? absentProject);
      await expect(seedFirstProject(registry, allSeeds)).rejects.toThrow('belonged to a project that was deleted');
      expect(registry.projects()).toEqual([]);
      expect((await seedFirstProject(registry, noSeeds))?.project.id).toBe(2);
    });
  });
}
