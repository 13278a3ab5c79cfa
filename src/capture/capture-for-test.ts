/** Parts for the tests of both protocols: a public key `phc_public` of project 7, and room that can be refused. */
import { FairShares } from '../admission/fair-shares.ts';
import type { LimitRefusal, RateGate } from '../admission/rate-gate.ts';
import { RandomIds } from '../event/id-source.ts';
import { asEpochMs, asProjectId, type ProjectId } from '../event/ids.ts';
import type { LogWriter } from '../log/log.ts';
import { Privacy } from '../normalize/privacy.ts';
import { Metrics } from '../telemetry/metrics.ts';
import type { CaptureParts } from './capture-parts.ts';

export const testProject = asProjectId(7);

/** Room for everything, until the test says otherwise. */
export class CountingGate implements RateGate {
  readonly asked: [projectId: number, events: number][] = [];
  taken = 0;
  refusal: LimitRefusal | undefined;

  take(projectId: ProjectId, events: number): LimitRefusal | undefined {
    this.asked.push([projectId, events]);
    if (this.refusal === undefined) this.taken += events;
    return this.refusal;
  }

  giveBack(_: ProjectId, events: number): void {
    this.taken -= events;
  }
}

export interface TestParts<Log extends LogWriter> extends Omit<CaptureParts<unknown>, 'limits'> {
  readonly log: Log;
  readonly gate: CountingGate;
}

export function partsAround<Log extends LogWriter>(log: Log): TestParts<Log> {
  return {
    log,
    gate: new CountingGate(),
    metrics: new Metrics(),
    shares: new FairShares<ProjectId>(1 << 20),
    privacy: new Privacy({ projectPrivacy: () => new Map() }),
    ids: new RandomIds(),
    clock: { nowMs: () => asEpochMs(0), monotonicMs: () => 0 },
    keys: {
      findProjectKey: (key: string) =>
        key === 'phc_public'
          ? ({ kind: 'public', projectId: testProject, revokedAtMs: undefined } as const)
          : undefined,
      findPersonalKey: () => undefined,
      notePersonalKeyUse: () => undefined,
    },
  };
}
