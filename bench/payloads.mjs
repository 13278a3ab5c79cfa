/** The bodies of docs/architecture.md's figures: one small event of 218 bytes, a batch of 100 of 55.8 KB. */
export const key = 'phc_bench_public';

function properties(i) {
  return {
    $browser: ['Chrome', 'Firefox', 'Safari'][i % 3], $browser_version: 100 + (i % 40), $os: 'Mac OS X',
    $current_url: `https://example.com/page/${i % 500}`, $host: 'example.com', $pathname: `/page/${i % 500}`,
    $screen_height: 1080, $screen_width: 1920, $viewport_height: 900, $viewport_width: 1600, $lib: 'web', $lib_version: '1.449.2',
    $session_id: `0190b3f2-5d5c-7c2a-9e1b-${String(i).padStart(12, '0')}`, plan: 'pro', $device_id: `0190b3f2-0000-7c2a-9e1b-${String(i).padStart(12, '0')}`, price: (i % 1000) / 10, items: i % 7, member: true,
  }; // prettier-ignore
}

export function single(i) {
  return JSON.stringify({
    api_key: key, event: 'page viewed', distinct_id: `user-${i % 5000}`, timestamp: '2026-11-25T12:00:00.000Z',
    properties: { $lib: 'web', $browser: 'Chrome', path: '/pricing', plan: 'pro', n: i },
  }); // prettier-ignore
}

export function batch(count = 100) {
  return JSON.stringify({
    api_key: key, sent_at: '2026-11-25T12:00:00.000Z',
    batch: Array.from({ length: count }, (_, i) => ({ event: '$pageview', distinct_id: `user-${i}`, timestamp: '2026-11-25T12:00:00.000Z', properties: properties(i) })),
  }); // prettier-ignore
}
