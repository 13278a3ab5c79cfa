/**
 * A full disk: captures are refused with 503 `disk_full`, reads go on, capture resumes by itself once there is room, and
 * nothing that was acknowledged is lost. On a small volume of its own, filled to the last byte.
 */
import { mkdirSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Comparison } from './comparison.ts';
import type { EventSeries } from './event-series.ts';
import { Load } from './load.ts';
import { makeLoopVolume, type LoopVolume } from './loop-volume.ts';
import { problemKinds, Problems } from './problems.ts';
import { SentEvents } from './sent-events.ts';
import { readinessOf, ServerFailure, VerifiedServer, type ServerSettings } from './server-process.ts';
import { countOf, feed, untilLoaded } from './stored-rows.ts';

const MIB = 1024 * 1024;
const VOLUME_BYTES = 384 * MIB;
/** Small, so that the segments that are there already fill soon. */
const SEGMENT_BYTES = MIB;
const FIRST_BATCHES = 40;
const BATCH_EVENTS = 50;
const POLL_MS = 20;
const FULL_DEADLINE_MS = 20_000;
const RESUME_DEADLINE_MS = 30_000;

export type DiskFullResult =
  | { readonly kind: 'not_tried'; readonly reason: string }
  | {
      readonly kind: 'tried';
      readonly acknowledged: number;
      /** Answers of 503 `disk_full`. */
      readonly refusals: number;
      /** From the moment that there was room again to a ready server; undefined when it never was. */
      readonly resumedAfterMs: number | undefined;
    };

export interface DiskFullNeeds {
  /** An empty folder. */
  readonly folder: string;
  readonly series: EventSeries;
  readonly server: Omit<ServerSettings, 'dataDir' | 'flags'>;
  readonly problems: Problems;
}

/** @throws ServerFailure, CommandFailure */
export async function tryDiskFull(needs: DiskFullNeeds): Promise<DiskFullResult> {
  mkdirSync(needs.folder, { recursive: true });
  const made = await makeLoopVolume(needs.folder, VOLUME_BYTES);
  if (made.kind === 'impossible') return { kind: 'not_tried', reason: made.reason };
  const server = VerifiedServer.spawn({
    ...needs.server,
    dataDir: join(made.volume.folder, 'data'),
    flags: ['--segment-bytes', String(SEGMENT_BYTES)],
  });
  const sent = new SentEvents();
  const load = new Load({ series: needs.series, sent, problems: needs.problems, random: Math.random });
  try {
    await server.untilReady();
    return await fillAndEmpty({ ...needs, running: server, load, sent, volume: made.volume });
  } finally {
    load.close();
    await server.stop();
    if (!(await made.volume.unmount())) {
      needs.problems.add('disk_full', { detail: `${made.volume.folder} could not be unmounted: do it by hand` });
    }
  }
}

interface Filling extends DiskFullNeeds {
  readonly running: VerifiedServer;
  readonly load: Load;
  readonly sent: SentEvents;
  readonly volume: LoopVolume;
}

async function fillAndEmpty(filling: Filling): Promise<DiskFullResult> {
  const { running, load, sent, volume, problems } = filling;
  const complain = (detail: string): void => problems.add('disk_full', { detail });
  for (let i = 0; i < FIRST_BATCHES; i++) await load.sendSome(running, BATCH_EVENTS);
  await untilLoaded(running, load, filling.server);
  const before = sent.countOf('acknowledged');

  const ballast = join(volume.folder, 'ballast');
  await fill(ballast);
  const isRefused = (): boolean => load.totals().later.has('disk_full');
  const fullEndMs = Date.now() + FULL_DEADLINE_MS;
  while (!isRefused() && Date.now() < fullEndMs && !running.hasDied) await load.sendSome(running, BATCH_EVENTS);
  if (!isRefused()) complain('the disk was full, and no request was answered with 503 disk_full');
  if (running.hasDied) throw new ServerFailure('the server ended by itself on a full disk');
  const readiness = await readinessOf(running);
  if (isRefused() && readiness !== 503) complain(`readiness answered ${readiness} while the disk was full`);
  const readable = await countOf(running, '1').catch((error: unknown) => String(error));
  if (typeof readable === 'string' || readable < before) {
    complain(`of ${before} events, reads on the full disk showed ${readable}`);
  }

  await rm(ballast);
  const roomMs = Date.now();
  const resumeEndMs = roomMs + RESUME_DEADLINE_MS;
  let resumedAfterMs: number | undefined;
  while (resumedAfterMs === undefined && Date.now() < resumeEndMs && !running.hasDied) {
    if (await load.sendSome(running, 1)) resumedAfterMs = Date.now() - roomMs;
    else await sleep(POLL_MS);
  }
  if (resumedAfterMs === undefined) complain(`capture did not resume within ${RESUME_DEADLINE_MS / 1000} s`);
  await load.settle(running, RESUME_DEADLINE_MS);
  await untilLoaded(running, load, filling.server);
  const found = new Problems();
  const comparison = new Comparison(filling.series, sent, found);
  await feed(running, comparison, () => undefined);
  comparison.finish();
  for (const [kind, count] of found.counts()) {
    complain(
      `after the disk was full, of ${sent.countOf('acknowledged')} events: ${count} ${problemKinds[kind].label}`,
    );
  }
  return {
    kind: 'tried',
    acknowledged: sent.countOf('acknowledged'),
    refusals: load.totals().later.get('disk_full') ?? 0,
    resumedAfterMs,
  };
}

/** Writes until not one block is left. */
async function fill(path: string): Promise<void> {
  const file = await open(path, 'w', 0o600);
  try {
    for (const bytes of [Buffer.alloc(MIB), Buffer.alloc(4096)]) {
      for (;;) {
        const written = await file.write(bytes).catch((error: NodeJS.ErrnoException) => error);
        if (!(written instanceof Error)) continue;
        if (written.code !== 'ENOSPC') throw written;
        break;
      }
    }
  } finally {
    await file.close();
  }
}
