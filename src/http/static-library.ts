/**
 * posthog-js as files: `array.js`, the scripts that it loads later, and their source maps, from the installed package.
 *
 * Guarantees  Only names that the package's `dist` folder held at start are served; a name is looked up, never joined to a
 *             path. Any version in the path gets these files: there are no others here (sdks.md 20.2).
 * Bounds      Each file is kept at most once as it is and once compressed, from its first use on: in all less than twice
 *             the folder, about 26 MB. Requests of a file that is not there yet wait for the same read.
 * Failure     Without the package nothing is served here, and capture does not notice. A file that cannot be read any
 *             more fails that request, and is tried again by the next.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

export interface StaticFile {
  readonly name: string;
  readonly contentType: 'text/javascript; charset=utf-8' | 'application/json';
  /** Without quotes; the compressed form has one of its own. */
  readonly tag: string;
}

export type StaticForm = 'plain' | 'gzip';

const SERVED = /^[A-Za-z0-9._-]+\.js(?:\.map)?$/;
const gzipLater = promisify(gzip);

export class StaticLibrary {
  /** Of the package; empty when it is not there. */
  readonly version: string;
  readonly #folder: string;
  readonly #files: ReadonlyMap<string, StaticFile>;
  readonly #forms = new Map<string, Promise<Buffer>>();

  private constructor(folder: string, version: string, files: ReadonlyMap<string, StaticFile>) {
    this.version = version;
    this.#folder = folder;
    this.#files = files;
  }

  /**
   * Lists the folder; reads no file of it.
   *
   * @param manifest the package's package.json; left out, that of the installed one
   */
  static open(manifest?: string): StaticLibrary {
    try {
      const path = manifest ?? createRequire(import.meta.url).resolve('posthog-js/package.json');
      const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version: string };
      const folder = join(dirname(path), 'dist');
      const files = readdirSync(folder)
        .filter((name) => SERVED.test(name))
        .map((name) => staticFile(name, `${version}-${statSync(join(folder, name)).size.toString(36)}`));
      return new StaticLibrary(folder, version, new Map(files.map((file) => [file.name, file])));
    } catch {
      return new StaticLibrary('', '', new Map());
    }
  }

  find(name: string): StaticFile | undefined {
    return this.#files.get(name);
  }

  /** The same buffer for everybody: not to be written to. */
  read(file: StaticFile, form: StaticForm): Promise<Buffer> {
    const key = `${form}:${file.name}`;
    const known = this.#forms.get(key);
    if (known !== undefined) return known;
    const path = join(this.#folder, file.name);
    const bytes = form === 'plain' ? readFile(path) : this.read(file, 'plain').then((plain) => gzipLater(plain));
    this.#forms.set(key, bytes);
    bytes.catch(() => this.#forms.delete(key));
    return bytes;
  }
}

function staticFile(name: string, tag: string): StaticFile {
  return { name, contentType: name.endsWith('.js') ? 'text/javascript; charset=utf-8' : 'application/json', tag };
}

/** Does the client take gzip? `*` counts, a weight of 0 does not (RFC 9110 12.5.3). */
export function acceptsGzip(acceptEncoding: string | undefined): boolean {
  if (acceptEncoding === undefined) return false;
  let any = false;
  for (const part of acceptEncoding.split(',')) {
    const [name = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase());
    const weight = parameters.find((parameter) => parameter.startsWith('q='));
    const isWanted = weight === undefined || Number(weight.slice(2)) > 0;
    if (name === 'gzip' || name === 'x-gzip') return isWanted;
    if (name === '*') any = isWanted;
  }
  return any;
}
