/**
 * The registry on LMDB: one folder, shared by every process of this machine.
 *
 * Reading   All rows are held in memory: a few hundred, at most some ten thousand. A revision in LMDB grows with each
 *           change and is looked at once in RECHECK_MS, when something is asked. So a lookup of a known key is a read
 *           of the monotonic clock and a `Map.get` (55 ns), and a key revoked by another process is refused within
 *           RECHECK_MS. A lookup that finds nothing (0.9 us), and every list, looks at the revision at once: a key made
 *           elsewhere is known at once.
 * Writing   One LMDB transaction a change; it decides and writes under LMDB's lock, which all processes share. It
 *           returns once the change is synced to disk (`overlappingSync: false`) and seen here.
 * Last use  Written in the background, at most once a minute and key over all processes; a failure loses only that.
 *           `personalKeys` shows it as it is now, a found key as it was when the rows were last read.
 * Secrets   A personal key is kept as its SHA-256: docs/decisions/0004-lmdb-registry.md says why that is enough.
 * Length    One class answers the whole port; what needs no LMDB lies in registry-image.ts and rows.ts.
 * Failure   Rows of a newer format, or rows that do not parse, throw: nobody may be let in by a guess.
 */
import { mkdirSync } from 'node:fs';
import { hash, timingSafeEqual } from 'node:crypto';
import { open, type Key, type RootDatabase } from 'lmdb';
import { z } from 'zod';
import type { Clock } from '../../event/clock.ts';
import type { IdSource } from '../../event/id-source.ts';
import { asProjectId, type ProjectId } from '../../event/ids.ts';
import { isPersonalKeyShape, MAX_PERSONAL_KEY_BYTES, projectKeyProblem } from '../../event/key-shape.ts';
import { formatUuid } from '../../event/uuid.ts';
import { keepsAll, type PrivacyChange, type PrivacyPolicy } from '../../normalize/privacy-policy.ts';
import { type EventUse, type LimitsChange, noLimits, type ProjectLimits, withChange } from '../project-limits.ts';
import type {
  FirstProject,
  NewFirstProject,
  NewPersonalKey,
  PersonalKey,
  Project,
  ProjectKey,
  ProjectKeyKind,
  Registry,
} from '../registry.ts';
import { scopes } from '../registry.ts';
import {
  limitsOf,
  personalKeyOf,
  privacyOf,
  projectKeyOf,
  projectOf,
  type HashedPersonalKey,
  type RegistryImage,
} from './registry-image.ts';
import {
  counterRow,
  FORMAT_VERSION,
  lastUseRow,
  limitsRow,
  personalKeyRow,
  privacyRow,
  projectKeyRow,
  projectRow,
  type PersonalKeyRow,
  type ProjectKeyRow,
} from './rows.ts';

export const RECHECK_MS = 250; // a change elsewhere is to be seen within a second; one look costs about a microsecond
export const USE_INTERVAL_MS = 60_000;
const LIMITS = 'the limits of a project';
const PRIVACY = 'what a project keeps of its clients';
const SECRET_BYTES = 32; // 43 characters as text: `phc_` and 43 stay below protocol.md 4's 64 bytes

export interface LmdbRegistryOptions {
  /** A folder of its own; made, for its owner alone, when it is not there. */
  readonly dir: string;
  readonly clock: Clock;
  readonly ids: IdSource;
}

/** @throws Error when the folder cannot be used, or was written by a newer version. */
export async function openLmdbRegistry(options: LmdbRegistryOptions): Promise<Registry> {
  mkdirSync(options.dir, { recursive: true, mode: 0o700 });
  const rows = open<unknown>({ path: options.dir, noSubdir: false, encoding: 'json', overlappingSync: false });
  try {
    rows.readerCheck(); // frees the slots of processes that were killed
    await rows.transaction(() => {
      if (rows.get(['meta', 'format']) !== undefined) return;
      rows.putSync(['meta', 'format'], FORMAT_VERSION);
      rows.putSync(['meta', 'revision'], 0);
      rows.putSync(['meta', 'next-project-id'], 1);
    });
    return new LmdbRegistry(rows, options);
  } catch (error) {
    await rows.close();
    throw error;
  }
}

