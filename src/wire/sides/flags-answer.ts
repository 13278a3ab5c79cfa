/**
 * What `/flags` and `/decide` are answered: this server evaluates no flags, so there is none, in the shape that the client
 * reads (sdks.md 14, 20.3). `quotaLimited` is never there: Rust's typed answer cannot parse the list (sdks.md 9).
 */
import { remoteConfig } from './remote-config.ts';

export interface FlagsQuestion {
  readonly path: '/flags' | '/decide';
  /** `v` of the query as given; undefined when absent. */
  readonly version: string | undefined;
  /** `config=true`, or `config=1`. */
  readonly wantsConfig: boolean;
  /** The project key that the request names, for its config. */
  readonly token: string | undefined;
  /** As text. */
  readonly requestId: string;
  readonly evaluatedAtMs: number;
}

/** posthog-js captures clicks only where /decide says so, up to the releases that ask elsewhere (seen with 1.96.1). */
const DECIDE_CONFIG = { config: { enable_collect_everything: true } } as const;

/** `v` from which on the answer has `flags` instead of `featureFlags`. */
const FIRST_FLAGS_VERSION = { '/flags': 2, '/decide': 4 } as const;

export function flagsAnswer(question: FlagsQuestion): string {
  const version = question.version === undefined ? 1 : Number(question.version);
  const hasFlagsForm = version >= FIRST_FLAGS_VERSION[question.path];
  const flags = hasFlagsForm ? { flags: {} } : { featureFlags: {}, featureFlagPayloads: {} };
  // Old clients know no other place for their config; new ones ask for it (sdks.md 2.1).
  const hasConfig = question.wantsConfig || question.path === '/decide' || !hasFlagsForm;
  return JSON.stringify({
    ...flags,
    errorsWhileComputingFlags: false,
    ...(hasFlagsForm ? { requestId: question.requestId, evaluatedAt: question.evaluatedAtMs } : {}),
    ...(hasConfig ? remoteConfig(question.token) : {}),
    ...(question.path === '/decide' ? DECIDE_CONFIG : {}),
  });
}
