/**
 * The remote config that keeps SDKs quiet: gzip on, autocapture allowed, and everything off that this server does not
 * keep or compute (sdks.md 2.4, 2.7). `surveys` is left out on purpose: with `false` posthog-js still loads their script
 * (sdks.md 20.2). `errorTracking` and `logs` stay objects, since posthog-js reads inside them.
 */
const SETTINGS = {
  supportedCompression: ['gzip', 'gzip-js'],
  hasFeatureFlags: false,
  captureDeadClicks: false,
  capturePerformance: false,
  autocapture_opt_out: false,
  autocaptureExceptions: false,
  analytics: { endpoint: '/i/v0/e/' },
  elementsChainAsString: true,
  errorTracking: { autocaptureExceptions: false, suppressionRules: [] },
  sessionRecording: false,
  heatmaps: false,
  productTours: false,
  conversations: false,
  logs: { captureConsoleLogs: false },
  defaultIdentifiedOnly: true,
  siteApps: [],
  isAuthenticated: false,
  toolbarParams: {},
} as const;

export type RemoteConfig = typeof SETTINGS & { readonly token?: string };

/** @param token the project key the client names; undefined when it names none */
export function remoteConfig(token: string | undefined): RemoteConfig {
  return token === undefined ? SETTINGS : { token, ...SETTINGS };
}

/** The script form, which posthog-js loads first: it leaves the config where the SDK looks for it (sdks.md 2.2). */
export function remoteConfigScript(token: string): string {
  const entry = scriptText({ config: remoteConfig(token), siteApps: [] });
  return (
    '(function(){var all=window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{};' +
    `all[${scriptText(token)}]=${entry};})();\n`
  );
}

/** JSON that means the same inside a script, wherever the script stands: the key is the caller's own text. */
function scriptText(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    /[<>\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
