/** posthog-js-lite in Node.js: a client of one person, so every event carries the same distinct id. */
import lite from 'posthog-js-lite';
import { burst, chosenFor, claim, print, rich } from './script.mjs';

const [, host, key, , , seed] = process.argv.slice(2);
const client = new lite.PostHog(key, { host, persistence: 'memory', bootstrap: { distinctId: `${seed}-anonymous` } });
client.on('error', (error) => print({ failed: null, because: String(error) }));

let groups;
let distinctId = `${seed}-anonymous`;
function capture(event, properties) {
  const chosen = chosenFor(properties.n);
  client.capture(event, properties, chosen);
  claim(event, distinctId, groups === undefined ? properties : { ...properties, $groups: groups }, chosen);
}

capture('sdk rich', rich);
client.identify(`${seed}-ann`, { email: 'ann@example.com', age: 41 });
claim('$identify', `${seed}-ann`, {
  $anon_distinct_id: distinctId,
  $set: { email: 'ann@example.com', age: 41 },
});
distinctId = `${seed}-ann`;
client.alias(`${seed}-other`);
claim('$create_alias', distinctId, { distinct_id: distinctId, alias: `${seed}-other` });
client.group('company', `${seed}-acme`, { size: 7 });
groups = { company: `${seed}-acme` };
claim('$groupidentify', distinctId, {
  $group_type: 'company',
  $group_key: `${seed}-acme`,
  $group_set: { size: 7 },
});
capture('événement 😀', { n: -2 });
await burst((n) => capture('sdk burst', { n, text: 'é😀' }));

await client.shutdown();
print({ done: true });
