/** posthog-node of three major versions; the first argument names the installed package. */
import { burst, chosenFor, claim, print, rich } from './script.mjs';

const [packageName, host, key, variant, , seed] = process.argv.slice(2);
if (variant === 'v1') process.env.POSTHOG_CAPTURE_MODE = 'v1';
const { PostHog } = await import(packageName);

const client = new PostHog(key, { host });
client.on('error', (error) => print({ failed: null, because: String(error) }));

function capture(event, distinctId, properties, groups) {
  const chosen = chosenFor(properties.n);
  client.capture({ distinctId, event, properties, ...(groups === undefined ? {} : { groups }), ...chosen });
  claim(event, distinctId, groups === undefined ? properties : { ...properties, $groups: groups }, chosen);
}

capture('sdk rich', `${seed}-ann`, rich);
client.identify({ distinctId: `${seed}-ann`, properties: { email: 'ann@example.com', age: 41 } });
claim('$identify', `${seed}-ann`, { $set: { email: 'ann@example.com', age: 41 } });
client.alias({ distinctId: `${seed}-ann`, alias: `${seed}-anonymous` });
claim('$create_alias', `${seed}-ann`, { distinct_id: `${seed}-ann`, alias: `${seed}-anonymous` });
client.groupIdentify({ groupType: 'company', groupKey: `${seed}-acme`, properties: { size: 7 } });
claim('$groupidentify', `$company_${seed}-acme`, {
  $group_type: 'company',
  $group_key: `${seed}-acme`,
  $group_set: { size: 7 },
});
capture('événement 😀', `${seed}-ünï😀`, { n: -2 }, { company: `${seed}-acme` });
await burst((n) => capture('sdk burst', `${seed}-${n}`, { n, text: 'é😀' }));

// The timers of V1's retries do not keep a program alive that has nothing else to do; a server has.
const alive = setInterval(() => undefined, 1000);
// `shutdown` of version 3 does not wait; its documentation names `shutdownAsync`.
await (typeof client.shutdownAsync === 'function' ? client.shutdownAsync() : client.shutdown());
clearInterval(alive);
print({ done: true });
