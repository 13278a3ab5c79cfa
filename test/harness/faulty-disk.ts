/**
 * A disk in memory that behaves as badly as a real one may, by seed.
 *
 * Power cut   Of what was not synced, each sector of 512 bytes and each change of a folder survives or not, by itself;
 *             so do the sectors of a synced write that was under way.
 * Kill        The page cache stays; a write that was under way may have reached it in part.
 * Faults      A call fails with ENOSPC or EIO; a failed write leaves any of its sectors. A write may be short.
 * After the end of the machine each call hangs, as the process that made it is gone; `reboot` gives the next one.
 * Processes   `process` gives the same disk to another process: one may be killed while the others go on. Its locks go, its
 *             calls hang.
 */
import { dirname } from 'node:path';
import type { Disk, OpenMode } from '../../src/log/segments/disk.ts';
import type { SeededRandom } from './random.ts';

const SECTOR_BYTES = 512;
/** What O_DIRECT asks of place and length. */
const BLOCK_BYTES = 4096;

interface File {
  /** What the page cache has. */
  live: Buffer;
  /** What the medium has. */
  durable: Buffer;
  lockedBy: number | undefined;
}

type FolderChange =
  | { readonly kind: 'link'; readonly path: string; readonly file: File }
  | { readonly kind: 'unlink'; readonly path: string }
  | { readonly kind: 'rename'; readonly from: string; readonly to: string };

export interface Misbehaviour {
  /** The machine ends within this call, counted from 1; never when undefined. */
  readonly endsAtCall?: number | undefined;
  /** Chance that a call which changes something fails. */
  readonly failureRate?: number | undefined;
  readonly shortWriteRate?: number | undefined;
  /** A disk that lies: what it says is synced is in its cache alone. */
  readonly ignoresSync?: boolean | undefined;
  /** The same of folders: names are in its cache alone. */
  readonly ignoresFolderSync?: boolean | undefined;
}

export type EndOfMachine = 'power_cut' | 'kill';

/** What the processes of a machine share. */
interface Machine {
  readonly random: SeededRandom;
  readonly live: Map<string, File>;
  readonly durable: Map<string, File>;
  readonly pending: FolderChange[];
  readonly ended: Promise<void>;
  readonly announceEnd: () => void;
  behaviour: Misbehaviour;
  free: number;
  lastFd: number;
  calls: number;
  hasEnded: boolean;
}

function machineOf(random: SeededRandom, files: ReadonlyMap<string, File>): Machine {
  let announceEnd = (): void => undefined;
  const ended = new Promise<void>((resolve) => {
    announceEnd = resolve;
  });
  return {
    random,
    live: new Map(files),
    durable: new Map(files),
    pending: [],
    ended,
    announceEnd,
    behaviour: {},
    free: 1 << 30,
    lastFd: 2,
    calls: 0,
    hasEnded: false,
  };
}

export interface FaultyDiskParts {
  readonly files?: ReadonlyMap<string, File>;
  /** Brings the answer of a call, some time later. Default: the next turn of the event loop. */
  readonly later?: (run: () => void) => void;
}

export class FaultyDisk implements Disk {
  #machine: Machine;
  readonly #later: (run: () => void) => void;
  readonly #open = new Map<number, { readonly file: File; readonly isSynced: boolean; readonly isDirect: boolean }>();
  #isKilled = false;
  readonly wantsAlignedMemory = false;

  constructor(random: SeededRandom, { files = new Map(), later = setImmediate }: FaultyDiskParts = {}) {
    this.#machine = machineOf(random, files);
    this.#later = later;
  }

  /** Of the machine. */
  get behaviour(): Misbehaviour {
    return this.#machine.behaviour;
  }

  set behaviour(behaviour: Misbehaviour) {
    this.#machine.behaviour = behaviour;
  }

  get free(): number {
    return this.#machine.free;
  }

  set free(bytes: number) {
    this.#machine.free = bytes;
  }

  get calls(): number {
    return this.#machine.calls;
  }

  /** Resolves when the machine has ended. */
  get ended(): Promise<void> {
    return this.#machine.ended;
  }

  /** The machine, or this process of it. */
  get hasEnded(): boolean {
    return this.#machine.hasEnded || this.#isKilled;
  }

