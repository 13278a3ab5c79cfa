import { join } from 'node:path';
import type { Clock } from '../../event/clock.ts';
import type { IdSource } from '../../event/id-source.ts';
import { formatUuid } from '../../event/uuid.ts';
import { asStreamId, type StreamId } from '../log.ts';
import type { Disk } from './disk.ts';
import { listStreams } from './stream-folders.ts';
import { tryStreamLock, type StreamLock } from './stream-lock.ts';

interface StreamWish {
  /** Holds a folder for each stream. */
  readonly dir: string;
  readonly clock: Clock;
  readonly ids: IdSource;
  readonly stream?: StreamId | undefined;
}

export interface TakenStream {
  readonly stream: StreamId;
  readonly folder: string;
  readonly lock: StreamLock;
}

/** A stream that nobody writes: the one asked for, else the first free one, else a new one. */
export async function takeStream(disk: Disk, wish: StreamWish): Promise<TakenStream> {
  const { dir, ids, clock } = wish;
  const tryTake = async (stream: StreamId): Promise<TakenStream | undefined> => {
    const folder = join(dir, stream);
    const lock = await tryStreamLock(disk, folder, 'create');
    return lock === undefined ? undefined : { stream, folder, lock };
  };
  if (wish.stream !== undefined) {
    await makeStreamFolder(disk, dir, wish.stream);
    const taken = await tryTake(wish.stream);
    if (taken !== undefined) return taken;
    throw new Error(`the stream ${wish.stream} in ${dir} is being written by another process`);
  }
  for (const stream of await listStreams(disk, dir)) {
    const taken = await tryTake(stream);
    if (taken !== undefined) return taken;
  }
  for (;;) {
    const uuid = new Uint8Array(16);
    ids.writeUuidV7(clock.nowMs(), uuid, 0);
    const stream = asStreamId(formatUuid(uuid));
    await makeStreamFolder(disk, dir, stream);
    const taken = await tryTake(stream);
    if (taken !== undefined) return taken; // else another process that starts now found the folder first
  }
}

async function makeStreamFolder(disk: Disk, dir: string, stream: StreamId): Promise<void> {
  await disk.makeFolder(join(dir, stream));
  await disk.syncFolder(dir);
}