class LmdbRegistry implements Registry {
  readonly #rows: RootDatabase<unknown>;
  readonly #clock: Clock;
  readonly #ids: IdSource;
  #image: RegistryImage;
  /** Monotonic; when the revision was last looked at. */
  #checkedAtMs: number;
  /** Monotonic, by the key's id; only ids of keys that exist, so it stays as small as they are few. */
  readonly #usesNotedAtMs = new Map<string, number>();
  readonly #unfinished = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  constructor(rows: RootDatabase<unknown>, { clock, ids }: LmdbRegistryOptions) {
    this.#rows = rows;
    this.#clock = clock;
    this.#ids = ids;
    this.#checkedAtMs = clock.monotonicMs();
    this.#image = this.#readImage();
  }

  projects(): readonly Project[] {
    this.#lookAgain();
    return [...this.#image.projects.values()];
  }

  project(id: ProjectId): Project | undefined {
    this.#lookAgainWhenDue();
    const known = this.#image.projects.get(id);
    if (known !== undefined) return known;
    this.#lookAgain();
    return this.#image.projects.get(id);
  }

  createProject(name: string): Promise<Project> {
    return this.#change(() => this.#putProject(name));
  }

  async createFirstProject(wanted: NewFirstProject): Promise<FirstProject | undefined> {
    const serverText = wanted.serverKey ?? this.#newProjectKeyText();
    const publicText = wanted.publicKey ?? this.#newProjectKeyText();
    const personalSecret = wanted.personalSecret ?? this.#newPersonalSecret();
    assertProjectKeyShape(serverText);
    assertProjectKeyShape(publicText);
    assertPersonalKeyShape(personalSecret);
    if (serverText === publicText) throw new RangeError('the first server key and the first public key are the same');
    return this.#change(() => {
      if (this.#rowsOf('project').length > 0) return undefined;
      // Keys of deleted projects are still there. To take one over would open a key that somebody revoked.
      for (const text of [serverText, publicText]) {
        if (this.#rows.doesExist(['project-key', text])) {
          throw new Error('a chosen project key belonged to a project that was deleted; choose another');
        }
      }
      const project = this.#putProject(wanted.name);
      return {
        project,
        serverKey: this.#putProjectKey(project.id, 'server', serverText),
        publicKey: this.#putProjectKey(project.id, 'public', publicText),
        personalKey: this.#putPersonalKey(personalSecret, { scopes, projects: undefined }),
        personalSecret,
      };
    });
  }

  renameProject(id: ProjectId, name: string): Promise<Project | undefined> {
    return this.#change(() => {
      const stored = this.#rows.get(['project', id]);
      if (stored === undefined) return undefined;
      const row = { ...parseRow(projectRow, stored, 'a project'), name };
      this.#rows.putSync(['project', id], row);
      return projectOf(id, row);
    });
  }

  deleteProject(id: ProjectId): Promise<boolean> {
    return this.#change(() => {
      if (!this.#rows.doesExist(['project', id])) return false;
      for (const { key, row } of this.#projectKeyRows()) if (row.projectId === id) this.#revokeRow(key, row);
      this.#rows.removeSync(['project', id]);
      this.#rows.removeSync(['limits', id]);
      this.#rows.removeSync(['privacy', id]);
      return true;
    });
  }

  projectKeys(): readonly ProjectKey[] {
    this.#lookAgain();
    return [...this.#image.projectKeys.values()];
  }

  /** Last uses are read anew: they do not move the revision. */
  personalKeys(): readonly PersonalKey[] {
    this.#lookAgain();
    return Array.from(this.#image.personalKeys.values(), ({ key }) => {
      if (this.#closing !== undefined) return key;
      const lastUsedAtMs = this.#lastUseOf(key.id);
      return lastUsedAtMs === key.lastUsedAtMs ? key : personalKeyOf(rowOf(key), lastUsedAtMs);
    });
  }

  async createProjectKey(
    projectId: ProjectId,
    kind: ProjectKeyKind,
    key?: string,
  ): Promise<ProjectKey | { readonly kind: 'refused'; readonly reason: 'duplicate_key' | 'unknown_project' }> {
    const text = key ?? this.#newProjectKeyText();
    assertProjectKeyShape(text);
    return this.#change(() => {
      if (!this.#rows.doesExist(['project', projectId])) return { kind: 'refused', reason: 'unknown_project' };
      if (this.#rows.doesExist(['project-key', text])) return { kind: 'refused', reason: 'duplicate_key' };
      return this.#putProjectKey(projectId, kind, text);
    });
  }

  async createPersonalKey(wanted: NewPersonalKey): Promise<{ readonly key: PersonalKey; readonly secret: string }> {
    const secret = wanted.secret ?? this.#newPersonalSecret();
    assertPersonalKeyShape(secret);
    return this.#change(() => ({ key: this.#putPersonalKey(secret, wanted), secret }));
  }

  revokeKey(id: string): Promise<boolean> {
    return this.#change(() => {
      const found = [...this.#projectKeyRows(), ...this.#personalKeyRows()].find(({ row }) => row.id === id);
      if (found === undefined) return false;
      this.#revokeRow(found.key, found.row);
      return true;
    });
  }

  findProjectKey(key: string): ProjectKey | undefined {
    this.#lookAgainWhenDue();
    const known = this.#image.projectKeys.get(key);
    if (known !== undefined) return known;
    this.#lookAgain();
    return this.#image.projectKeys.get(key);
  }

  findPersonalKey(secret: string): PersonalKey | undefined {
    if (secret.length > MAX_PERSONAL_KEY_BYTES) return undefined; // bounds the work that a stranger can cause
    const digest = sha256(secret);
    const hex = digest.toString('hex');
    this.#lookAgainWhenDue();
    if (!this.#image.personalKeys.has(hex)) this.#lookAgain();
    const found = this.#image.personalKeys.get(hex);
    return found !== undefined && timingSafeEqual(found.hash, digest) ? found.key : undefined;
  }

  notePersonalKeyUse(id: string): void {
    try {
      const nowMs = this.#clock.monotonicMs();
      const notedAtMs = this.#usesNotedAtMs.get(id);
      if (this.#closing !== undefined || (notedAtMs !== undefined && nowMs - notedAtMs < USE_INTERVAL_MS)) return;
      if (notedAtMs === undefined && !this.#knowsPersonalKey(id)) return;
      this.#usesNotedAtMs.set(id, nowMs);
      this.#track(this.#writeUse(id, this.#clock.nowMs())).catch(() => undefined);
    } catch {
      // A use that is not written down must not cost the request that made it.
    }
  }

  projectLimits(): ReadonlyMap<ProjectId, ProjectLimits> {
    this.#lookAgainWhenDue();
    return this.#image.limits;
  }

  setProjectLimits(id: ProjectId, change: LimitsChange): Promise<ProjectLimits | undefined> {
    return this.#change(() => {
      if (!this.#rows.doesExist(['project', id])) return undefined;
      const stored = this.#rows.get(['limits', id]);
      const limits = withChange(
        stored === undefined ? noLimits : limitsOf(parseRow(limitsRow, stored, LIMITS)),
        change,
      );
      const { eventsPerSecond = null, burst = null, monthlyQuota = null } = limits;
      if (eventsPerSecond === null && burst === null && monthlyQuota === null) this.#rows.removeSync(['limits', id]);
      else this.#rows.putSync(['limits', id], { eventsPerSecond, burst, monthlyQuota });
      return limits;
    });
  }

  projectPrivacy(): ReadonlyMap<ProjectId, PrivacyPolicy> {
    this.#lookAgainWhenDue();
    return this.#image.privacy;
  }

  setProjectPrivacy(id: ProjectId, change: PrivacyChange): Promise<PrivacyPolicy | undefined> {
    return this.#change(() => {
      if (!this.#rows.doesExist(['project', id])) return undefined;
      const stored = this.#rows.get(['privacy', id]);
      const before = stored === undefined ? keepsAll : parseRow(privacyRow, stored, PRIVACY);
      const row = { address: change.address ?? before.address, redact: [...(change.redact ?? before.redact)] };
      if (row.address === 'keep' && row.redact.length === 0) this.#rows.removeSync(['privacy', id]);
      else this.#rows.putSync(['privacy', id], row);
      return privacyOf(row);
    });
  }

  eventUse(id: ProjectId, month: string): number {
    if (this.#closing !== undefined) throw new Error('the registry is closed');
    this.#rows.resetReadTxn();
    return this.#eventUseOf(id, month);
  }

  async addEventUse(uses: readonly EventUse[]): Promise<readonly number[]> {
    if (this.#closing !== undefined) throw new Error('the registry is closed');
    return this.#track(
      this.#rows.transaction(() => {
        this.#assertFormat();
        for (const { projectId, month } of uses) this.#eventUseOf(projectId, month); // throws before the first write
        return uses.map(({ projectId, month, events }) => {
          const sum = Math.max(0, this.#eventUseOf(projectId, month) + events);
          this.#rows.putSync(['event-use', projectId, month], sum);
          return sum;
        });
      }),
    );
  }

  close(): Promise<void> {
    this.#closing ??= this.#finish();
    return this.#closing;
  }

  async #finish(): Promise<void> {
    await Promise.allSettled(this.#unfinished);
    await this.#rows.close();
  }

  // --- changes; the methods from here to #revokeRow run inside a transaction ---

  /**
   * Runs `decideAndWrite` alone among all processes; it does all its checks before its first write, since LMDB keeps
   * what was written when it throws. Resolves once that is durable and seen here.
   */
  async #change<T>(decideAndWrite: () => T): Promise<T> {
    if (this.#closing !== undefined) throw new Error('the registry is closed');
    return this.#track(
      (async () => {
        const result = await this.#rows.transaction(() => {
          this.#assertFormat();
          const decided = decideAndWrite();
          this.#rows.putSync(['meta', 'revision'], this.#counter('revision') + 1);
          return decided;
        });
        this.#lookAgain('while closing too');
        return result;
      })(),
    );
  }

  #track<T>(work: Promise<T>): Promise<T> {
    this.#unfinished.add(work);
    const forget = (): void => void this.#unfinished.delete(work);
    work.then(forget, forget);
    return work;
  }

  #putProject(name: string): Project {
    const id = this.#counter('next-project-id');
    const row = { name, createdAtMs: this.#clock.nowMs() };
    const project = projectOf(id, row);
    this.#rows.putSync(['meta', 'next-project-id'], id + 1);
    this.#rows.putSync(['project', id], row);
    return project;
  }

  #putProjectKey(projectId: ProjectId, kind: ProjectKeyKind, text: string): ProjectKey {
    const row: ProjectKeyRow = { ...this.#newKeyRow(), kind, projectId };
    this.#rows.putSync(['project-key', text], row);
    return projectKeyOf(text, row);
  }

  /** The key that has this secret already, as it is; else a new one. */
  #putPersonalKey(secret: string, wanted: Pick<NewPersonalKey, 'scopes' | 'projects'>): PersonalKey {
    const rowKey = ['personal-key', sha256(secret).toString('hex')];
    const stored = this.#rows.get(rowKey);
    if (stored !== undefined) {
      const row = parseRow(personalKeyRow, stored, 'a personal key');
      return personalKeyOf(row, this.#lastUseOf(row.id));
    }
    const projects = wanted.projects === undefined ? null : [...wanted.projects];
    const row: PersonalKeyRow = { ...this.#newKeyRow(), scopes: [...wanted.scopes], projects };
    this.#rows.putSync(rowKey, row);
    return personalKeyOf(row, undefined);
  }

  #newKeyRow(): Pick<ProjectKeyRow, 'id' | 'createdAtMs' | 'revokedAtMs'> {
    const nowMs = this.#clock.nowMs();
    const id = new Uint8Array(16);
    this.#ids.writeUuidV7(nowMs, id, 0);
    return { id: formatUuid(id), createdAtMs: nowMs, revokedAtMs: null };
  }

  /** The first revocation stays. */
  #revokeRow(rowKey: Key, row: ProjectKeyRow | PersonalKeyRow): void {
    if (row.revokedAtMs === null) this.#rows.putSync(rowKey, { ...row, revokedAtMs: this.#clock.nowMs() });
  }

  async #writeUse(id: string, nowMs: number): Promise<void> {
    await this.#rows.transaction(() => {
      const written = this.#lastUseOf(id);
      if (written === undefined || nowMs - written >= USE_INTERVAL_MS) this.#rows.putSync(['last-use', id], nowMs);
    });
  }

  // --- reading ---

  #lookAgainWhenDue(): void {
    if (this.#clock.monotonicMs() - this.#checkedAtMs >= RECHECK_MS) this.#lookAgain();
  }

  /** Once closed, what was last read goes on to answer, so that requests can be drained. */
  #lookAgain(when: 'unless closing' | 'while closing too' = 'unless closing'): void {
    if (this.#closing !== undefined && when === 'unless closing') return;
    this.#rows.resetReadTxn();
    if (this.#counter('revision') !== this.#image.revision) this.#image = this.#readImage();
    this.#checkedAtMs = this.#clock.monotonicMs();
  }

  /** Runs within one turn of the event loop, so all of it comes from one LMDB snapshot. */
  #readImage(): RegistryImage {
    this.#rows.resetReadTxn();
    this.#assertFormat();
    const projects = new Map<ProjectId, Project>();
    for (const { name, value } of this.#rowsOf('project')) {
      const project = projectOf(Number(name), parseRow(projectRow, value, 'a project'));
      projects.set(project.id, project);
    }
    const projectKeys = new Map<string, ProjectKey>();
    for (const { name, row } of this.#projectKeyRows()) projectKeys.set(name, projectKeyOf(name, row));
    const personalKeys = new Map<string, HashedPersonalKey>();
    for (const { name, row } of this.#personalKeyRows()) {
      const key = personalKeyOf(row, this.#lastUseOf(row.id));
      personalKeys.set(name, { hash: Buffer.from(name, 'hex'), key });
    }
    const limits = new Map<ProjectId, ProjectLimits>();
    for (const { name, value } of this.#rowsOf('limits')) {
      limits.set(asProjectId(Number(name)), limitsOf(parseRow(limitsRow, value, LIMITS)));
    }
    const privacy = new Map<ProjectId, PrivacyPolicy>();
    for (const { name, value } of this.#rowsOf('privacy')) {
      privacy.set(asProjectId(Number(name)), privacyOf(parseRow(privacyRow, value, PRIVACY)));
    }
    return { revision: this.#counter('revision'), projects, projectKeys, personalKeys, limits, privacy };
  }

  #projectKeyRows(): readonly { key: Key; name: string; row: ProjectKeyRow }[] {
    return this.#rowsOf('project-key').map(({ key, name, value }) => {
      return { key, name, row: parseRow(projectKeyRow, value, 'a project key') };
    });
  }

  #personalKeyRows(): readonly { key: Key; name: string; row: PersonalKeyRow }[] {
    return this.#rowsOf('personal-key').map(({ key, name, value }) => {
      return { key, name, row: parseRow(personalKeyRow, value, 'a personal key') };
    });
  }

  /** All rows of a kind, in the order of their names; an array, since a caller may write while it goes through them. */
  #rowsOf(
    kind: 'project' | 'project-key' | 'personal-key' | 'limits' | 'privacy',
  ): { key: Key; name: string; value: unknown }[] {
    const found: { key: Key; name: string; value: unknown }[] = [];
    for (const { key, value } of this.#rows.getRange({ start: [kind] })) {
      if (!Array.isArray(key) || key[0] !== kind) break;
      found.push({ key, name: String(key[1]), value });
    }
    return found;
  }

  #knowsPersonalKey(id: string): boolean {
    for (const { key } of this.#image.personalKeys.values()) if (key.id === id) return true;
    return false;
  }

  #lastUseOf(id: string): number | undefined {
    const stored = this.#rows.get(['last-use', id]);
    return stored === undefined ? undefined : parseRow(lastUseRow, stored, 'a last use');
  }

  #eventUseOf(id: ProjectId, month: string): number {
    const stored = this.#rows.get(['event-use', id, month]);
    return stored === undefined ? 0 : parseRow(counterRow, stored, 'a count of events');
  }

  #counter(name: 'revision' | 'next-project-id'): number {
    return parseRow(counterRow, this.#rows.get(['meta', name]), `the counter ${name}`);
  }

  #assertFormat(): void {
    const format = parseRow(counterRow, this.#rows.get(['meta', 'format']), 'the format version');
    if (format > FORMAT_VERSION) {
      throw new Error(
        `the registry was written by a newer version of Hedgerow: its format is ${format}, and this version reads ` +
          `formats up to ${FORMAT_VERSION}. Nothing was changed; start the newer version.`,
      );
    }
  }

  #newProjectKeyText(): string {
    return `phc_${this.#ids.secret(SECRET_BYTES)}`;
  }

  #newPersonalSecret(): string {
    return `phx_${this.#ids.secret(SECRET_BYTES)}`;
  }
}

