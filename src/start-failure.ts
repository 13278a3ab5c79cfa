import { resolve } from 'node:path';
import type { Config } from './config/config.ts';

/** Why the server did not start: one clear sentence that says what was wrong and what to do. Shown without a stack. */
export class StartFailure extends Error {
  override readonly name = 'StartFailure';
}

/** The system's error codes in the words of somebody who wants to start a server. */
export function startFailure(error: unknown, config: Config): Error {
  if (!(error instanceof Error)) return new StartFailure(String(error));
  const code = 'code' in error ? String(error.code) : '';
  const where = resolve(config.dataDir);
  switch (code) {
    case 'EADDRINUSE':
      return new StartFailure(
        `Port ${config.port} on ${config.host} is in use by another program. Stop it, or choose another with --port (0 takes any free one).`,
      );
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new StartFailure(
        `This machine has no address ${config.host}. Choose one of its own with --host, or 0.0.0.0 for all.`,
      );
    case 'ENOENT':
    case 'EACCES':
    case 'EPERM':
    case 'EROFS':
      return new StartFailure(
        `The data folder ${where} (or port ${config.port}) cannot be used: ${error.message}. Make the folder writable for this user, or choose another with --data-dir.`,
      );
    case 'ENOTDIR':
    case 'EEXIST':
      return new StartFailure(`The data folder ${where} is no folder. Choose another with --data-dir.`);
    case 'ENOSPC':
      return new StartFailure(
        `The disk of the data folder ${where} is full. Make room, or choose another with --data-dir.`,
      );
    default:
      return new StartFailure(error.message);
  }
}
