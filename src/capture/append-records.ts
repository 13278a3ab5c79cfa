import { passKillPoint } from '../config/kill-point.ts';
import { type Fault, fault } from '../errors.ts';
import type { ProjectId } from '../event/ids.ts';
import type { AppendReceipt, AppendRefusal, RecordBatch } from '../log/log.ts';
import type { CaptureParts } from './capture-parts.ts';

/** The records of one request, and what it counts for when they are refused. */
export interface RequestRecords {
  readonly projectId: ProjectId;
  readonly records: RecordBatch;
  /** Taken from the project's limits before, and given back then. */
  readonly limitedEvents: number;
  /** Counted as rejected then. */
  readonly receivedEvents: number;
}

type Parts = Pick<CaptureParts<unknown>, 'log' | 'shares' | 'gate' | 'clock' | 'metrics'>;

/**
 * Appends within the project's share of what may wait.
 *
 * @returns undefined from a receipt, so once they are durable; else why nothing of them is kept
 */
export async function appendRecords(parts: Parts, request: RequestRecords): Promise<Fault | undefined> {
  const { log, shares, clock, metrics } = parts;
  const { projectId, records } = request;
  const startedMs = clock.monotonicMs();
  passKillPoint('append.before');
  const recordBytes = records.bytes.length; // the encoder lends them until the next request
  if (!shares.take(projectId, recordBytes)) return refused(parts, request, 'over_fair_share');
  let outcome: AppendReceipt | AppendRefusal;
  try {
    outcome = await log.append(records);
  } finally {
    shares.giveBack(projectId, recordBytes);
  }
  passKillPoint('answer.before');
  if (outcome.kind === 'refused') return refused(parts, request, outcome.code);
  metrics.logAppendSeconds.observe((clock.monotonicMs() - startedMs) / 1000);
  return undefined;
}

function refused(
  { gate, metrics }: Parts,
  { projectId, limitedEvents, receivedEvents }: RequestRecords,
  code: AppendRefusal['code'] | 'over_fair_share',
): Fault {
  gate.giveBack(projectId, limitedEvents);
  metrics.eventsRejected.add(code, receivedEvents);
  return fault(code);
}
