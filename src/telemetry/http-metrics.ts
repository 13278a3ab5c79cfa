import { Histogram } from './instruments.ts';

const SECONDS = [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** The commonest first. A method that is none of these counts as `other`: clients may send any word. */
const METHODS: readonly string[] = ['POST', 'GET', 'HEAD', 'OPTIONS'];
/** Status codes have three digits. */
const STATUSES = 1000;

/** The requests of one route that ended alike. */
export interface AnsweredRequests {
  readonly route: string;
  readonly method: string;
  readonly status: number;
  /** Its count is the number of requests. */
  readonly seconds: Histogram;
}

/** Requests by route, method and status. */
export class HttpMetrics {
  readonly #byRoute = new Map<string, Map<number, AnsweredRequests>>();
  #inFlight = 0;
  /** Those that are open. */
  connections = 0;

  get inFlight(): number {
    return this.#inFlight;
  }

  began(): void {
    this.#inFlight += 1;
  }

  /** @param request `route`: one of a closed set, never what a client sent */
  answered(request: {
    readonly route: string;
    readonly method: string | undefined;
    readonly status: number;
    readonly seconds: number;
  }): void {
    this.#inFlight -= 1;
    this.#cell(request.route, methodAt(request.method), request.status).seconds.observe(request.seconds);
  }

  /** The client went away before it was answered. */
  abandoned(): void {
    this.#inFlight -= 1;
  }

  *all(): Iterable<AnsweredRequests> {
    for (const cells of this.#byRoute.values()) yield* cells.values();
  }

  #cell(route: string, method: number, status: number): AnsweredRequests {
    let cells = this.#byRoute.get(route);
    if (cells === undefined) {
      cells = new Map();
      this.#byRoute.set(route, cells);
    }
    const key = method * STATUSES + status;
    let cell = cells.get(key);
    if (cell === undefined) {
      cell = { route, method: METHODS[method] ?? 'other', status, seconds: new Histogram(SECONDS) };
      cells.set(key, cell);
    }
    return cell;
  }
}

function methodAt(method: string | undefined): number {
  const at = METHODS.indexOf(method ?? '');
  return at < 0 ? METHODS.length : at;
}
