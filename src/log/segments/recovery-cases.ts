/**
 * What recovery does with a segment, by what it finds: a table, first row that fits. recovery-cases.test.ts
 * walks through all combinations and holds that each is decided, and that each row decides some.
 */

export interface SegmentFindings {
  /** `newer`: made by a later version of the format. `bad`: torn, zero, misnamed, or of another size than the file. */
  readonly header: 'good' | 'newer' | 'bad';
  /** `consumed`: another segment follows, and all of this one is committed. `last`: none follows. */
  readonly place: 'consumed' | 'middle' | 'last';
  /**
   * How the frames that check end, against where they must. Middle: where the next segment begins. Last: where the
   * watermark says that the rest was refused, else at the first frame that does not check (then always `exact`).
   */
  readonly frames: 'exact' | 'short' | 'straddling';
  /** Behind the end, in the last segment: a whole frame of a group that was written after a good write of this place? */
  readonly behind: 'nothing' | 'later_group';
  /** Whether watermark and committed offset lie at or before the end of the last segment. */
  readonly noted: 'reached' | 'missing';
}

export type RecoveryVerdict =
  | 'keep' // all of its frames, up to the next segment or to the end
  | 'skip' // nobody needs it: not read, and removed in time
  | 'newer_format' // stop: this release cannot read it
  | 'damaged'; // stop: acknowledged records may be gone

export interface RecoveryCase {
  readonly when: { readonly [K in keyof SegmentFindings]?: readonly SegmentFindings[K][] };
  readonly then: RecoveryVerdict;
  readonly why: string;
}

export const recoveryCases: readonly RecoveryCase[] = [
  {
    when: { header: ['newer'] },
    then: 'newer_format',
    why: 'a later release made it; guessing at its frames could drop records',
  },
  {
    when: { header: ['bad'] },
    then: 'damaged',
    why: 'a segment gets its name only after its header is on the medium, so a crash leaves no bad one',
  },
  { when: { place: ['consumed'] }, then: 'skip', why: 'the store has all of it' },
  {
    when: { place: ['middle'], frames: ['short', 'straddling'] },
    then: 'damaged',
    why: 'the next segment was begun where this one had been acknowledged to end',
  },
  {
    when: { place: ['middle'] },
    then: 'keep',
    why: 'frames up to the next segment are whole; those behind were refused, and are dropped',
  },
  {
    when: { frames: ['short', 'straddling'] },
    then: 'damaged',
    why: 'the watermark names an end that was acknowledged, and the frames do not come out there',
  },
  {
    when: { behind: ['later_group'] },
    then: 'damaged',
    why: 'one write is under way at a time: a later group proves that the place before it had been acknowledged',
  },
  {
    when: { noted: ['missing'] },
    then: 'damaged',
    why: 'watermark or committed offset know of durable records that are not there',
  },
  {
    when: {},
    then: 'keep',
    why: 'the end is clean, or a torn group that nobody was told of: a prefix of whole requests stays, the rest goes',
  },
];

const dimensions: readonly (keyof SegmentFindings)[] = ['header', 'place', 'frames', 'behind', 'noted'];

export function judgeSegment(findings: SegmentFindings): RecoveryCase {
  const found = recoveryCases.find((row) =>
    dimensions.every((dimension) => {
      const allowed: readonly string[] | undefined = row.when[dimension];
      return allowed === undefined || allowed.includes(findings[dimension]);
    }),
  );
  if (found === undefined) throw new Error(`no recovery case for ${JSON.stringify(findings)}`);
  return found;
}
