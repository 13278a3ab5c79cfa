/**
 * The segments of one stream, as their writer keeps them: gives the next one, prepares a spare, lets go of old ones.
 *
 * Guarantees
 *   G1  A segment has its name only after its header is on the medium, and its first frame comes after both: a crash
 *       leaves a spare, or a segment whose header checks.
 *   G2  Nothing is let go of that is not committed, and never the active segment.
 *   G3  A recycled file is a durable spare before its header changes.
 *   G4  A file whose write failed is never used again; it is unlinked once consumed.
 * Bounds   At most 2 spares. A new file is made only while `reserveBytes` stay free behind it.
 * Order    One change of the folder at a time.
 * Failure  Thrown as it came; ENOSPC also where the reserve would be touched. A half-made segment is removed; where even
 *          that fails it holds no frame and starts where the next one starts, so recovery passes over it.
 */
import { passKillPoint } from '../../config/kill-point.ts';
import type { Clock } from '../../event/clock.ts';
import type { IdSource } from '../../event/id-source.ts';
import { writeAll, type Disk } from './disk.ts';
import { encodeSegmentHeader, frameKeyOf, SEGMENT_HEADER_BYTES, type FrameKey } from './layout.ts';
import type { HeldSegment } from './recovery.ts';
import { NoRoom } from './reserve-watch.ts';
import { makeFilledFile, makeSparseFile, segmentPath, sparePath, type NumberedFile } from './segment-file.ts';

const MAX_SPARES = 2;
const OVERSIZE_STEP_BYTES = 1 << 20;

/** The segment that takes frames. */
export interface ActiveSegment {
  readonly fd: number;
  readonly path: string;
  readonly ordinal: number;
  readonly segmentBytes: number;
  readonly key: FrameKey;
}

export interface ShelfSettings {
  readonly disk: Disk;
  readonly folder: string;
  readonly clock: Clock;
  readonly ids: IdSource;
  /** Size of a segment, bytes. */
  readonly segmentBytes: number;
  /** Left free on the volume, bytes. */
  readonly reserveBytes: number;
  /** How long a segment is kept that nobody needs any more, ms from its last record. */
  readonly retentionMs: number;
}

interface Spare extends NumberedFile {
  /** Found on start: nobody knows whether its zeros are on the medium. */
  readonly isFound: boolean;
}

export class SegmentShelf {
  readonly #settings: ShelfSettings;
  readonly #segments: HeldSegment[];
  readonly #spares: Spare[] = [];
  readonly #suspects = new Set<number>();
  #lastOrdinal: number;
  #lastSpare: number;
  /** The change of the folder under way; never rejects. */
  #busy: Promise<unknown> = Promise.resolve();

  private constructor(settings: ShelfSettings, found: { segments: readonly HeldSegment[]; lastSpare: number }) {
    this.#settings = settings;
    this.#segments = [...found.segments];
    this.#lastOrdinal = found.segments.at(-1)?.ordinal ?? 0;
    this.#lastSpare = found.lastSpare;
  }

