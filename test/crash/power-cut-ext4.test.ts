/**
 * A power cut under the real server: its data folder lies on an ext4 image, which is shut down without flushing while the
 * load runs. What was acknowledged must be there after the image is mounted again.
 *
 * Needs root, loop devices and Python (for the ioctl); says so where one is missing.
 */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { post, sql, startHedgerow, testKeys } from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';

const CUTS = Number(process.env['HEDGEROW_TEST_CUTS'] ?? 3);
// FS_IOC_SHUTDOWN with NOLOGFLUSH: neither data nor journal reach the device any more.
const SHUTDOWN =
  'import fcntl,os,struct,sys; fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack("I", 2))';

function run(command: string, ...args: string[]): boolean {
  return spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}

function canMount(): boolean {
  if (process.getuid?.() !== 0 || !existsSync('/dev/loop-control') || !run('python3', '--version')) return false;
  const folder = mkdtempSync(join(tmpdir(), 'hedgerow-mount-'));
  const image = join(folder, 'image');
  const mount = join(folder, 'mount');
  mkdirSync(mount);
  const isMounted =
    run('truncate', '-s', '64M', image) && run('mkfs.ext4', '-q', image) && run('mount', '-o', 'loop', image, mount);
  if (isMounted) run('umount', mount);
  rmSync(folder, { recursive: true, force: true });
  return isMounted;
}

const isPossible = canMount();
if (!isPossible) process.stdout.write('left out: the power cut on ext4 (needs root, loop devices and python3)\n');

describe.runIf(isPossible)('a power cut on ext4', () => {
  it(`loses nothing that was acknowledged, ${CUTS} times in a row`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hedgerow-ext4-'));
    const image = join(folder, 'image');
    const mount = join(folder, 'mount');
    mkdirSync(mount);
    expect(run('truncate', '-s', '1G', image) && run('mkfs.ext4', '-q', image)).toBe(true);
    const acked = new Set<string>();
    try {
      for (let cut = 0; cut < CUTS; cut++) {
        expect(run('mount', '-o', 'loop', image, mount)).toBe(true);
        const server = await startHedgerow({ dataDir: join(mount, 'data'), ownGroup: true });
        let isCut = false;
        const loops = Array.from({ length: 6 }, async () => {
          while (!isCut) {
            const uuids = Array.from({ length: 10 }, () => randomUUID());
            const batch = uuids.map((uuid) => ({ event: 'cut', distinct_id: 'd', uuid }));
            try {
              if ((await post(`${server.url}/batch/`, { api_key: testKeys.public, batch })).status === 200)
                for (const uuid of uuids) acked.add(uuid);
            } catch {
              return;
            }
          }
        });
        await until(() => acked.size > (cut + 1) * 1500, { deadlineMs: 30_000, what: 'enough is acknowledged' });
        expect(run('python3', '-c', SHUTDOWN, mount)).toBe(true);
        isCut = true;
        await Promise.all(loops);
        await server.killGroup();
        await until(() => run('umount', mount), { deadlineMs: 20_000, what: 'the dead file system lets go' });
      }
      expect(run('mount', '-o', 'loop', image, mount)).toBe(true);
      const server = await startHedgerow({ dataDir: join(mount, 'data'), ownGroup: true });
      await until(
        async () => Number((await sql(server, "select count() from events where event = 'cut'"))[0]?.[0]) >= acked.size,
        {
          deadlineMs: 60_000,
          what: `${acked.size} acknowledged events are in the store`,
        },
      );
      const rows = await sql(server, "select toString(uuid) from events where event = 'cut'");
      const found = rows.map(([uuid]) => String(uuid));
      const there = new Set(found);
      expect(there.size).toBe(found.length);
      expect([...acked].filter((uuid) => !there.has(uuid))).toEqual([]);
      await server.stop();
    } finally {
      run('umount', mount);
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
