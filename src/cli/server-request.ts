/** One request to the server's HTTP API, with failures as sentences. */
import { z } from 'zod';
import { CommandFailure } from './command-failure.ts';
import type { ServerAddress } from './server-address.ts';

/** What Node says of a certificate: unknown maker, wrong name, out of date. */
export function isCertificateProblem(code: string): boolean {
  return /CERT|SIGNATURE|^ERR_TLS_/.test(code);
}

const faultBody = z.object({ code: z.string(), detail: z.string() });

/** The body's text, whatever its size; a reader takes it apart, since numbers must stay as they were sent. */
export async function requestText(address: ServerAddress, path: string, jsonBody?: unknown): Promise<string> {
  const response = await fetchOrFail(address, path, jsonBody);
  const text = await response.text();
  if (response.ok) return text;
  const parsed = parseFault(text);
  if (response.status === 401 && address.personalKey === undefined) {
    throw new CommandFailure(
      `The server at ${address.url} asks for a personal API key. Give one with --key or HEDGEROW_PERSONAL_API_KEY.`,
    );
  }
  throw new CommandFailure(parsed?.detail ?? `The server at ${address.url} answered ${response.status}.`);
}

async function fetchOrFail(address: ServerAddress, path: string, jsonBody: unknown): Promise<Response> {
  const headers = new Headers({ 'Content-Type': 'application/json' });
  if (address.personalKey !== undefined) headers.set('Authorization', `Bearer ${address.personalKey}`);
  try {
    return await fetch(`${address.url}${path}`, {
      headers,
      ...(jsonBody === undefined ? {} : { method: 'POST', body: JSON.stringify(jsonBody) }),
    });
  } catch (error) {
    throw unreachable(address.url, error);
  }
}

/** `fetch` hides the reason in `cause`. */
export function unreachable(url: string, error: unknown): CommandFailure {
  const code = networkErrorCode(error);
  if (code !== undefined && isCertificateProblem(code)) {
    return new CommandFailure(
      `The certificate of ${url} is not trusted (${code}). Give NODE_EXTRA_CA_CERTS the file of the certificate, or of ` +
        'the authority that made it, and an address that it is made for.',
    );
  }
  if (code !== undefined) {
    return new CommandFailure(`The server at ${url} cannot be reached (${code}). Check that it runs there.`);
  }
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new CommandFailure(`No request can be sent to ${url} (${reason}). Check the address.`);
}

/** `ECONNREFUSED` and its like; undefined when the request could not even be tried, for instance at a forbidden port. */
export function networkErrorCode(error: unknown): string | undefined {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : undefined;
}

export function parseFault(text: string): { readonly code: string; readonly detail: string } | undefined {
  try {
    return faultBody.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
