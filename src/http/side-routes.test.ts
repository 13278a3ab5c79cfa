import { describe, expect, it } from 'vitest';
import { reservedFirstSegments } from '../config/setting-kinds.ts';
import { routeOf, routeWith } from './routes.ts';
import { sideRoutes } from './side-routes.ts';
import { acceptsGzip } from './static-library.ts';

const others = [
  '/capture', '/batch', '/e', '/i/v0/e', '/track', '/engage', '/i/v0/ai/batch', '/api/projects', '/_liveness', '/_readiness',
  '/metrics', '/openapi.json', '/array/x/config', '/array/x/config.js', '/static/array.js', '/static/1/array.js',
]; // prettier-ignore

describe('the ingest path', () => {
  it('cannot begin like any path that is served', () => {
    const reserved: readonly string[] = reservedFirstSegments;
    for (const path of [...sideRoutes.keys(), ...others]) {
      expect({ path, kind: routeOf(path).kind }).not.toMatchObject({ kind: 'unknown' });
      expect(reserved).toContain(path.split('/')[1]);
    }
  });

  it('shows capture and its sides, and hides the rest', () => {
    const shown = [...sideRoutes.keys(), ...others].filter((path) => routeWith('/in', `/in${path}`).kind !== 'unknown');
    const hidden = ['/api/projects', '/_liveness', '/_readiness', '/metrics', '/openapi.json'];
    expect(shown).toEqual([...sideRoutes.keys(), ...others].filter((path) => !hidden.includes(path)));
  });

  it.each([
    ['/in/e/', 'capture'],
    ['/in/in/e/', 'unknown'],
    ['/in', 'unknown'],
    ['/in/', 'unknown'],
    ['/ine/', 'unknown'],
    ['/IN/e/', 'unknown'],
    ['/e/', 'capture'],
    ['/metrics', 'metrics'],
  ])('%s leads to %s', (path, kind) => {
    expect(routeWith('/in', path).kind).toBe(kind);
  });
});

describe('Accept-Encoding', () => {
  it.each([
    [undefined, false],
    ['', false],
    ['gzip', true],
    ['GZIP', true],
    ['x-gzip', true],
    ['br, deflate, gzip;q=0.5', true],
    ['gzip;q=0', false],
    ['gzip; q=0.0, *', false],
    ['*', true],
    ['*;q=0', false],
    ['identity', false],
    ['gzipped', false],
  ])('%j takes gzip: %s', (header, isTaken) => {
    expect(acceptsGzip(header)).toBe(isTaken);
  });
});
