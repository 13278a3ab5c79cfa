/** The routes that SDKs call beside capture, as data: path to what answers, its methods, and what becomes of the body. */
import type { OtlpSignalName } from '../wire/sides/otlp-signal.ts';
import { fixedAnswers } from '../wire/sides/fixed-answers.ts';

export type SideTarget =
  /** `token` undecoded, as the path has it. */
  | { readonly kind: 'config'; readonly token: string; readonly isScript: boolean }
  /** `version` undefined: not in the path. */
  | { readonly kind: 'static'; readonly file: string; readonly version: string | undefined }
  | { readonly kind: 'flags'; readonly path: '/flags' | '/decide' }
  | { readonly kind: 'otlp'; readonly signal: OtlpSignalName }
  | { readonly kind: 'recordings' }
  | { readonly kind: 'ai_multipart' }
  | { readonly kind: 'push_subscriptions' }
  | { readonly kind: 'flag_payload' }
  | { readonly kind: 'fixed'; readonly path: string };

export interface SideRoute {
  readonly kind: 'side';
  /** As /metrics names it. */
  readonly label: string;
  readonly target: SideTarget;
  readonly methods: readonly string[];
  /** Largest body as sent. */
  readonly maxBodyBytes: number;
  /** False: it is read off and thrown away, so that it costs no memory. */
  readonly keepsBody: boolean;
}

const MIB = 1 << 20;
const READ_METHODS = ['GET', 'HEAD'];
const READ_OR_POST_METHODS = ['GET', 'HEAD', 'POST'];
/** Where nothing is expected, something may come: a GET with a body. */
const MAX_UNEXPECTED_BYTES = 64 * 1024;
const MAX_FLAGS_BYTES = 2 * MIB;
const MAX_OTLP_BYTES = 10 * MIB; // sdks.md 15
const MAX_RECORDINGS_BYTES = 25 * MIB; // protocol.md 1
const MAX_AI_MULTIPART_BYTES = 27.5 * MIB; // protocol.md 1

function reads(label: string, target: SideTarget): SideRoute {
  const methods = READ_METHODS;
  return { kind: 'side', label, target, methods, maxBodyBytes: MAX_UNEXPECTED_BYTES, keepsBody: false };
}

function flags(path: '/flags' | '/decide'): SideRoute {
  const target = { kind: 'flags', path } as const;
  const methods = READ_OR_POST_METHODS;
  return { kind: 'side', label: path, target, methods, maxBodyBytes: MAX_FLAGS_BYTES, keepsBody: true };
}

function otlp(label: string, signal: OtlpSignalName): SideRoute {
  const target = { kind: 'otlp', signal } as const;
  return { kind: 'side', label, target, methods: ['POST'], maxBodyBytes: MAX_OTLP_BYTES, keepsBody: true };
}

const known: readonly SideRoute[] = [
  flags('/flags'),
  flags('/decide'),
  otlp('/i/v0/ai/otel', 'traces'),
  otlp('/i/v1/logs', 'logs'),
  otlp('/i/v1/metrics', 'metrics'),
  otlp('/i/v1/traces', 'traces'),
  {
    kind: 'side',
    label: '/s',
    target: { kind: 'recordings' },
    methods: READ_OR_POST_METHODS,
    maxBodyBytes: MAX_RECORDINGS_BYTES,
    keepsBody: false,
  },
  {
    kind: 'side',
    label: '/i/v0/ai',
    target: { kind: 'ai_multipart' },
    methods: ['POST'],
    maxBodyBytes: MAX_AI_MULTIPART_BYTES,
    keepsBody: false,
  },
  {
    kind: 'side',
    label: '/api/push_subscriptions',
    target: { kind: 'push_subscriptions' },
    methods: ['POST', 'DELETE'],
    maxBodyBytes: MAX_UNEXPECTED_BYTES,
    keepsBody: false,
  },
  ...Object.keys(fixedAnswers).map((path) => reads(path, { kind: 'fixed', path })),
];

/** Those whose path is fixed, by it, without the last slash. */
export const sideRoutes: ReadonlyMap<string, SideRoute> = new Map(known.map((route) => [route.label, route]));

const CONFIG = /^\/array\/([^/]+)\/config(\.js)?$/;
const STATIC = /^\/static\/(?:([^/]+)\/)?([^/]+)$/;
const FLAG_PAYLOAD = /^\/api\/projects\/[^/]+\/feature_flags\/[^/]+\/remote_config$/;

/** @param path undecoded, without the query and without its last slash */
export function sideRouteOf(path: string): SideRoute | undefined {
  const known = sideRoutes.get(path);
  if (known !== undefined) return known;
  const [, token, script] = CONFIG.exec(path) ?? [];
  if (token !== undefined) return reads('/array', { kind: 'config', token, isScript: script !== undefined });
  const [, version, file] = STATIC.exec(path) ?? [];
  if (file !== undefined) return reads('/static', { kind: 'static', file, version });
  return FLAG_PAYLOAD.test(path) ? reads('/api/projects', { kind: 'flag_payload' }) : undefined;
}
