/** POST over connections that are kept. `fetch` costs several times as much, and the load shares the server's machine. */
import { Agent, request } from 'node:http';

/** Longer than the server itself would take to give up on anything. */
const ANSWER_DEADLINE_MS = 30_000;

export type PostAnswer =
  { readonly kind: 'answer'; readonly status: number; readonly text: string } | { readonly kind: 'broken' };

export class Posts {
  readonly #agent = new Agent({ keepAlive: true });

  /** Never throws: a connection that breaks is what the run is about. */
  send(url: string, body: string, personalKey?: string): Promise<PostAnswer> {
    return new Promise((resolve) => {
      const broken = (): void => resolve({ kind: 'broken' });
      const bytes = Buffer.from(body);
      const headers: Record<string, string | number> = {
        'Content-Type': 'application/json',
        'Content-Length': bytes.length,
      };
      if (personalKey !== undefined) headers['Authorization'] = `Bearer ${personalKey}`;
      const call = request(url, { method: 'POST', agent: this.#agent, headers, timeout: ANSWER_DEADLINE_MS });
      call.on('response', (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part: string) => (text += part));
        response.on('end', () => {
          // An answer that was cut short is none: only a whole one acknowledges.
          if (response.complete) resolve({ kind: 'answer', status: response.statusCode ?? 0, text });
          else broken();
        });
        response.on('error', broken).on('close', broken);
      });
      call.on('error', broken).on('timeout', () => call.destroy());
      call.end(bytes);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}