  /** @param found what recovery left; the caller holds the lock */
  static async open(
    settings: ShelfSettings,
    found: { segments: readonly HeldSegment[]; spares: readonly NumberedFile[] },
  ): Promise<SegmentShelf> {
    const { disk } = settings;
    const shelf = new SegmentShelf(settings, {
      segments: found.segments,
      lastSpare: found.spares.at(-1)?.number ?? 0,
    });
    for (const file of found.spares) {
      const fd = await disk.open(file.path, 'read');
      const fileBytes = await disk.sizeOf(fd);
      await disk.close(fd);
      // Half made when the process died, or of another `segmentBytes` than now.
      if (fileBytes !== settings.segmentBytes || shelf.#spares.length >= MAX_SPARES) await disk.unlink(file.path);
      else shelf.#spares.push({ ...file, isFound: true });
    }
    return shelf;
  }

  /** Whether the next `activate` finds a file ready. */
  get hasSpare(): boolean {
    return this.#spares.length > 0;
  }

  /**
   * Begins the next segment.
   *
   * @param atLeastBytes room for frames; above that of a usual segment it gets its own size
   * @param ifNone how to make the file where no spare is ready: a sparse one is there at once, a filled one is cheaper to
   *   write in small groups
   */
  activate(firstSequence: number, atLeastBytes: number, ifNone: 'fill' | 'sparse'): Promise<ActiveSegment> {
    return this.#alone(async () => {
      const { disk, folder } = this.#settings;
      passKillPoint('segment.before_make');
      const neededBytes = SEGMENT_HEADER_BYTES + atLeastBytes;
      const isUsual = neededBytes <= this.#settings.segmentBytes;
      const segmentBytes = isUsual
        ? this.#settings.segmentBytes
        : Math.ceil(neededBytes / OVERSIZE_STEP_BYTES) * OVERSIZE_STEP_BYTES;
      const spare = (isUsual ? this.#spares.pop() : undefined) ?? (await this.#make(segmentBytes, ifNone));
      passKillPoint('segment.made');
      this.#lastOrdinal += 1; // not reused after a failure: that file may still be there
      const ordinal = this.#lastOrdinal;
      const path = segmentPath(folder, ordinal);
      const nonce = Buffer.from(this.#settings.ids.secret(16), 'base64url');
      const createdAtMs = this.#settings.clock.nowMs();
      let fd: number | undefined;
      try {
        fd = await disk.open(spare.path, 'update_synced');
        if (spare.isFound) await disk.sync(fd);
        const page = encodeSegmentHeader({ ordinal, firstSequence, segmentBytes, createdAtMs, nonce });
        await writeAll(disk, fd, page, 0);
        passKillPoint('segment.header_written');
        await disk.rename(spare.path, path);
        passKillPoint('segment.renamed');
        await disk.syncFolder(folder);
        passKillPoint('segment.named');
        await disk.close(fd);
        fd = undefined;
        fd = await disk.open(path, 'update_direct');
      } catch (error) {
        if (fd !== undefined) await disk.close(fd).catch(() => undefined);
        await disk.unlink(spare.path).catch(() => undefined);
        await disk.unlink(path).catch(() => undefined);
        throw error;
      }
      this.#segments.push({ path, ordinal, firstSequence, segmentBytes, createdAtMs });
      return { fd, path, ordinal, segmentBytes, key: frameKeyOf(nonce) };
    });
  }

  /** Its write failed. The caller still closes it. */
  markSuspect(ordinal: number): void {
    this.#suspects.add(ordinal);
  }

  /** Makes sure that the next segment is ready before it is needed. */
  prepareSpare(): Promise<void> {
    return this.#alone(async () => {
      if (this.#spares.length === 0) this.#spares.push(await this.#make(this.#settings.segmentBytes, 'fill'));
    });
  }

  /** Recycles or removes what lies wholly before `committed`, and has been kept long enough. */
  letGo(committed: number): Promise<void> {
    return this.#alone(async () => {
      const { disk, folder, clock, retentionMs } = this.#settings;
      const keptFromMs = clock.nowMs() - retentionMs;
      let hasUnlinked = false;
      for (let i = 0; i + 1 < this.#segments.length;) {
        const [segment, next] = this.#segments.slice(i, i + 2);
        if (segment === undefined || next === undefined) break;
        // Before the offset, or without a record of its own: a start after which nothing was appended, a failed one.
        const isNeeded = next.firstSequence > committed || (retentionMs > 0 && next.createdAtMs > keptFromMs);
        if (isNeeded && next.firstSequence !== segment.firstSequence) {
          i += 1;
          continue;
        }
        const isReusable =
          segment.segmentBytes === this.#settings.segmentBytes &&
          this.#spares.length < MAX_SPARES &&
          !this.#suspects.has(segment.ordinal);
        if (isReusable) {
          this.#lastSpare += 1;
          const spare = { path: sparePath(folder, this.#lastSpare), number: this.#lastSpare, isFound: false };
          passKillPoint('let_go.before');
          await disk.rename(segment.path, spare.path);
          passKillPoint('let_go.renamed');
          this.#segments.splice(i, 1);
          // Until the new name is durable a power cut gives the old one back, then with a header that belongs elsewhere.
          await disk.syncFolder(folder);
          passKillPoint('let_go.recycled');
          this.#spares.push(spare);
        } else {
          await disk.unlink(segment.path);
          passKillPoint('let_go.unlinked');
          this.#segments.splice(i, 1);
          hasUnlinked = true;
        }
        this.#suspects.delete(segment.ordinal);
      }
      if (hasUnlinked) await disk.syncFolder(folder);
    });
  }

  async #make(fileBytes: number, how: 'fill' | 'sparse'): Promise<Spare> {
    const { disk, folder, reserveBytes } = this.#settings;
    const freeBytes = await disk.freeBytes(folder);
    if (freeBytes < fileBytes + reserveBytes)
      throw new NoRoom(folder, { freeBytes, neededBytes: fileBytes + reserveBytes });
    this.#lastSpare += 1;
    const path = sparePath(folder, this.#lastSpare);
    if (how === 'fill') await makeFilledFile(disk, path, fileBytes);
    else await makeSparseFile(disk, path, fileBytes);
    passKillPoint('spare.filled');
    await disk.syncFolder(folder);
    return { path, number: this.#lastSpare, isFound: false };
  }

  #alone<T>(change: () => Promise<T>): Promise<T> {
    const result = this.#busy.then(change);
    this.#busy = result.catch(() => undefined);
    return result;
  }
}
