import { asStreamId, type StreamId } from '../log.ts';
import type { Disk } from './disk.ts';

/** Folders of `dir` that are named like a stream, in order of their names. */
export async function listStreams(disk: Disk, dir: string): Promise<StreamId[]> {
  const names = await disk.list(dir);
  return names
    .filter((name) => /^[A-Za-z0-9-]{1,64}$/.test(name))
    .sort()
    .map((name) => asStreamId(name));
}
