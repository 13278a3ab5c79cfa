import type { Disk } from '../../src/log/segments/disk.ts';

/** `disk` with some of its calls replaced. */
export function delegatingDisk(disk: Disk, replaced: Partial<Disk>): Disk {
  return {
    wantsAlignedMemory: disk.wantsAlignedMemory,
    open: (path, mode) => disk.open(path, mode),
    close: (fd) => disk.close(fd),
    read: (fd, into, position) => disk.read(fd, into, position),
    write: (fd, bytes, position, done) => disk.write(fd, bytes, position, done),
    writeNow: (fd, bytes, position) => disk.writeNow(fd, bytes, position),
    readNow: (fd, into, position) => disk.readNow(fd, into, position),
    sizeOf: (fd) => disk.sizeOf(fd),
    extend: (fd, bytes) => disk.extend(fd, bytes),
    sync: (fd) => disk.sync(fd),
    syncFolder: (path) => disk.syncFolder(path),
    makeFolder: (path) => disk.makeFolder(path),
    list: (path) => disk.list(path),
    rename: (from, to) => disk.rename(from, to),
    unlink: (path) => disk.unlink(path),
    freeBytes: (path) => disk.freeBytes(path),
    tryLock: (fd) => disk.tryLock(fd),
    unlock: (fd) => disk.unlock(fd),
    ...replaced,
  };
}
