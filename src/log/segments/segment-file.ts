import { join } from 'node:path';
import { passKillPoint } from '../../config/kill-point.ts';
import { tryAlignedMemory } from './aligned-memory.ts';
import { errnoOf, readAll, writeAll, type Disk, type OpenMode } from './disk.ts';
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES, type HeaderFinding } from './layout.ts';

const FILL_CHUNK_BYTES = 1 << 20;
const alignedZeros = tryAlignedMemory(FILL_CHUNK_BYTES)?.bytes;
const zeros = alignedZeros ?? Buffer.alloc(FILL_CHUNK_BYTES);

/** A file in the folder of a stream. */
export interface NumberedFile {
  readonly path: string;
  readonly number: number;
}

export interface StreamFiles {
  /** By ordinal, ascending. */
  readonly segments: readonly NumberedFile[];
  readonly spares: readonly NumberedFile[];
}

export function segmentPath(folder: string, ordinal: number): string {
  return join(folder, `segment-${ordinal.toString(16).padStart(16, '0')}.hgs`);
}

/** A spare is a segment in waiting: filled, without a place in the order. Its header says nothing. */
export function sparePath(folder: string, number: number): string {
  return join(folder, `spare-${number.toString(16).padStart(16, '0')}.hgs`);
}

export async function listStreamFiles(disk: Disk, folder: string): Promise<StreamFiles> {
  const segments: NumberedFile[] = [];
  const spares: NumberedFile[] = [];
  for (const name of await disk.list(folder)) {
    const match = /^(segment|spare)-([0-9a-f]{16})\.hgs$/.exec(name);
    if (match === null) continue;
    const file = { path: join(folder, name), number: Number.parseInt(match[2] ?? '', 16) };
    (match[1] === 'segment' ? segments : spares).push(file);
  }
  const byNumber = (a: NumberedFile, b: NumberedFile): number => a.number - b.number;
  return { segments: segments.sort(byNumber), spares: spares.sort(byNumber) };
}

/** Makes a file of `fileBytes` zeros that are on the medium, so that a later write changes no metadata. */
export function makeFilledFile(disk: Disk, path: string, fileBytes: number): Promise<void> {
  return makeFile(disk, { path, mode: alignedZeros === undefined ? 'create_new' : 'create_new_direct' }, async (fd) => {
    for (let position = 0; position < fileBytes; position += FILL_CHUNK_BYTES) {
      await writeAll(disk, fd, zeros.subarray(0, Math.min(FILL_CHUNK_BYTES, fileBytes - position)), position);
      passKillPoint('spare.filling');
    }
  });
}

/** The same without filling: quick to make, and each write into it also changes what the filesystem notes about it. */
export function makeSparseFile(disk: Disk, path: string, fileBytes: number): Promise<void> {
  return makeFile(disk, { path, mode: 'create_new' }, (fd) => disk.extend(fd, fileBytes));
}

/** The name is durable once the folder is synced. On failure nothing is left behind, as far as the disk allows. */
async function makeFile(
  disk: Disk,
  file: { readonly path: string; readonly mode: OpenMode },
  fill: (fd: number) => Promise<void>,
): Promise<void> {
  const fd = await disk.open(file.path, file.mode);
  try {
    await fill(fd);
    await disk.sync(fd);
  } catch (error) {
    await disk.close(fd).catch(() => undefined);
    await disk.unlink(file.path).catch(() => undefined);
    throw error;
  }
  await disk.close(fd);
}

export async function readSegmentHeader(disk: Disk, fd: number): Promise<HeaderFinding> {
  const page = Buffer.alloc(SEGMENT_HEADER_BYTES);
  const read = await readAll(disk, fd, page, 0);
  return decodeSegmentHeader(page.subarray(0, read));
}

/** @returns undefined when there is no such file. */
export async function openIfThere(disk: Disk, path: string, mode: 'read' | 'update'): Promise<number | undefined> {
  try {
    return await disk.open(path, mode);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
