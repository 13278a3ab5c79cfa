/**
 * A full disk under the real server: its data folder lies on a small ext4 image, which another file fills to the last
 * byte. Captures are refused before their body is read, reads go on, and once the file is gone both capture and the loader
 * go on by themselves; nothing that was acknowledged is lost.
 *
 * Needs root and loop devices; says so where one is missing.
 */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  ask,
  metric,
  post,
  sql,
  startHedgerow,
  testKeys,
  untilLoaded,
  type Answer,
  type Hedgerow,
} from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';

const MIB = 1 << 20;
const RESERVE_BYTES = 64 * MIB;
const RESUME_MS = 5_000;

function run(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

/** @param image made here, and mounted */
function mountImage(image: string, mount: string): boolean {
  mkdirSync(mount);
  return (
    run('truncate', '-s', '512M', image) && run('mkfs.ext4', '-q', image) && run('mount', '-o', 'loop', image, mount)
  );
}

function canMount(): boolean {
  if (process.getuid?.() !== 0 || !existsSync('/dev/loop-control')) return false;
  const folder = mkdtempSync(join(tmpdir(), 'hedgerow-mount-'));
  const isMounted = mountImage(join(folder, 'image'), join(folder, 'mount'));
  if (isMounted) run('umount', join(folder, 'mount'));
  rmSync(folder, { recursive: true, force: true });
  return isMounted;
}

/** Writes to a new file until `leftBytes` are free for everybody, or, at 0, until not one byte more is taken. */
function fill(path: string, leftBytes: number): void {
  const fd = openSync(path, 'wx');
  const bytes = Buffer.alloc(MIB);
  const freeBytes = (): number => {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  };
  let step = MIB;
  while (step >= 512) {
    if (leftBytes > 0 && freeBytes() <= leftBytes) break;
    try {
      writeSync(fd, bytes, 0, step);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
      step /= 2;
    }
  }
  closeSync(fd);
}

const isPossible = canMount();
if (!isPossible) process.stdout.write('left out: a full disk (needs root and loop devices)\n');

describe.runIf(isPossible)('a full disk', () => {
  let folder: string;
  let mount: string;
  let ballast: string;
  let server: Hedgerow;
  let acked: Set<string>;

  const start = (): Promise<Hedgerow> =>
    startHedgerow({
      dataDir: join(mount, 'data'),
      ownGroup: true,
      args: ['--segment-bytes', String(MIB), '--reserve-bytes', String(RESERVE_BYTES)],
    });

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'hedgerow-full-'));
  });
  beforeEach(async () => {
    const name = randomUUID();
    mount = join(folder, name);
    expect(mountImage(join(folder, `${name}.image`), mount)).toBe(true);
    ballast = join(mount, 'ballast');
    acked = new Set();
    server = await start();
  });
  afterEach(async () => {
    if (server.process.exitCode === null && server.process.signalCode === null) await server.killGroup();
    await until(() => run('umount', mount), { deadlineMs: 20_000, what: 'the image lets go' });
  });
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  /** Ten events of 2 kB. */
  async function send(): Promise<Answer> {
    const uuids = Array.from({ length: 10 }, () => randomUUID());
    const properties = { n: 7, text: 'x'.repeat(2_000) };
    const batch = uuids.map((uuid) => ({ event: 'full', distinct_id: 'd', uuid, properties }));
    const answer = await post(`${server.url}/batch/`, { api_key: testKeys.public, batch });
    if (answer.status === 200) for (const uuid of uuids) acked.add(uuid);
    return answer;
  }

  function expectRefused(answer: Answer): void {
    expect(answer.status).toBe(503);
    expect((answer.json as { code?: unknown }).code).toBe('disk_full');
    expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  }

  const readiness = async (): Promise<number> => (await ask(`${server.url}/_readiness`)).status;

  /** Says that a body comes, and sends none of it. @returns the first line of the answer */
  function announceOnly(): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect(server.port, '127.0.0.1');
      socket.setEncoding('latin1').on('data', (text: string) => {
        socket.destroy();
        resolve(text);
      });
      socket.on('error', reject);
      socket.setTimeout(5_000, () => {
        socket.destroy();
        resolve('nothing in 5 s');
      });
      socket.write(
        'POST /batch/ HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n',
      );
    });
  }

  async function expectAllAcknowledged(): Promise<void> {
    await untilLoaded(server, 60_000);
    const rows = await sql(server, "select toString(uuid), properties.n from events where event = 'full'");
    const found = rows.map(([uuid]) => String(uuid));
    expect(new Set(found).size).toBe(found.length);
    expect([...acked].filter((uuid) => !found.includes(uuid))).toEqual([]);
    expect(rows.every(([, n]) => Number(n) === 7)).toBe(true); // not one was taken for unfit
    expect(await metric(server, 'hedgerow_events_properties_raw_only_total')).toBe(0);
  }

  it('to the last byte: 503 before the body, reads go on, and all goes on by itself once there is room', async () => {
    for (let i = 0; i < 20; i++) expect((await send()).status).toBe(200);
    await untilLoaded(server);
    // Acknowledged while the loader is busy: it must load them on the full disk, or later.
    const before = Promise.all(Array.from({ length: 100 }, send));
    fill(ballast, 0);
    await before;
    await until(async () => (await readiness()) === 503, { deadlineMs: RESUME_MS, what: 'it notices by itself' });
    expectRefused(await send());
    expect(await announceOnly()).toMatch(/^HTTP\/1\.1 503 /);
    const seen = Number((await sql(server, "select count() from events where event = 'full'"))[0]?.[0]);
    expect(seen).toBeGreaterThanOrEqual(200);
    for (let i = 0; i < 50; i++) expectRefused(await send());

    rmSync(ballast);
    await until(async () => (await readiness()) === 200, { deadlineMs: RESUME_MS, what: 'capture resumes by itself' });
    expect((await send()).status).toBe(200);
    await expectAllAcknowledged();
    expect(server.process.exitCode).toBeNull();
  });

  it('under load, again and again: nothing acknowledged is lost, and a restart finds it all', async () => {
    for (let round = 0; round < 3; round++) {
      let isOver = false;
      const statuses = new Set<number>();
      const loops = Array.from({ length: 8 }, async () => {
        while (!isOver) statuses.add((await send()).status);
      });
      await until(() => acked.size > (round + 1) * 1_000, { deadlineMs: 60_000, what: 'enough is acknowledged' });
      fill(ballast, 0);
      await until(async () => (await readiness()) === 503, { deadlineMs: RESUME_MS, what: 'it notices by itself' });
      rmSync(ballast);
      await until(async () => (await readiness()) === 200, {
        deadlineMs: RESUME_MS,
        what: 'capture resumes by itself',
      });
      isOver = true;
      await Promise.all(loops);
      expect([...statuses].filter((status) => status !== 200 && status !== 503)).toEqual([]);
    }
    await server.killGroup();
    server = await start();
    await expectAllAcknowledged();
  });

  it('below the reserve alone: capture stops there, and what it had goes on into the store', async () => {
    for (let i = 0; i < 20; i++) expect((await send()).status).toBe(200);
    const last = Promise.all(Array.from({ length: 50 }, send));
    await last;
    fill(ballast, RESERVE_BYTES - 4 * MIB);
    await until(async () => (await readiness()) === 503, { deadlineMs: RESUME_MS, what: 'it notices by itself' });
    expectRefused(await send());
    await untilLoaded(server); // the reserve is for the store
    expect(await sql(server, "select count() from events where event = 'full'")).toEqual([[acked.size]]);
    rmSync(ballast);
    await until(async () => (await readiness()) === 200, { deadlineMs: RESUME_MS, what: 'capture resumes by itself' });
    expect((await send()).status).toBe(200);
    await expectAllAcknowledged();
  });
});
