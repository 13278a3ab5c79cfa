import { PlainMemory, tryAlignedMemory } from './aligned-memory.ts';
import type { Disk } from './disk.ts';
import { FrameGroup } from './frame-group.ts';

const FIRST_BYTES = 1 << 20;
/** One is written, one fills, and one may wait behind a slow write. More wait only while the disk does not keep up. */
const MAX_KEPT_GROUPS = 3;
/** A larger frame goes to a group of its own, whose memory is let go of. */
const MAX_KEPT_FRAME_BYTES = 4 << 20;

/** Groups to be filled again and again; beyond those, groups of plain memory for once. */
export class GroupPool {
  readonly #disk: Disk;
  readonly #free: FrameGroup[] = [];
  #keptGroups = 0;

  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /** @param frameBytes of the first frame it is to hold */
  take(frameBytes: number): FrameGroup {
    if (frameBytes <= MAX_KEPT_FRAME_BYTES) {
      const free = this.#free.pop();
      if (free !== undefined) return free;
      const memory = this.#keptGroups < MAX_KEPT_GROUPS ? this.#direct() : undefined;
      if (memory !== undefined) {
        this.#keptGroups += 1;
        return new FrameGroup(memory, 'kept');
      }
    }
    return new FrameGroup(new PlainMemory(Math.max(FIRST_BYTES, frameBytes)), 'once');
  }

  /** @param group emptied */
  giveBack(group: FrameGroup): void {
    if (group.use === 'kept') this.#free.push(group);
  }

  #direct(): ReturnType<typeof tryAlignedMemory> | PlainMemory {
    return this.#disk.wantsAlignedMemory ? tryAlignedMemory(FIRST_BYTES) : new PlainMemory(FIRST_BYTES);
  }
}
