/** Backups (docs/backup.md). */
import { answerHeaders } from './answer-headers.ts';
import { type Operation, type PathFamily, pathItem, responseReference, type Schema } from './operation.ts';
import { anywhere, type Refusals, refusals, withBody } from './refusals.ts';

const keyCodes = [
  'invalid_personal_api_key',
  'missing_bearer',
  'missing_scope',
  'rate_limited',
  'wrong_project',
] as const;
const asking = refusals('Backup', [...anywhere, 'internal_error', ...keyCodes]);
const beginning = refusals('NewBackup', [...withBody, ...keyCodes, 'invalid_parameter', 'overloaded']);

const count = { type: 'integer', minimum: 0 };
const began = { dir: { type: 'string' }, began_at: { type: 'string', format: 'date-time' } };

function state(name: string, properties: Schema): Schema {
  const all = { state: { const: name }, ...properties };
  return { type: 'object', additionalProperties: false, required: Object.keys(all), properties: all };
}

const backup: Schema = {
  oneOf: [
    state('none', {}),
    state('running', {
      ...began,
      step: { enum: ['log and store', 'files'] },
      done_files: count,
      total_files: count,
    }),
    state('failed', { ...began, reason: { type: 'string' } }),
    state('done', {
      ...began,
      files: count,
      bytes: count,
      events: count,
      rejections: count,
      pending: { ...count, description: 'Records that its log brings, and the next start loads.' },
    }),
  ],
};

function operation(
  operationId: string,
  summary: string,
  { refused, ...more }: { readonly refused: Refusals } & Partial<Operation>,
): Operation {
  return {
    tags: ['Reading'],
    operationId,
    summary,
    security: [{ personalKey: [] }],
    ...more,
    responses: { 200: responseReference('Backup'), ...refused.responses },
  };
}

const KEY = 'It needs a personal key with the scope `admin` that is not limited to some projects.';

export const backupPaths: PathFamily = {
  paths: {
    '/api/backups/': pathItem({
      get: operation('backup', 'How far the newest backup has come', { refused: asking, description: KEY }),
      post: operation('beginBackup', 'Begin a backup to a folder of the server’s machine', {
        refused: beginning,
        description: `${KEY} One at a time. It goes on when the client leaves; GET tells of it.`,
        requestBody: {
          description: 'JSON, whatever the content type says.',
          required: true,
          content: {
            'application/json': {
              schema: {
                type: 'object',
                additionalProperties: false,
                required: ['dir'],
                properties: {
                  dir: { type: 'string', description: 'Absolute, outside the data folder; new, or an empty folder.' },
                },
              },
            },
          },
        },
      }),
    }),
  },
  responses: {
    Backup: {
      description: 'The newest backup since the server was started.',
      headers: answerHeaders(),
      content: { 'application/json': { schema: backup } },
    },
    ...asking.components,
    ...beginning.components,
  },
};
