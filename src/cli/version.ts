import { readFileSync } from 'node:fs';

/** From package.json, which lies two folders above both `src/cli/` and `dist/cli/`. */
export function hedgerowVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  const hasVersion = typeof manifest === 'object' && manifest !== null && 'version' in manifest;
  return hasVersion && typeof manifest.version === 'string' ? manifest.version : 'unknown';
}
