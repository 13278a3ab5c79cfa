/**
 * A power cut under the real server: its data folder lies on an ext4 image, which is shut down without flushing while the
 * load runs. What was acknowledged must be there after the image is mounted again. A build that leaves the sync out must be
 * caught by the very same procedure.
 *
 * Needs root, loop devices and Python (for the ioctl); says so where one is missing.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { post, sql, testKeys, untilCounted } from '../harness/hedgerow.ts';
import { until } from '../harness/until.ts';
import { alteredBuild } from './altered-build.ts';
import { Ext4Image } from './ext4-image.ts';
import { startKillable } from './killable-server.ts';

const CUTS = Number(process.env['HEDGEROW_TEST_CUTS'] ?? 3);

const isPossible = Ext4Image.isPossible();
if (!isPossible) process.stdout.write('left out: the power cut on ext4 (needs root, loop devices and python3)\n');

interface Life {
  readonly image: Ext4Image;
  readonly acked: Set<string>;
  readonly args?: readonly string[];
  readonly binPath?: string;
}

async function start({
  image,
  args,
  binPath,
}: Life): Promise<{ url: string; server: ReturnType<typeof startKillable> }> {
  const dataDir = join(image.mountPoint, 'data');
  const server = startKillable({ dataDir, ...(args && { args }), ...(binPath && { binPath }) });
  const url = await server.ready;
  if (url === undefined) throw new Error(`the server did not start: ${server.output.text}`);
  return { url, server };
}

/** Acknowledges `count` events and more, then the power goes. */
async function liveUntilCut(life: Life, count: number): Promise<void> {
  const { image, acked } = life;
  image.mount();
  const { url, server } = await start(life);
  const enough = acked.size + count;
  let isCut = false;
  const loops = Array.from({ length: 6 }, async () => {
    while (!isCut) {
      const uuids = Array.from({ length: 10 }, () => randomUUID());
      const batch = uuids.map((uuid) => ({ event: 'cut', distinct_id: 'd', uuid }));
      try {
        if ((await post(`${url}/batch/`, { api_key: testKeys.public, batch })).status !== 200) continue;
        for (const uuid of uuids) acked.add(uuid);
      } catch {
        return;
      }
    }
  });
  await until(() => acked.size > enough, { deadlineMs: 30_000, what: 'enough is acknowledged' });
  image.cutPower();
  isCut = true;
  await Promise.all(loops);
  server.kill();
  await server.exited;
  await image.unmount();
}

/** What a life after the cuts finds. */
async function storedAfter(life: Life): Promise<string[]> {
  life.image.mount();
  const { url, server } = await start({ image: life.image, acked: life.acked });
  // In the same stream, behind all that is left of them; the lag alone is 0 as well before the loader has looked.
  await post(`${url}/batch/`, { api_key: testKeys.public, batch: [{ event: 'behind', distinct_id: 'd' }] });
  await untilCounted({ url }, "event = 'behind'", 1);
  const rows = await sql({ url }, "select toString(uuid) from events where event = 'cut'");
  server.terminate();
  await server.exited;
  return rows.map(([uuid]) => String(uuid));
}

describe.runIf(isPossible)('a power cut on ext4', () => {
  it(`loses nothing that was acknowledged, ${CUTS} times in a row`, async () => {
    const image = new Ext4Image('1G');
    try {
      const life = { image, acked: new Set<string>() };
      for (let cut = 0; cut < CUTS; cut++) await liveUntilCut(life, 1500);
      const found = await storedAfter(life);
      const there = new Set(found);
      expect(there.size).toBe(found.length);
      expect([...life.acked].filter((uuid) => !there.has(uuid))).toEqual([]);
    } finally {
      image.remove();
    }
  });

  it('takes what a build without the sync acknowledged, where the same cut takes nothing from ours', async () => {
    expect(await lostInOneCut(undefined)).toBe(0);
    // Past the page cache there would be nothing left to lose in this simulation (ext4-image.ts): that goes too.
    const unsynced = alteredBuild('log/segments/disk.js', [
      ['update_direct: O_RDWR | O_DSYNC | O_DIRECT', 'update_direct: O_RDWR'],
    ]);
    try {
      expect(await lostInOneCut(unsynced.binPath)).toBeGreaterThan(0);
    } finally {
      unsynced.remove();
    }
  });
});

/** The store, which syncs by itself, must not have had them before: capture alone runs when the power goes. */
async function lostInOneCut(binPath: string | undefined): Promise<number> {
  const image = new Ext4Image('1G');
  try {
    const life = { image, acked: new Set<string>(), args: ['--role', 'capture'], ...(binPath && { binPath }) };
    await liveUntilCut(life, 1500);
    const there = new Set(await storedAfter(life));
    const lost = [...life.acked].filter((uuid) => !there.has(uuid)).length;
    process.stdout.write(
      `power cut, ${binPath === undefined ? 'with' : 'without'} the sync: ${lost} of ${life.acked.size} events lost\n`,
    );
    return lost;
  } finally {
    image.remove();
  }
}
