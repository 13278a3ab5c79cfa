/** One person's visit to a page that uses an SDK: the steps, and everything that could disturb somebody who looks on. */
import { type Browser, type BrowserContext, type Page, type Request } from 'playwright-core';
import { z } from 'zod';
import { until } from '../../harness/until.ts';
import type { BodyForm, BrowserSdk } from './browser-sdks.ts';
import { type Claim, parseClaim } from './comparison.ts';
import type { PageServer } from './page-server.ts';

export const BURST_EVENTS = 250;
const HALF = 100;

export interface SentRequest {
  readonly method: string;
  /** Behind the server's address and the ingest path, query included. */
  readonly path: string;
  readonly body: BodyForm;
}

export interface Visit {
  readonly sdk: BrowserSdk;
  readonly claims: readonly Claim[];
  readonly requests: readonly SentRequest[];
  /** Errors and warnings of the console and of the page, in the order they came. */
  readonly complaints: readonly string[];
  /** Requests without an answer, or with one from 400 on. */
  readonly failures: readonly string[];
  /** Requests that the page's end cut off. */
  readonly cutOff: readonly string[];
  /** Requests whose answer the SDK saw and did not read to its end, as posthog-js-lite does with all that carry events. */
  readonly unread: readonly string[];
  /** Beacons that the browser took. */
  readonly beacons: number;
}

interface Site {
  readonly pages: PageServer;
  readonly sdk: BrowserSdk;
  /** The server's address, or the gate's before it. */
  readonly host: string;
}

/** By its bytes, or where they are a Blob, which cannot be looked at, by what the request says of them. */
function formOf(request: Request): BodyForm {
  const body = request.postDataBuffer();
  const { 'content-type': type = '', 'content-encoding': encoding } = request.headers();
  const isText = type.startsWith('text/plain') && encoding === undefined;
  if (body === null) {
    if (encoding === 'gzip' && type.startsWith('application/json')) return 'gzip, Content-Encoding';
    return isText && request.url().includes('compression=gzip-js') ? 'gzip, compression=gzip-js' : 'other';
  }
  if (body[0] === 0x1f && body[1] === 0x8b && isText) return 'gzip alone';
  const isForm = type === 'application/x-www-form-urlencoded' && body.toString('latin1').startsWith('data=');
  return isForm ? 'base64 form' : 'other';
}

export class Visitor {
  readonly sdk: BrowserSdk;
  readonly #context: BrowserContext;
  readonly #page: Page;
  readonly #pages: PageServer;
  readonly #host: string;
  readonly #requests: SentRequest[] = [];
  readonly #complaints: string[] = [];
  readonly #failures: string[] = [];
  readonly #cutOff: string[] = [];
  readonly #unread: string[] = [];
  readonly #answered = new Set<Request>();
  #isLeaving = false;

  static async open(browser: Browser, site: Site): Promise<Visitor> {
    const context = await browser.newContext();
    return new Visitor(context, await context.newPage(), site);
  }

  private constructor(context: BrowserContext, page: Page, site: Site) {
    this.#context = context;
    this.#page = page;
    this.sdk = site.sdk;
    this.#pages = site.pages;
    this.#host = site.host;
    this.#listen();
  }

  #listen(): void {
    this.#page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) this.#complaints.push(`${message.type()}: ${message.text()}`);
    });
    this.#page.on('pageerror', (error) => this.#complaints.push(`uncaught: ${String(error)}`));
    this.#page.on('request', (request) => {
      const path = this.#pathOf(request);
      if (path !== undefined) this.#requests.push({ method: request.method(), path, body: formOf(request) });
    });
    this.#page.on('requestfailed', (request) => {
      const text = `${request.method()} ${request.url()} ${request.failure()?.errorText ?? ''}`;
      const isAborted = request.failure()?.errorText === 'net::ERR_ABORTED';
      if (isAborted && this.#answered.has(request)) this.#unread.push(text);
      else if (isAborted && this.#isLeaving) this.#cutOff.push(text);
      else this.#failures.push(text);
    });
    this.#page.on('response', (response) => {
      this.#answered.add(response.request());
      if (response.status() >= 400)
        this.#failures.push(`${response.request().method()} ${response.url()} ${response.status()}`);
    });
  }

  /** Undefined for a request to the site itself. */
  #pathOf(request: Request): string | undefined {
    const base = `${this.#host}${this.sdk.ingestPath}`;
    return request.url().startsWith(`${base}/`) ? request.url().slice(base.length) : undefined;
  }

  async #step(call: string): Promise<void> {
    await this.#page.evaluate(`steps.${call}`);
  }

  #untilAsked(path: RegExp): Promise<unknown> {
    return until(() => this.#requests.some((request) => path.test(request.path)), {
      deadlineMs: 10_000,
      what: `${this.sdk.id} asks ${String(path)} besides ${JSON.stringify(this.#requests)}`,
    });
  }

  /** Everything up to the middle of the burst. */
  async begin(): Promise<void> {
    await this.#page.goto(this.#pages.pageOf(this.sdk, this.#host), { waitUntil: 'networkidle' });
    await this.#page.waitForFunction('window.steps?.isLoaded()');
    await this.#page.click('#buy');
    await this.#step('script()');
    for (const path of this.sdk.asks) await this.#untilAsked(path);
    await this.#step(`burst(0, ${HALF})`);
  }

  /** The rest of the burst, which begins with an event that is sent at once. */
  async goOn(): Promise<void> {
    await this.#step('now(-4)');
    await this.#step(`burst(${HALF}, ${BURST_EVENTS})`);
  }

  /** A reset, a moment out of sight, and away with events still queued. */
  async leave(): Promise<void> {
    await this.#step('afterReset()');
    await this.#step('leave()');
    this.#isLeaving = true;
    await this.#page.goto(this.#pages.emptyPage);
    if (this.sdk.leaves === 'beacon') return;
    await this.#page.goto(this.#pages.pageOf(this.sdk, this.#host), { waitUntil: 'networkidle' });
    await this.#step('flush()');
    await this.#page.goto(this.#pages.emptyPage);
  }

  /** What the SDK claims so far. */
  async claims(): Promise<readonly Claim[]> {
    const found: unknown = await this.#page.evaluate(
      `Object.entries(localStorage).filter(([name]) => name.startsWith('claim:')).map(([, text]) => text)`,
    );
    return z.array(z.string()).parse(found).map(parseClaim);
  }

  async end(): Promise<Visit> {
    const visit = {
      sdk: this.sdk,
      claims: await this.claims(),
      requests: this.#requests,
      complaints: this.#complaints,
      failures: this.#failures,
      cutOff: this.#cutOff,
      unread: this.#unread,
      beacons: Number(await this.#page.evaluate(`localStorage.getItem('beacons') ?? 0`)),
    };
    await this.#context.close();
    return visit;
  }
}
