/**
 * The bodies: one small event of 218 bytes, a batch of 100 of about 56 KB. Page titles hold a dash beyond Latin-1, as real ones do:
 * V8 then keeps the whole text in two bytes a character, which makes JSON.parse two to three times slower. `asciiBatch` is the
 * same without it, since that is the parser's best case and not ours.
 */
export const key = 'phc_bench_public';

function properties(i) {
  return {
    $browser: ['Chrome', 'Firefox', 'Safari'][i % 3], $browser_version: 100 + (i % 40), $os: 'Mac OS X',
    $current_url: `https://example.com/page/${i % 500}`, $host: 'example.com', $pathname: `/page/${i % 500}`,
    $screen_height: 1080, $screen_width: 1920, $viewport_height: 900, $viewport_width: 1600, $lib: 'web', $lib_version: '1.449.2',
    $session_id: `0190b3f2-5d5c-7c2a-9e1b-${String(i).padStart(12, '0')}`, title: `Page ${i % 500} – Example`, plan: 'pro', $device_id: `0190b3f2-0000-7c2a-9e1b-${String(i).padStart(12, '0')}`, price: (i % 1000) / 10, items: i % 7, member: true,
  }; // prettier-ignore
}

export function single(i) {
  return JSON.stringify({
    api_key: key, event: 'page viewed', distinct_id: `user-${i % 5000}`, timestamp: '2026-11-25T12:00:00.000Z',
    properties: { $lib: 'web', $browser: 'Chrome', path: '/pricing', plan: 'pro', n: i },
  }); // prettier-ignore
}

/** JSON.parse at its best. */
export function asciiBatch() {
  return batch().replaceAll('–', '-');
}

export function batch(count = 100) {
  return JSON.stringify({
    api_key: key, sent_at: '2026-11-25T12:00:00.000Z',
    batch: Array.from({ length: count }, (_, i) => ({ event: '$pageview', distinct_id: `user-${i}`, timestamp: '2026-11-25T12:00:00.000Z', properties: properties(i) })),
  }); // prettier-ignore
}