  /** The same disk for another process. */
  process(later: (run: () => void) => void = this.#later): FaultyDisk {
    const other = new FaultyDisk(this.#random, { later });
    other.#machine = this.#machine;
    return other;
  }

  /** Ends this process alone: what it wrote stays in the page cache. */
  kill(): void {
    this.#isKilled = true;
    for (const [fd, { file }] of this.#open) if (file.lockedBy === fd) file.lockedBy = undefined;
    this.#open.clear();
  }

  end(): void {
    this.#machine.hasEnded = true;
    this.#machine.announceEnd();
  }

  get #random(): SeededRandom {
    return this.#machine.random;
  }

  /** What the next machine finds. */
  reboot(how: EndOfMachine): FaultyDisk {
    this.end();
    const { live, durable, pending } = this.#machine;
    const names = how === 'kill' ? live : this.#survivingNames();
    for (const file of new Set(names.values())) {
      if (how === 'power_cut') file.live = this.#survivingBytes(file);
      file.durable = how === 'power_cut' ? Buffer.from(file.live) : file.durable;
      file.lockedBy = undefined;
    }
    const next = new FaultyDisk(this.#random, { files: names, later: this.#later });
    if (how === 'kill') {
      next.#machine.durable.clear();
      for (const [path, file] of durable) next.#machine.durable.set(path, file);
      next.#machine.pending.push(...pending);
    }
    return next;
  }

  /** Bytes of a file, to look at or to damage. */
  contents(path: string): Buffer | undefined {
    return this.#machine.live.get(path)?.live;
  }

  /** Makes a file that short, as no program asked for. */
  cut(path: string, bytes: number): void {
    const file = this.#machine.live.get(path);
    if (file !== undefined) file.live = Buffer.from(file.live.subarray(0, bytes));
  }

  paths(): string[] {
    return [...this.#machine.live.keys()];
  }

  async open(path: string, mode: OpenMode): Promise<number> {
    await this.#call(mode.startsWith('create') ? 'change' : 'look');
    let file = this.#machine.live.get(path);
    if (file === undefined) {
      if (!mode.startsWith('create')) throw failure('ENOENT', path);
      file = { live: Buffer.alloc(0), durable: Buffer.alloc(0), lockedBy: undefined };
      this.#machine.live.set(path, file);
      this.#machine.pending.push({ kind: 'link', path, file });
    } else if (mode.startsWith('create_new')) throw failure('EEXIST', path);
    this.#machine.lastFd += 1;
    const isDirect = mode.endsWith('direct');
    this.#open.set(this.#machine.lastFd, {
      file,
      isDirect,
      isSynced: mode.endsWith('synced') || mode === 'update_direct',
    });
    return this.#machine.lastFd;
  }

  async close(fd: number): Promise<void> {
    await this.#call('look');
    const { file } = this.#opened(fd);
    if (file.lockedBy === fd) file.lockedBy = undefined;
    this.#open.delete(fd);
  }

  async read(fd: number, into: Uint8Array, position: number): Promise<number> {
    await this.#call('look');
    return this.#read(fd, into, position);
  }

  readNow(fd: number, into: Uint8Array, position: number): number {
    return this.#read(fd, into, position);
  }

  write(fd: number, bytes: Uint8Array, position: number, done: (error: Error | null, written: number) => void): void {
    if (this.hasEnded) return;
    const { file, isSynced, isDirect } = this.#opened(fd);
    if (isDirect && (position % BLOCK_BYTES !== 0 || bytes.length % BLOCK_BYTES !== 0)) {
      throw failure('EINVAL', `a direct write of ${bytes.length} bytes at ${position}`);
    }
    const unit = isDirect ? BLOCK_BYTES : 1;
    const isShort = bytes.length > unit && this.#random.chance(this.behaviour.shortWriteRate ?? 0);
    const shortened = unit * (1 + this.#random.below(Math.max(1, bytes.length / unit - 1)));
    const given = Buffer.from(isShort ? bytes.subarray(0, shortened) : bytes);
    const isLast = this.#count();
    const hasFailed = !isLast && this.#random.chance(this.behaviour.failureRate ?? 0);
    if (isLast || hasFailed) {
      // Any of it may have arrived in the page cache, and any of that on the medium (reboot decides).
      const some = this.#random.chance(0.3) ? given.length : this.#random.below(given.length + 1);
      file.live = placed(file.live, given.subarray(0, some), position);
      if (isLast) return this.end();
      this.#later(() => {
        if (!this.hasEnded) done(failure(this.#random.chance(0.5) ? 'ENOSPC' : 'EIO', 'write'), 0);
      });
      return;
    }
    file.live = placed(file.live, given, position);
    this.#later(() => {
      if (this.hasEnded) return;
      if (isSynced && this.behaviour.ignoresSync !== true) file.durable = placed(file.durable, given, position);
      done(null, given.length);
    });
  }

  writeNow(fd: number, bytes: Uint8Array, position: number): void {
    if (this.hasEnded) throw failure('EIO', 'the machine has ended');
    const { file } = this.#opened(fd);
    if (this.#count()) {
      this.end();
      throw failure('EIO', 'the machine has ended');
    }
    file.live = placed(file.live, Buffer.from(bytes), position);
  }

  async sizeOf(fd: number): Promise<number> {
    await this.#call('look');
    return this.#opened(fd).file.live.length;
  }

