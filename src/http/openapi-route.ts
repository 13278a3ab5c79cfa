import { createHash } from 'node:crypto';
import type { Exchange } from './exchange.ts';
import { openApiDocument } from './openapi/document.ts';
import { isKnownTo } from './side-answers.ts';

interface Page {
  readonly body: Buffer;
  /** Without quotes. */
  readonly tag: string;
}

/** Made when it is first asked for: most servers never are. */
let page: Page | undefined;

function makePage(): Page {
  const body = Buffer.from(JSON.stringify(openApiDocument()));
  return { body, tag: createHash('sha256').update(body).digest('base64url').slice(0, 22) };
}

/** What this server serves, as OpenAPI: no key, and 304 for whoever has it. */
export function serveOpenApi(exchange: Exchange): void {
  const { request } = exchange;
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    exchange.refuseMethod('GET, HEAD, OPTIONS');
    return;
  }
  exchange.skipBody();
  page ??= makePage();
  const { body, tag } = page;
  const status = isKnownTo(request, tag) ? 304 : 200;
  exchange.answerWithHeaders({ status, body, contentType: 'application/json' }, [
    'ETag', `"${tag}"`,
    'Cache-Control', 'no-cache',
  ]); // prettier-ignore
}
