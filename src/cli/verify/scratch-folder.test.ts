import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeScratchFolder, SCRATCH_PREFIX } from './scratch-folder.ts';

let parent: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), 'hedgerow-scratch-'));
});
afterEach(() => {
  rmSync(parent, { recursive: true, force: true });
});

describe('the folder of a run', () => {
  it('lies beside the data folder, and leaves that as it is', async () => {
    const dataDir = join(parent, 'data');
    mkdirSync(dataDir);
    const folder = await makeScratchFolder(dataDir);
    expect(dirname(folder)).toBe(parent);
    expect(basename(folder).startsWith(SCRATCH_PREFIX)).toBe(true);
    expect(readdirSync(dataDir)).toEqual([]);
  });

  it('lies in the nearest folder that is there when the data folder was not made yet', async () => {
    expect(dirname(await makeScratchFolder(join(parent, 'not', 'made', 'yet')))).toBe(parent);
    expect(readdirSync(parent)).toHaveLength(1);
  });

  it('says what to do where no folder can be made', async () => {
    await expect(makeScratchFolder('/proc/hedgerow-data')).rejects.toThrow(/--data-dir/);
  });
});
