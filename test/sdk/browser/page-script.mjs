/**
 * What a page does with its SDK, step by step, as `window.steps`. Every event that the SDK says it captured is kept in
 * localStorage, which outlives the page, under `claim:`.
 */

let claims = 0;
function claim(event) {
  claims += 1;
  localStorage.setItem(`claim:${performance.timeOrigin}:${claims}`, JSON.stringify(event));
}

const rich = {
  text: 'é😀"\\ \u2028<script>',
  empty: '',
  float: 0.1,
  tiny: 1e-7,
  largest: 9007199254740991,
  negative: -0.5,
  zero: 0,
  yes: true,
  nothing: null,
  list: [1, 'two', { three: null }, []],
  deep: { 'a b': { ключ: [{ x: 1.5 }] }, empty: {} },
  date: new Date(Date.UTC(2026, 0, 2, 3, 4, 5, 678)),
};

/** @param sdk its module; undefined where the snippet's stub is there already */
export function start({ host, key, id, isLite }, sdk) {
  countBeacons();
  if (isLite) startLite({ host, key, id }, sdk);
  else startPosthog({ host, key, id }, sdk);
}

function startPosthog({ host, key, id }, sdk) {
  if (sdk !== undefined) window.posthog = sdk.default;
  const isFirstVisit = Object.keys(localStorage).every((name) => !name.startsWith('claim:'));
  let isLoaded = false;
  const options = {
    api_host: host,
    // Its own limit is ten events a second and a burst of 100.
    rate_limiting: { events_per_second: 1000, events_burst_limit: 1000 },
    loaded: (posthog) => {
      if (posthog.on !== undefined) posthog.on('eventCaptured', claim);
      isLoaded = true;
    },
  };
  // The release that knows no events of its own has this hook instead.
  if (sdk !== undefined && sdk.default.on === undefined) options._onCapture = (name, event) => claim(event);
  window.posthog.init(key, options);
  // On the snippet's stub this waits for the script.
  if (isFirstVisit) window.posthog.capture('browser early', { n: -10 });

  window.steps = {
    isLoaded: () => isLoaded,
    script() {
      const { posthog } = window;
      posthog.capture('browser rich', { n: -1, ...rich });
      posthog.capture('browser dated', { n: -2 }, { timestamp: new Date(Date.now() - 3_600_000) });
      posthog.register({ 'super property': 'ü' });
      posthog.identify(`ann-${id}`, { email: 'ann@example.com', age: 41.5 }, { first: 'é' });
      posthog.alias(`other-${id}`);
      posthog.group('company', `acme-${id}`, { size: 7 });
      posthog.setPersonProperties?.({ plan: 'pro' }, { since: 2026 });
      posthog.capture('événement 😀', { n: -3, $set: { seen: true } });
      posthog.reloadFeatureFlags();
      posthog.getFeatureFlag('no such flag');
    },
    now: (n) => window.posthog.capture('browser now', { n }, { send_instantly: true }),
    burst: (first, end) => burst(first, end, (name, properties) => window.posthog.capture(name, properties)),
    afterReset() {
      window.posthog.reset();
      window.posthog.capture('browser after reset', { n: -5 });
    },
    leave: () => leave((name, properties) => window.posthog.capture(name, properties)),
    flush: () => undefined,
  };
}

function startLite({ host, key, id }, sdk) {
  const posthog = new sdk.PostHog(key, { host });
  for (const kind of ['capture', 'identify', 'alias']) posthog.on(kind, claim);
  window.steps = {
    isLoaded: () => true,
    script() {
      posthog.capture('browser early', { n: -10 });
      posthog.capture('browser rich', { n: -1, ...rich });
      posthog.capture('browser dated', { n: -2 }, { timestamp: new Date(Date.now() - 3_600_000) });
      posthog.register({ 'super property': 'ü' });
      posthog.identify(`ann-${id}`, { email: 'ann@example.com', age: 41.5 });
      posthog.alias(`other-${id}`);
      posthog.group('company', `acme-${id}`, { size: 7 });
      posthog.capture('événement 😀', { n: -3, $set: { seen: true } });
      posthog.reloadFeatureFlags();
      posthog.getFeatureFlag('no such flag');
    },
    now(n) {
      posthog.capture('browser now', { n });
      // It reports a failure to its own log; what is left stays queued.
      posthog.flush().catch(() => undefined);
    },
    burst: (first, end) => burst(first, end, (name, properties) => posthog.capture(name, properties)),
    afterReset() {
      posthog.reset();
      posthog.capture('browser after reset', { n: -5 });
    },
    leave: () => leave((name, properties) => posthog.capture(name, properties)),
    flush: () => posthog.flush(),
  };
}

/** A beacon is invisible from outside, since the page that sent it is gone. */
function countBeacons() {
  const send = navigator.sendBeacon.bind(navigator);
  navigator.sendBeacon = (url, body) => {
    const isTaken = send(url, body);
    localStorage.setItem('beacons', String(Number(localStorage.getItem('beacons') ?? 0) + (isTaken ? 1 : 0)));
    return isTaken;
  };
}

/** Lots of ten, 150 ms apart: longer than the queue waits (3 s), so that some requests leave in the middle of it. */
async function burst(first, end, capture) {
  for (let n = first; n < end; n += 1) {
    capture('browser burst', { n, text: 'é😀' });
    if (n % 10 === 9) await new Promise((resolve) => setTimeout(resolve, 150));
  }
}

/** Hidden and shown again, then events that are still queued when the page goes. */
function leave(capture) {
  capture('browser before hidden', { n: -6 });
  for (const state of ['hidden', 'visible']) {
    Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => state });
    document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
  }
  for (let n = -20; n < -10; n += 1) capture('browser last', { n });
}
