import type { Project } from '../registry/registry.ts';

/** A request to the reading API, its head parsed and its body read within the server's limits. */
export interface ReadRequest {
  readonly method: string;
  /** Without the query; percent-encoded as sent. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly authorization: string | undefined;
  readonly body: Buffer;
  /** Aborted when the client leaves. */
  readonly signal: AbortSignal;
  /** `http://host:port` as the client addressed us; with it `next` is a whole URL, without it a path. */
  readonly origin?: string | undefined;
}

export interface ReadAnswer {
  readonly kind: 'answer';
  readonly status: 200;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** A request whose key may read `project`. */
export interface ProjectRead {
  readonly request: ReadRequest;
  readonly project: Project;
}

const jsonHeaders = { 'Content-Type': 'application/json' } as const;

export function jsonAnswer(body: string): ReadAnswer {
  return { kind: 'answer', status: 200, headers: jsonHeaders, body };
}
