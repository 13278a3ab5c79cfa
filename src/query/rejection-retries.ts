/**
 * `POST /api/projects/:project/rejections/retries/`: what whoever sends rejected events again tells the store.
 *
 * The events themselves go through capture, since only capture acknowledges, and a process that answers reads need not
 * have it. Around it the sender calls here twice:
 *   before   `requests`, the request ids it will use, so that what is rejected again is known to be a copy and the list
 *            does not grow with each retry. The answer has a key of the project.
 *   after    `stored`, which rejections were acknowledged, and in which request.
 * A crash between leaves events stored and their rejections listed: they are sent once more, under the same uuids, which
 * are stored once. A crash before the first leaves nothing.
 */
import { z } from 'zod';
import { fault, type Fault } from '../errors.ts';
import { formatUuid, parseUuid } from '../event/uuid.ts';
import type { ProjectKey, Registry } from '../registry/registry.ts';
import { internalDatabase } from '../store/schema.ts';
import { parseBody } from './hogql-query.ts';
import { jsonAnswer, type ProjectRead, type ReadAnswer } from './read-exchange.ts';
import type { StoreReads } from './store-reads.ts';

export const MAX_RETRY_REQUESTS = 1000;
export const MAX_RETRIED_EVENTS = 10_000;

const NIL = '00000000-0000-0000-0000-000000000000';
const uuid = z.string().transform((text, context) => {
  const bytes = parseUuid(text);
  if (bytes !== undefined) return formatUuid(bytes);
  context.addIssue({ code: 'custom', message: 'no uuid' });
  return z.NEVER;
});
const retries = z.strictObject({
  requests: z.array(uuid).max(MAX_RETRY_REQUESTS).default([]),
  stored: z
    .array(
      z.strictObject({
        request_id: uuid,
        index: z.number().int().min(0).max(0xffff_ffff),
        received_at: z.iso.datetime(),
        retry_request_id: uuid,
      }),
    )
    .max(MAX_RETRIED_EVENTS)
    .default([]),
});

export interface RetryPlaces {
  readonly store: StoreReads;
  readonly registry: Pick<Registry, 'projectKeys'>;
}

export async function noteRetries(read: ProjectRead, places: RetryPlaces): Promise<ReadAnswer | Fault> {
  const sent = parseBody(read.request.body);
  if (sent.kind === 'fault') return sent;
  const parsed = retries.safeParse(sent.value);
  if (!parsed.success) {
    const name = parsed.error.issues[0]?.path.join('.') ?? '';
    const expected =
      `{"requests": [uuid, …], "stored": [{"request_id", "index", "received_at", "retry_request_id"}, …]}, ` +
      `at most ${MAX_RETRY_REQUESTS} and ${MAX_RETRIED_EVENTS}`;
    return fault('invalid_parameter', { name: name === '' ? 'body' : name, expected });
  }
  const { requests, stored } = parsed.data;
  const notes = [
    ...requests.map((id) => ({ request_id: NIL, index: 0, received_at: '1970-01-01T00:00:00Z', retry_request_id: id })),
    ...stored,
  ];
  if (notes.length > 0) {
    const text =
      `INSERT INTO ${internalDatabase}.retried (project_id, request_id, \`index\`, received_at, retry_request_id, retried_at) ` +
      `SELECT {project_id:UInt32}, toUUID(note.1), note.2, fromUnixTimestamp64Milli(note.3, 'UTC'), toUUID(note.4), now64(3) ` +
      `FROM (SELECT arrayJoin(arrayZip({ids:Array(String)}, {indexes:Array(UInt32)}, {received:Array(Int64)}, ` +
      `{retries:Array(String)})) AS note)`;
    const parameters = {
      project_id: read.project.id,
      ids: notes.map((note) => note.request_id),
      indexes: notes.map((note) => note.index),
      received: notes.map((note) => Date.parse(note.received_at)),
      retries: notes.map((note) => note.retry_request_id),
    };
    const answer = await places.store.rows({ text, parameters }, 1, read.request.signal);
    if (answer.kind === 'fault') return answer;
  }
  const key = sendingKey(places.registry.projectKeys(), read.project.id);
  return jsonAnswer(JSON.stringify({ project_key: key === undefined ? null : { key: key.key, kind: key.kind } }));
}

/** A public key goes first: it does not make what nobody vouched for look vouched for. */
function sendingKey(keys: readonly ProjectKey[], projectId: number): ProjectKey | undefined {
  const valid = keys.filter((key) => key.projectId === projectId && key.revokedAtMs === undefined);
  return valid.find((key) => key.kind === 'public') ?? valid[0];
}
