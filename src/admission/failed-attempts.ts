/**
 * Failed authentication, counted by the network that it comes from: who guesses personal keys, or goes on with one that was
 * revoked, is told to wait.
 *
 * What counts   a personal key that is unknown or revoked, on every route. A missing one is no guess. Project keys do not
 *               count: they are public, so there is nothing to guess, and the SDKs give up on a 401 but come again after
 *               a 429, so that a limit would turn one wrong key into a flood.
 * Who is held   only requests that fail. A key that is valid passes whatever its neighbours behind the same address do, so
 *               nobody can shut others out. What keeps keys from being guessed is their length (256 random bits); this
 *               makes trying slow and visible.
 * Bounds        `maxNetworks` buckets; the one that failed longest ago is forgotten first.
 */
import type { Clock } from '../event/clock.ts';
import { networkOf, type NetworkSize } from './network-address.ts';

/** Failures that may come at once. */
export const MAX_FAILED_ATTEMPTS = 20;
/** Then one more in this time: 20 a minute. */
export const ATTEMPT_INTERVAL_MS = 3_000;
const MAX_NETWORKS = 10_000;

/** A home or a server is given a /64 of IPv6 at least, and may use any address of it. */
const COUNTED: NetworkSize = { ipv4Octets: 4, ipv6Groups: 4 };

interface Bucket {
  /** Failures that there is room for. */
  readonly room: number;
  /** Monotonic. */
  readonly atMs: number;
}

export class FailedAttempts {
  readonly #clock: Clock;
  readonly #maxNetworks: number;
  /** In the order of their last failures. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(clock: Clock, maxNetworks = MAX_NETWORKS) {
    this.#clock = clock;
    this.#maxNetworks = maxNetworks;
  }

  /**
   * @param address of the client that failed
   * @returns whole seconds until it may fail again, from 1; undefined: it failed within its limit
   */
  note(address: string): number | undefined {
    const network = networkOf(address, COUNTED) ?? address;
    const nowMs = this.#clock.monotonicMs();
    const known = this.#buckets.get(network);
    const refilled =
      known === undefined ? MAX_FAILED_ATTEMPTS : known.room + (nowMs - known.atMs) / ATTEMPT_INTERVAL_MS;
    const room = Math.min(MAX_FAILED_ATTEMPTS, refilled);
    const isWithin = room >= 1;
    this.#buckets.delete(network);
    this.#buckets.set(network, { room: isWithin ? room - 1 : room, atMs: nowMs });
    if (this.#buckets.size > this.#maxNetworks) {
      for (const oldest of this.#buckets.keys()) {
        this.#buckets.delete(oldest);
        break;
      }
    }
    return isWithin ? undefined : Math.max(1, Math.ceil(((1 - room) * ATTEMPT_INTERVAL_MS) / 1_000));
  }
}
