/**
 * A disk that is slow or fails under a real process: a library, compiled here, that stands between it and the system's
 * write calls (LD_PRELOAD). What it does is read from a file at each call, so that it can change while the process runs.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const SOURCE = String.raw`
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

struct order { char verb[16]; char where[200]; int ms; };

static struct order ask(void) {
  struct order order = {"pass", "", 0};
  char text[256] = {0};
  const char *path = getenv("BAD_DISK_ORDERS");
  int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    if (read(fd, text, sizeof text - 1) > 0) sscanf(text, "%15s %199s %d", order.verb, order.where, &order.ms);
    close(fd);
  }
  return order;
}

static void pause_ms(int ms) {
  struct timespec time = {ms / 1000, (ms % 1000) * 1000000L};
  nanosleep(&time, NULL);
}

static int concerns(struct order *order, int fd) {
  char link[64], path[1024];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return strcmp(order->verb, "pass") != 0 && strstr(path, order->where) != NULL;
}

/* The call is done already, and returns late. */
static void linger(int fd) {
  struct order order = ask();
  if (!concerns(&order, fd)) return;
  if (strcmp(order.verb, "delay") == 0) pause_ms(order.ms);
  while (strcmp(order.verb, "hold") == 0) { pause_ms(2); order = ask(); }
}

static int fails(int fd) {
  struct order order = ask();
  return concerns(&order, fd) && strcmp(order.verb, "fail") == 0;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
  static ssize_t (*real)(int, const void *, size_t, off64_t);
  if (real == NULL) real = dlsym(RTLD_NEXT, "pwrite64");
  if (fails(fd)) {
    size_t half = length / 2 / 4096 * 4096; /* a torn write */
    if (half > 0) real(fd, bytes, half, at);
    errno = EIO;
    return -1;
  }
  ssize_t written = real(fd, bytes, length, at);
  int said = errno;
  linger(fd);
  errno = said;
  return written;
}

int fdatasync(int fd) {
  static int (*real)(int);
  if (real == NULL) real = dlsym(RTLD_NEXT, "fdatasync");
  if (fails(fd)) { errno = EIO; return -1; }
  int result = real(fd);
  linger(fd);
  return result;
}
`;

export interface BadDisk {
  /** For the process that is to suffer. */
  readonly env: Readonly<Record<string, string>>;
  /**
   * What befalls files whose path contains `where`: `hold` has the calls do their work and not return, until the order
   * changes; `delay` has them return `ms` later; `fail` writes half and says EIO.
   */
  order(verb: 'hold' | 'delay' | 'fail' | 'pass', where?: string, ms?: number): void;
  remove(): void;
}

/** Undefined where it cannot be made: no gcc, or no LD_PRELOAD. */
export function makeBadDisk(): BadDisk | undefined {
  if (process.platform !== 'linux') return undefined;
  const folder = mkdtempSync(join(tmpdir(), 'hedgerow-bad-disk-'));
  const source = join(folder, 'bad-disk.c');
  const library = join(folder, 'bad-disk.so');
  const orders = join(folder, 'orders');
  writeFileSync(source, SOURCE);
  const made = spawnSync('gcc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl'], { encoding: 'utf8' });
  if (made.status !== 0) {
    rmSync(folder, { recursive: true, force: true });
    return undefined;
  }
  const order: BadDisk['order'] = (verb, where = '', ms = 0) => {
    writeFileSync(`${orders}.new`, `${verb} ${where === '' ? '-' : where} ${ms}\n`);
    renameSync(`${orders}.new`, orders);
  };
  order('pass');
  return {
    env: { LD_PRELOAD: library, BAD_DISK_ORDERS: orders },
    order,
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
