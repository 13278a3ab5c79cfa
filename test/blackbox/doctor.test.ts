/** `hedgerow doctor` beside the real server: what it says when all is well, and damage from the first flipped byte to the repair. */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  bin,
  cleanEnv,
  freshFolder,
  post,
  sql,
  startHedgerow,
  testEnv,
  testKeys,
  untilLoaded,
} from '../harness/hedgerow.ts';

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface Report {
  readonly healthy: boolean;
  readonly findings: readonly { check: string; status: string; text: string; todo: string | null }[];
  readonly set_aside:
    readonly { file: string; bytes: number; frames: number; lost_records: number; kept_as: string }[] | null;
}

function hedgerow(...args: readonly string[]): Run {
  const done = spawnSync(process.execPath, [bin, ...args], {
    env: cleanEnv(testEnv),
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { code: done.status, stdout: done.stdout, stderr: done.stderr };
}

function doctor(dataDir: string, ...args: readonly string[]): { code: number | null; report: Report } {
  const run = hedgerow('doctor', '--data-dir', dataDir, '--port', '0', '--json', ...args);
  if (run.stdout === '') throw new Error(run.stderr);
  return { code: run.code, report: JSON.parse(run.stdout) as Report };
}

function statusOf(report: Report, check: string): string | undefined {
  return report.findings.find((finding) => finding.check === check)?.status;
}

/** The newest segment file with something in it, and all of its bytes. */
function segmentWith(dataDir: string, text: string): { path: string; bytes: Buffer } {
  const logDir = join(dataDir, 'log');
  for (const stream of readdirSync(logDir)) {
    for (const name of readdirSync(join(logDir, stream))) {
      const path = join(logDir, stream, name);
      const bytes = readFileSync(path);
      if (name.startsWith('segment-') && bytes.includes(text)) return { path, bytes };
    }
  }
  throw new Error(`no segment holds ${text}`);
}

/** Acknowledges one request after the other while no loader takes them; one frame each. */
async function captured(dataDir: string, names: readonly string[]): Promise<Map<string, string>> {
  const server = await startHedgerow({ dataDir, args: ['--role', 'capture'], ownGroup: true });
  const uuids = new Map<string, string>();
  for (const name of names) {
    const uuid = randomUUID();
    const batch = [{ event: name, distinct_id: 'd', uuid }];
    expect((await post(`${server.url}/batch/`, { api_key: testKeys.public, batch })).status).toBe(200);
    uuids.set(name, uuid);
  }
  await server.killGroup();
  return uuids;
}

describe('the doctor', () => {
  it('finds nothing wrong before, during and after the life of a server', async () => {
    const dataDir = freshFolder();
    const before = doctor(dataDir);
    expect(before.report.findings.filter(({ status }) => status === 'fail')).toEqual([]);
    expect(before.code).toBe(0);

    const server = await startHedgerow({ dataDir });
    await post(`${server.url}/e/`, { api_key: testKeys.public, event: 'a', distinct_id: 'd' });
    await untilLoaded(server);
    const during = doctor(dataDir);
    expect(during.code).toBe(0);
    expect(during.report.findings.map(({ check }) => check)).toContain('server');
    const refused = hedgerow('doctor', '--repair', '--data-dir', dataDir);
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/A server runs on .*Stop it, then repair/),
    ]);
    await server.stop();

    const after = doctor(dataDir, '--repair');
    expect(after.code).toBe(0);
    expect(after.report.set_aside).toEqual([]);
    expect(after.report.findings.find(({ check }) => check === 'store')?.text).toMatch(/agree; all of it is stored/);
    rmSync(dataDir, { recursive: true, force: true });
  });

  it('says that the port is taken, for people too, and exits with 1', async () => {
    const dataDir = freshFolder();
    const other = createServer();
    const port = await new Promise<number>((resolve) => {
      other.listen(0, '127.0.0.1', () => resolve((other.address() as AddressInfo).port));
    });
    const run = hedgerow('doctor', '--data-dir', dataDir, '--port', String(port));
    expect(run.code).toBe(1);
    expect(run.stdout).toMatch(/FAIL {2}port .*in use by another program\n.*--port/);
    other.close();
    rmSync(dataDir, { recursive: true, force: true });
  });

  it('notices a log that is older than the store', async () => {
    const dataDir = freshFolder();
    const server = await startHedgerow({ dataDir });
    await post(`${server.url}/e/`, { api_key: testKeys.public, event: 'a', distinct_id: 'd' });
    await untilLoaded(server);
    await server.stop();
    const [stream] = readdirSync(join(dataDir, 'log'));
    const folder = join(dataDir, 'log', stream ?? '');
    for (const name of readdirSync(folder)) rmSync(join(folder, name));
    const { code, report } = doctor(dataDir);
    expect(code).toBe(1);
    expect(report.findings.find(({ check }) => check === 'store')).toMatchObject({
      status: 'fail',
      text: expect.stringContaining('the log is older than the store') as string,
    });
    rmSync(dataDir, { recursive: true, force: true });
  });

  it('repairs a flipped byte: the start refuses, the repair sets one frame aside, all else is there once', async () => {
    const dataDir = freshFolder();
    const names = Array.from({ length: 12 }, (_, i) => `event-${i}-of-twelve`);
    const uuids = await captured(dataDir, names);
    const { path, bytes } = segmentWith(dataDir, 'event-5-of-twelve');
    const at = bytes.indexOf('event-5-of-twelve');
    bytes.writeUInt8(bytes.readUInt8(at) ^ 0x01, at);
    writeFileSync(path, bytes);

    const refused = hedgerow('start', '--port', '0', '--data-dir', dataDir);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(path);
    expect(refused.stderr).toMatch(/byte \d+: the checksum of the frame does not hold.*"hedgerow doctor --repair"/);
    expect(refused.stderr).not.toMatch(/\n\s+at /);

    const looked = doctor(dataDir);
    expect([looked.code, looked.report.healthy, statusOf(looked.report, 'log')]).toEqual([1, false, 'fail']);
    expect(readFileSync(path).equals(bytes)).toBe(true);

    const mended = hedgerow('doctor', '--repair', '--data-dir', dataDir, '--port', '0');
    expect(mended.code).toBe(0);
    expect(mended.stdout).toMatch(/Set aside: 1 damaged part, \d+ bytes, 1 frame as far as can be told/);
    expect(mended.stdout).toMatch(/the records 5 to 5 cannot be read/);
    expect(mended.stdout).toMatch(/Lost from the log: 1 event or rejections? that had been acknowledged/);
    const kept = /kept as (\S+)/.exec(mended.stdout)?.[1] ?? '';
    expect(existsSync(kept)).toBe(true);
    expect(readFileSync(kept).includes('vent-5-of-twelve')).toBe(true);

    const server = await startHedgerow({ dataDir });
    const resent = { event: 'event-5-of-twelve', distinct_id: 'd', uuid: uuids.get('event-5-of-twelve') };
    expect((await post(`${server.url}/batch/`, { api_key: testKeys.public, batch: [resent] })).status).toBe(200);
    await untilLoaded(server);
    const rows = await sql(
      server,
      'select event, toString(uuid), count() from events group by event, uuid order by event',
    );
    expect(rows).toEqual([...uuids].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([name, uuid]) => [name, uuid, 1]));
    await server.stop();
    expect(doctor(dataDir).code).toBe(0);
    rmSync(dataDir, { recursive: true, force: true });
  });

  it('leads the loader past a gap at the very end of the log', async () => {
    const dataDir = freshFolder();
    const uuids = await captured(dataDir, ['kept-1', 'kept-2', 'gone-3']);
    const { path, bytes } = segmentWith(dataDir, 'gone-3');
    bytes.writeUInt8(bytes.readUInt8(bytes.indexOf('gone-3')) ^ 0x01, bytes.indexOf('gone-3'));
    writeFileSync(path, bytes);
    expect(doctor(dataDir, '--repair').report.set_aside).toMatchObject([{ frames: 1, lost_records: 1 }]);
    const server = await startHedgerow({ dataDir });
    await untilLoaded(server);
    const rows = await sql(server, 'select event, toString(uuid) from events order by event');
    expect(rows).toEqual([...uuids].filter(([name]) => name !== 'gone-3'));
    await server.stop();
    const { code, report } = doctor(dataDir);
    expect([code, statusOf(report, 'store')]).toEqual([0, 'ok']);
    rmSync(dataDir, { recursive: true, force: true });
  });
});
