/** The site whose pages use the SDKs: on a port of its own, so that the server stands on another origin. */
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, normalize } from 'node:path';
import { root } from '../../harness/hedgerow.ts';
import type { BrowserSdk } from './browser-sdks.ts';

export interface PageServer {
  readonly origin: string;
  /** The address of a page that is set up to send to `host`. */
  pageOf(sdk: BrowserSdk, host: string): string;
  /** A page without any SDK. */
  readonly emptyPage: string;
  close(): Promise<void>;
}

const script = join(root, 'test', 'sdk', 'browser', 'page-script.mjs');
const stub = join(root, 'test', 'sdk', 'browser', 'snippet-stub.js');

export async function openPageServer(sdks: readonly BrowserSdk[], key: string): Promise<PageServer> {
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const answer = (type: string, body: string | Buffer): void => {
      response.writeHead(200, { 'Content-Type': type, 'Cache-Control': 'no-store' }).end(body);
    };
    const sdk = sdks.find(({ id }) => url.pathname === `/pages/${id}.html`);
    const host = url.searchParams.get('host');
    if (sdk !== undefined && host !== null) answer('text/html; charset=utf-8', pageText(sdk, { host, key }));
    else if (url.pathname === '/empty.html') answer('text/html; charset=utf-8', '<!doctype html><title>Empty</title>');
    else if (url.pathname === '/favicon.ico') response.writeHead(204).end();
    else {
      const file = fileOf(url.pathname);
      const read = file === undefined ? Promise.reject(new Error(`nothing at ${url.pathname}`)) : readFile(file);
      read.then(
        (body) => answer('text/javascript; charset=utf-8', body),
        (error: unknown) => response.writeHead(404).end(String(error)),
      );
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    origin,
    pageOf: (sdk, host) => `${origin}/pages/${sdk.id}.html?host=${encodeURIComponent(host)}`,
    emptyPage: `${origin}/empty.html`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function fileOf(path: string): string | undefined {
  if (path === '/page-script.mjs') return script;
  if (path === '/snippet-stub.js') return stub;
  return path.startsWith('/node_modules/') ? join(root, normalize(path)) : undefined;
}

function pageText(sdk: BrowserSdk, { host, key }: { readonly host: string; readonly key: string }): string {
  const settings = { host: `${host}${sdk.ingestPath}`, key, id: sdk.id, isLite: sdk.name === 'posthog-js-lite' };
  const start = `import { start } from '/page-script.mjs'; start(${JSON.stringify(settings)}`;
  const scripts =
    sdk.page.kind === 'snippet'
      ? `<script src="/snippet-stub.js"></script><script type="module">${start});</script>`
      : `<script type="importmap">{"imports":{"@posthog/core":"/node_modules/@posthog/core/dist/index.mjs"}}</script>
<script type="module">
import * as sdk from '/node_modules/${sdk.page.package}/${sdk.page.entry}'; ${start}, sdk);
</script>`;
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shop</title>${scripts}</head>
<body><button id="buy" class="big red">Buy ünits</button></body></html>`;
}
