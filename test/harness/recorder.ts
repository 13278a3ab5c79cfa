/**
 * Records exchanges over HTTP to a file, a JSON line each, for whoever wants to hold them against something later:
 * its own requests, and every `fetch` of a suite that switches it on with `recordFetch`.
 */
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { Agent, request as httpRequest } from 'node:http';

export interface RecordedExchange {
  readonly method: string;
  /** Path and query, as they went over the wire. */
  readonly target: string;
  /** Names in lower case, as are those of the answer. */
  readonly requestHeaders: Readonly<Record<string, string>>;
  /** Base64; null: larger than MAX_KEPT_BYTES, or not known. */
  readonly requestBody: string | null;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Base64. */
  readonly body: string;
}

export interface Sent {
  /** `GET` when left out, or `POST` when there is a body. */
  readonly method?: string;
  readonly target: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | undefined;
  /** No `Host`, which HTTP/1.1 demands. */
  readonly hasNoHost?: boolean;
  /** The body begins, and never ends. */
  readonly stalls?: boolean;
}

const MAX_KEPT_BYTES = 64 * 1024;

export class Recorder {
  readonly #file: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 8 });

  /** @param file is emptied */
  constructor(file: string) {
    this.#file = file;
    writeFileSync(file, '');
  }

  send(port: number, sent: Sent): Promise<RecordedExchange> {
    const { target, body, stalls = false } = sent;
    const method = sent.method ?? (body === undefined ? 'GET' : 'POST');
    const bytes = body === undefined ? undefined : Buffer.from(body);
    const length: Record<string, string> = stalls ? { 'Content-Length': '9' } : {};
    if (bytes !== undefined && !stalls) length['Content-Length'] = String(bytes.length);
    const headers = { ...sent.headers, ...length };
    const options = { host: '127.0.0.1', port, method, path: target, headers, setHost: sent.hasNoHost !== true };
    return new Promise((resolve, reject) => {
      const request = httpRequest({ ...options, agent: stalls ? false : this.#agent }, (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.on('error', reject);
        answer.on('end', () => {
          if (stalls) request.destroy();
          resolve(
            this.#record({
              method,
              target,
              requestHeaders: lowerCased(Object.entries(headers)),
              requestBody: kept(bytes),
              status: answer.statusCode ?? 0,
              headers: lowerCased(
                Object.entries(answer.headersDistinct).map(([name, all]) => [name, all?.join(', ') ?? '']),
              ),
              body: Buffer.concat(chunks).toString('base64'),
            }),
          );
        });
      });
      request.on('error', reject); // behind the answer it changes nothing
      if (stalls) request.write('{');
      else request.end(bytes);
    });
  }

  /**
   * From now on every `fetch` of this process is recorded too; an answer's body as fetch shows it, without its encoding.
   *
   * @returns ends that
   */
  recordFetch(): () => void {
    const plain = globalThis.fetch;
    globalThis.fetch = async (input, init) => {
      const request = new Request(input, init);
      const bytes = Buffer.from(await request.clone().arrayBuffer());
      const answer = await plain(request);
      const { pathname, search } = new URL(request.url);
      this.#record({
        method: request.method,
        target: `${pathname}${search}`,
        requestHeaders: lowerCased([...request.headers]),
        requestBody: kept(bytes),
        status: answer.status,
        headers: lowerCased([...answer.headers]),
        body: Buffer.from(await answer.clone().arrayBuffer()).toString('base64'),
      });
      return answer;
    };
    return () => {
      globalThis.fetch = plain;
    };
  }

  close(): void {
    this.#agent.destroy();
  }

  #record(exchange: RecordedExchange): RecordedExchange {
    appendFileSync(this.#file, `${JSON.stringify(exchange)}\n`);
    return exchange;
  }
}

export function readRecording(file: string): readonly RecordedExchange[] {
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as RecordedExchange);
}

function kept(bytes: Buffer | undefined): string | null {
  if (bytes === undefined) return '';
  return bytes.length > MAX_KEPT_BYTES ? null : bytes.toString('base64');
}

function lowerCased(entries: readonly (readonly [string, string])[]): Readonly<Record<string, string>> {
  return Object.fromEntries(entries.map(([name, value]) => [name.toLowerCase(), value]));
}
