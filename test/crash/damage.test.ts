/**
 * What a crash or a bad disk leaves in the log's files, made by hand under the real server: a torn last write, garbage behind
 * the end, a torn offset, damage in what nobody needs. None of it stops a start or costs an event. (Damage that does stop
 * the start: test/blackbox/doctor.test.ts.)
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { KILL_VARIABLE, type KillPoint } from '../../src/config/kill-point.ts';
import { startKillable } from './killable-server.ts';
import { LedgerClient } from './ledger-client.ts';

const HEADER_BYTES = 4096;
const args = ['--segment-bytes', '1048576', '--log-level', 'error'];

let folder: string;
let dataDir: string;
let client: LedgerClient;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hedgerow-damage-'));
  dataDir = join(folder, 'data');
  client = new LedgerClient();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** One life under load, until the process ends itself at `point`, or is killed after `count` more answers. */
async function live(role: 'capture' | 'all', end: { point: KillPoint; passing: number } | { count: number }) {
  const mark = join(folder, `mark-${Date.now()}`);
  const env = 'point' in end ? { [KILL_VARIABLE]: `${end.point}:${end.passing}:${mark}` } : {};
  const server = startKillable({ dataDir, args: [...args, '--role', role], env });
  const url = await server.ready;
  const enough = 'count' in end ? client.acknowledged + end.count : Number.POSITIVE_INFINITY;
  if (url !== undefined)
    await client.load(url, `role ${role}`, () => server.hasExited() || client.acknowledged >= enough);
  if (url !== undefined && 'count' in end && role === 'all') {
    await client.settle({ url });
    server.terminate(); // commits what is loaded, which it otherwise does within a second
  } else server.kill();
  await server.exited;
  if ('point' in end) expect(existsSync(mark)).toBe(true);
}

async function expectNothingLost(): Promise<void> {
  const server = startKillable({ dataDir, args });
  const url = await server.ready;
  if (url === undefined) throw new Error(`the server did not start: ${server.output.text}`);
  const { lost, doubled, unknown, acknowledged } = await client.settle({ url });
  expect({ lost, doubled, unknown }).toEqual({ lost: [], doubled: [], unknown: [] });
  expect(acknowledged).toBeGreaterThan(0);
  server.terminate();
  await server.exited;
}

function logFiles(): { readonly folder: string; readonly segments: readonly string[] } {
  const [stream] = readdirSync(join(dataDir, 'log'));
  const streamFolder = join(dataDir, 'log', stream ?? '');
  const segments = readdirSync(streamFolder).filter((name) => name.startsWith('segment-'));
  return { folder: streamFolder, segments: segments.sort().map((name) => join(streamFolder, name)) };
}

function change(path: string, how: (bytes: Buffer) => void): void {
  const bytes = readFileSync(path);
  how(bytes);
  writeFileSync(path, bytes);
}

function usedEnd(bytes: Buffer): number {
  let end = bytes.length;
  while (end > HEADER_BYTES && bytes[end - 1] === 0) end -= 1;
  return Math.ceil(end / 8) * 8;
}

/** Where the acknowledged frames of the last segment end: the file `durable`, layout.ts. */
function acknowledgedEnd(streamFolder: string): number {
  return readFileSync(join(streamFolder, 'durable')).readUInt32LE(24);
}

it('a last write of which only the first half arrived', async () => {
  await live('capture', { point: 'group.written', passing: 20 });
  const { folder: streamFolder, segments } = logFiles();
  const start = acknowledgedEnd(streamFolder);
  change(segments.at(-1) ?? '', (bytes) => {
    const end = usedEnd(bytes);
    expect(end).toBeGreaterThan(start); // there is a group that nobody was told of
    bytes.fill(0, start + Math.floor((end - start) / 2), end);
  });
  await expectNothingLost();
});

it('a last write of which only the second half arrived', async () => {
  await live('capture', { point: 'group.written', passing: 20 });
  const { folder: streamFolder, segments } = logFiles();
  const start = acknowledgedEnd(streamFolder);
  change(segments.at(-1) ?? '', (bytes) => {
    const end = usedEnd(bytes);
    bytes.fill(0, start, start + Math.floor((end - start) / 2));
  });
  await expectNothingLost();
});

it('garbage behind the end', async () => {
  await live('capture', { count: 400 });
  change(logFiles().segments.at(-1) ?? '', (bytes) => bytes.fill(0xa5, usedEnd(bytes), usedEnd(bytes) + 3000));
  await expectNothingLost();
});

it('a torn committed offset: records are taken again, and told from new ones', async () => {
  await live('all', { count: 400 });
  const committed = join(logFiles().folder, 'committed');
  change(committed, (bytes) => {
    // The newer of the two slots.
    const newer = bytes.readUInt32LE(8) > bytes.readUInt32LE(HEADER_BYTES + 8) ? 0 : HEADER_BYTES;
    bytes.fill(0xff, newer + 16, newer + 20);
  });
  await expectNothingLost();
});

it('a committed offset that is gone altogether', async () => {
  await live('all', { count: 400 });
  rmSync(join(logFiles().folder, 'committed'));
  await expectNothingLost();
});

it('a flipped byte in a segment that the store has all of', async () => {
  await live('all', { count: 400 });
  // The next segment is begun, and the old one not let go of yet.
  await live('capture', { point: 'let_go.before', passing: 1 });
  const { segments } = logFiles();
  expect(segments.length).toBeGreaterThan(1);
  change(segments[0] ?? '', (bytes) => bytes.writeUInt8(bytes.readUInt8(HEADER_BYTES + 60) ^ 1, HEADER_BYTES + 60));
  await expectNothingLost();
});
