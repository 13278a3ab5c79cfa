/**
 * The certificate that the port shows: read and checked at start, and again on SIGHUP.
 *
 * Failure  A file that cannot be read, is no PEM, or a key that does not fit is said in one sentence, which names the
 *          setting; no text of a file is shown. A certificate outside its dates works, with a warning: to stop would lose
 *          events that a lenient client still sends.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureVersion } from 'node:tls';

export interface TlsPaths {
  readonly certPath: string;
  readonly keyPath: string;
}

export interface TlsCredentials {
  readonly kind: 'credentials';
  /** What Node's listeners and `setSecureContext` take. */
  readonly options: { readonly cert: Buffer; readonly key: Buffer; readonly minVersion: SecureVersion };
  /** Set when the certificate is not valid now. */
  readonly warning: string | undefined;
  /** ISO 8601, UTC. */
  readonly validUntil: string;
}

export interface TlsProblem {
  readonly kind: 'problem';
  readonly problem: string;
}

/** TLS 1.0 and 1.1 were given up by RFC 8996. */
const MIN_VERSION = 'TLSv1.2';

/** @param nowMs epoch milliseconds */
export function readTls({ certPath, keyPath }: TlsPaths, nowMs: number): TlsCredentials | TlsProblem {
  const cert = fileOf(certPath, '--tls-cert');
  if (!Buffer.isBuffer(cert)) return cert;
  const key = fileOf(keyPath, '--tls-key');
  if (!Buffer.isBuffer(key)) return key;

  const certificate = parsed(() => new X509Certificate(cert));
  if (certificate === undefined) return problem(`--tls-cert: ${certPath} holds no certificate in PEM form.`);
  if (/ENCRYPTED/.test(key.toString('latin1'))) {
    return problem(
      `--tls-key: ${keyPath} is locked with a passphrase. Give a copy without one, which only this user can read.`,
    );
  }
  const privateKey = parsed<KeyObject>(() => createPrivateKey(key));
  if (privateKey === undefined) return problem(`--tls-key: ${keyPath} holds no private key in PEM form.`);
  if (!certificate.checkPrivateKey(privateKey)) {
    return problem(
      `--tls-key: ${keyPath} does not belong to the certificate in ${certPath}. Give the key it was made with.`,
    );
  }
  const options = { cert, key, minVersion: MIN_VERSION } as const;
  try {
    createSecureContext(options);
  } catch (error) {
    return problem(`--tls-cert: ${certPath} cannot be used (${codeOf(error)}).`);
  }
  return {
    kind: 'credentials',
    options,
    warning: dateWarning(certificate, nowMs),
    validUntil: new Date(certificate.validTo).toISOString(),
  };
}

function fileOf(path: string, flag: string): Buffer | TlsProblem {
  try {
    return readFileSync(path);
  } catch (error) {
    return problem(`${flag}: ${path} cannot be read (${codeOf(error)}).`);
  }
}

function dateWarning({ validFrom, validTo }: X509Certificate, nowMs: number): string | undefined {
  if (Date.parse(validTo) <= nowMs) return 'the certificate has expired; clients that check it will not connect';
  if (Date.parse(validFrom) > nowMs) return 'the certificate is not valid yet; clients that check it will not connect';
  return undefined;
}

function parsed<T>(parse: () => T): T | undefined {
  try {
    return parse();
  } catch {
    return undefined;
  }
}

function problem(text: string): TlsProblem {
  return { kind: 'problem', problem: text };
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown reason';
}
