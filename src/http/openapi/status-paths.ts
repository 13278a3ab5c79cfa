/** Probes, numbers, and this document. */
import type { ErrorCode } from '../../errors.ts';
import { answerHeaders } from './answer-headers.ts';
import {
  type Operation,
  type PathFamily,
  parameterReference,
  pathItem,
  type Response,
  responseReference,
  type Schema,
} from './operation.ts';
import { anywhere, type Refusals, refusals } from './refusals.ts';

const served: readonly ErrorCode[] = [...anywhere, 'internal_error'];
const status = refusals('Status', served);
const readiness = refusals('Readiness', [...served, 'disk_full', 'draining', 'log_unavailable', 'overloaded']);
const preflight = refusals('Preflight', anywhere);
const preflightV1 = refusals('PreflightV1', anywhere, 'v1');

function get(operationId: string, summary: string, responses: Operation['responses'], refused: Refusals): Operation {
  return {
    tags: ['Status'],
    operationId,
    summary,
    security: [{}],
    responses: { ...responses, ...refused.responses },
  };
}

function answer(description: string, type: string, schema: Schema): Response {
  return { description, headers: answerHeaders(), content: { [type]: { schema } } };
}

function says(word: string): Schema {
  return {
    type: 'object',
    properties: { status: { const: word } },
    required: ['status'],
    additionalProperties: false,
  };
}

const PREFLIGHT_HEADERS = ['Access-Control-Allow-Methods', 'Access-Control-Allow-Headers', 'Access-Control-Max-Age'];

const document: Operation = {
  ...get(
    'openApi',
    'This document',
    { 200: responseReference('Document'), 304: responseReference('Unchanged') },
    status,
  ),
  parameters: [parameterReference('IfNoneMatch')],
};

export const statusPaths: PathFamily = {
  paths: {
    '/': pathItem({
      get: get('root', 'Says that this is a capture server', { 200: responseReference('Root') }, status),
    }),
    '/_liveness': pathItem({
      get: get('liveness', 'Does the process run?', { 200: responseReference('Alive') }, status),
    }),
    '/_readiness': pathItem({
      get: get('readiness', 'Would an event be kept?', { 200: responseReference('Ready') }, readiness),
    }),
    '/metrics': pathItem({
      get: get('metrics', 'Numbers, for Prometheus', { 200: responseReference('Metrics') }, status),
    }),
    '/openapi.json': pathItem({ get: document }),
  },
  responses: {
    Root: answer('The word `capture`.', 'text/plain', { const: 'capture' }),
    Alive: answer('It does.', 'application/json', says('alive')),
    Ready: answer('It would.', 'application/json', {
      type: 'object',
      properties: {
        status: { const: 'ready' },
        detail: {
          type: 'string',
          description: 'An alarm that concerns no event to come: the ledger does not balance.',
        },
      },
      required: ['status'],
      additionalProperties: false,
    }),
    Metrics: answer('Prometheus’ text format 0.0.4.', 'text/plain', { type: 'string' }),
    Document: {
      description: 'OpenAPI 3.1.',
      headers: answerHeaders('ETag', 'Cache-Control'),
      content: {
        'application/json': {
          schema: {
            type: 'object',
            required: ['openapi', 'info', 'paths'],
            properties: { openapi: { const: '3.1.0' } },
          },
        },
      },
    },
    Preflight: { description: 'What a page may send.', headers: answerHeaders(...PREFLIGHT_HEADERS) },
    PreflightV1: {
      description: 'What a page may send.',
      headers: answerHeaders(...PREFLIGHT_HEADERS, 'PostHog-Request-Id'),
    },
    ...status.components,
    ...readiness.components,
    ...preflight.components,
    ...preflightV1.components,
  },
};