function sha256(secret: string): Buffer {
  return hash('sha256', secret, 'buffer');
}

function rowOf(key: PersonalKey): PersonalKeyRow {
  const { id, createdAtMs } = key;
  const projects = key.projects === undefined ? null : [...key.projects];
  return { id, scopes: [...key.scopes], projects, createdAtMs, revokedAtMs: key.revokedAtMs ?? null };
}

/** The message shows no value of the row: it may be a key. */
function parseRow<T>(schema: z.ZodType<T>, stored: unknown, what: string): T {
  const parsed = schema.safeParse(stored);
  if (parsed.success) return parsed.data;
  const where = parsed.error.issues.map((issue) => issue.path.join('.')).join(', ');
  throw new Error(
    `the registry is damaged: ${what} does not read (${where === '' ? 'value' : where}); restore a backup`,
  );
}

/** Our caller's bug: what an operator types is checked by config/ and cli/. */
function assertProjectKeyShape(text: string): void {
  const problem = projectKeyProblem(text);
  if (problem !== undefined) throw new RangeError(`not a project key: ${problem}`);
}

function assertPersonalKeyShape(secret: string): void {
  if (!isPersonalKeyShape(secret))
    throw new RangeError('not a personal key: phx_ and visible ASCII, at most 256 bytes');
}