  async extend(fd: number, bytes: number): Promise<void> {
    await this.#call('change');
    const { file } = this.#opened(fd);
    file.live = placed(file.live, Buffer.alloc(0), bytes);
  }

  async sync(fd: number): Promise<void> {
    await this.#call('change');
    const { file } = this.#opened(fd);
    if (this.behaviour.ignoresSync !== true) file.durable = Buffer.from(file.live);
  }

  async syncFolder(path: string): Promise<void> {
    await this.#call('change');
    if (this.behaviour.ignoresFolderSync === true) return;
    const rest = this.#machine.pending.splice(0).filter((change) => {
      const isHere = dirname(change.kind === 'rename' ? change.to : change.path) === path;
      if (isHere) apply(this.#machine.durable, change);
      return !isHere;
    });
    this.#machine.pending.push(...rest);
  }

  async makeFolder(): Promise<void> {
    await this.#call('look');
  }

  async list(path: string): Promise<string[]> {
    await this.#call('look');
    const prefix = `${path}/`;
    const names = this.paths().flatMap((name) => (name.startsWith(prefix) ? [name.slice(prefix.length)] : []));
    return [...new Set(names.map((name) => name.split('/')[0] ?? ''))];
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#call('change');
    if (!this.#machine.live.has(from)) throw failure('ENOENT', from);
    apply(this.#machine.live, { kind: 'rename', from, to });
    this.#machine.pending.push({ kind: 'rename', from, to });
  }

  async unlink(path: string): Promise<void> {
    await this.#call('change');
    if (!this.#machine.live.has(path)) throw failure('ENOENT', path);
    apply(this.#machine.live, { kind: 'unlink', path });
    this.#machine.pending.push({ kind: 'unlink', path });
  }

  async freeBytes(): Promise<number> {
    await this.#call('look');
    return this.free;
  }

  tryLock(fd: number): boolean {
    const { file } = this.#opened(fd);
    if (file.lockedBy !== undefined && file.lockedBy !== fd) return false;
    file.lockedBy = fd;
    return true;
  }

  unlock(fd: number): void {
    const { file } = this.#opened(fd);
    if (file.lockedBy === fd) file.lockedBy = undefined;
  }

  /** @returns whether the machine ends in this call */
  #count(): boolean {
    this.#machine.calls += 1;
    return this.#machine.calls === this.behaviour.endsAtCall;
  }

  async #call(kind: 'look' | 'change'): Promise<void> {
    if (this.hasEnded) return hang();
    const isLast = this.#count();
    await new Promise<void>((resolve) => {
      this.#later(resolve);
    });
    if (isLast) this.end();
    if (this.hasEnded) return hang();
    if (kind === 'change' && this.#random.chance(this.behaviour.failureRate ?? 0)) {
      throw failure(this.#random.chance(0.5) ? 'ENOSPC' : 'EIO', 'call');
    }
  }

  #opened(fd: number): { readonly file: File; readonly isSynced: boolean; readonly isDirect: boolean } {
    const opened = this.#open.get(fd);
    if (opened === undefined) throw failure('EBADF', `fd ${fd}`);
    return opened;
  }

  #read(fd: number, into: Uint8Array, position: number): number {
    const { live } = this.#opened(fd).file;
    const found = live.subarray(position, position + into.length);
    into.set(found);
    return found.length;
  }

  #survivingNames(): Map<string, File> {
    const names = new Map(this.#machine.durable);
    for (const change of this.#machine.pending) if (this.#random.chance(0.5)) apply(names, change);
    return names;
  }

  #survivingBytes(file: File): Buffer {
    const { live, durable } = file;
    const size = this.#random.chance(0.5) ? live.length : durable.length;
    const bytes = Buffer.alloc(size);
    for (let at = 0; at < size; at += SECTOR_BYTES) {
      const source = this.#random.chance(0.5) ? live : durable;
      if (at < source.length) source.copy(bytes, at, at, Math.min(at + SECTOR_BYTES, size));
    }
    return bytes;
  }
}

function apply(names: Map<string, File>, change: FolderChange): void {
  switch (change.kind) {
    case 'link':
      names.set(change.path, change.file);
      return;
    case 'unlink':
      names.delete(change.path);
      return;
    case 'rename': {
      const file = names.get(change.from);
      if (file === undefined) return; // the change that made the name did not survive
      names.delete(change.from);
      names.set(change.to, file);
    }
  }
}

function placed(into: Buffer, bytes: Buffer, position: number): Buffer {
  const end = position + bytes.length;
  let whole = into;
  if (end > into.length) {
    whole = Buffer.alloc(end);
    into.copy(whole);
  }
  bytes.copy(whole, position);
  return whole;
}

function hang(): Promise<never> {
  return new Promise(() => undefined);
}

function failure(code: string, what: string): Error {
  return Object.assign(new Error(`${code}: ${what}`), { code });
}
