/** The official SDKs, unchanged but for the host: what they claim to have sent is what the events API gives back. */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { PostHog } from 'posthog-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  ask,
  bearer,
  cleanEnv,
  root,
  startHedgerow,
  stopAndRemove,
  testKeys,
  untilCounted,
  type Hedgerow,
} from '../harness/hedgerow.ts';

interface Shown {
  readonly uuid: string;
  readonly event: string;
  readonly distinct_id: string;
  readonly properties: Record<string, unknown>;
}

let server: Hedgerow;
beforeAll(async () => {
  server = await startHedgerow();
});
afterAll(async () => {
  await stopAndRemove(server);
});

async function events(name: string): Promise<readonly Shown[]> {
  const answer = await ask(`${server.url}/api/projects/@current/events/?event=${encodeURIComponent(name)}&limit=1000`, {
    headers: bearer,
  });
  return (answer.json as { results: readonly Shown[] }).results;
}

describe('posthog-node', () => {
  it('loses nothing, doubles nothing, and its properties come back equal', async () => {
    const errors: unknown[] = [];
    const posthog = new PostHog(testKeys.public, { host: server.url, flushAt: 20 });
    posthog.on('error', (error) => errors.push(error));
    const properties = { text: 'é😀"\\', number: 1.5, deep: { list: [1, 'two', { three: null }] }, flag: true };
    for (let i = 0; i < 250; i++)
      posthog.capture({ distinctId: `node-${i}`, event: 'node burst', properties: { ...properties, i } });
    posthog.identify({ distinctId: 'node-0', properties: { email: 'ann@example.com' } });
    posthog.alias({ distinctId: 'node-0', alias: 'node-alias' });
    posthog.groupIdentify({ groupType: 'company', groupKey: 'acme', properties: { size: 7 } });
    await posthog.shutdown();
    expect(errors).toEqual([]);
    await untilCounted(server, "event in ('$identify', '$create_alias', '$groupidentify')", 3);
    await untilCounted(server, "event = 'node burst'", 250);
    const shown = await events('node burst');
    expect(shown).toHaveLength(250);
    expect(new Set(shown.map((event) => event.uuid)).size).toBe(250);
    for (const event of shown)
      expect(event.properties).toMatchObject({ ...properties, i: Number(event.distinct_id.slice(5)) });
    expect((await events('$identify'))[0]?.properties['$set']).toEqual({ email: 'ann@example.com' });
  });
});

const hasPython = process.env['HEDGEROW_TEST_PYTHON'] === '1';
const python = `
import json, sys, uuid
from datetime import datetime, timezone
from posthog import Posthog
errors = []
client = Posthog(sys.argv[1], host=sys.argv[2], on_error=lambda error, items: errors.append(str(error)))
sent = []
for i in range(250):
    sent.append(str(client.capture('python burst', distinct_id=f'python-{i}', properties={'i': i, 'big': 9007199254740993, 'text': 'é😀', 'list': [1.5, None]})))
client.set(distinct_id='python-0', properties={'email': 'bob@example.com'})
client.shutdown()
print(json.dumps({'sent': sent, 'errors': errors}))
`;

// Left out by scripts/test.mjs with its reason where the package is not installed; CI installs it.
describe.runIf(hasPython)('posthog for Python', () => {
  it('loses nothing, doubles nothing, and 64-bit integers come back whole', async () => {
    const output = await new Promise<string>((resolve, reject) => {
      const child = spawn('python3', ['-c', python, testKeys.public, server.url], {
        env: cleanEnv({ PYTHONPATH: join(root, '.services/python') }),
      });
      let text = '';
      let trouble = '';
      child.stdout.on('data', (chunk) => (text += String(chunk)));
      child.stderr.on('data', (chunk) => (trouble += String(chunk)));
      child.on('exit', (code) => (code === 0 ? resolve(text) : reject(new Error(trouble))));
    });
    const { sent, errors } = JSON.parse(output) as { sent: string[]; errors: string[] };
    expect(errors).toEqual([]);
    await untilCounted(server, "event = 'python burst'", 250);
    const shown = await events('python burst');
    expect(new Set(shown.map((event) => event.uuid))).toEqual(new Set(sent));
    expect(shown).toHaveLength(250);
    const one = await ask(`${server.url}/api/projects/@current/events/${sent[7]}/`, { headers: bearer });
    expect(one.text.replaceAll(' ', '')).toContain('"big":9007199254740993');
    expect((one.json as Shown).properties).toMatchObject({ i: 7, text: 'é😀', list: [1.5, null] });
    await untilCounted(server, "event = '$set'", 1);
  });
});
