// SPDX-License-Identifier: Apache-2.0
// Whether syncs keep up with what is queued, for each family: what health servers tell of.
import type { Family } from '../model/address.ts';

export interface FamilyHealth {
  readonly lastUpdatedMs: number;
  readonly isHealthy: boolean;
}

/** Times are milliseconds since 1970. */
export interface Health {
  /** Of the newest sync; undefined before the first one. */
  readonly lastUpdatedMs: number | undefined;
  readonly currentMs: number;
  readonly isHealthy: boolean;
  /** A family is in it from its first sync on. */
  readonly families: ReadonlyMap<Family, FamilyHealth>;
}

/**
 * A family is unhealthy where something has been queued for `timeoutMs` without a completed sync; with nothing queued it is
 * healthy however old the last sync is. Source: ProxyHealthServer of kube-proxy, whose timeout is twice syncPeriod.
 */
export class SyncHealth {
  readonly #timeoutMs: number;
  readonly #now: () => number;
  readonly #updated = new Map<Family, number>();
  readonly #queued = new Map<Family, number>();

  constructor(timeoutMs: number, now: () => number = Date.now) {
    this.#timeoutMs = timeoutMs;
    this.#now = now;
  }

  /** Something waits to be synced; what waits already goes on waiting since when it came. */
  queued(family: Family): void {
    if (!this.#queued.has(family)) this.#queued.set(family, this.#now());
  }

  /** A sync has succeeded; the start of the family's loop counts as one. */
  updated(family: Family): void {
    this.#queued.delete(family);
    this.#updated.set(family, this.#now());
  }

  read(): Health {
    const currentMs = this.#now();
    const families = new Map(
      [...this.#updated].map(([family, lastUpdatedMs]) => {
        const since = this.#queued.get(family);
        const isHealthy = since === undefined || currentMs - since < this.#timeoutMs;
        return [family, { lastUpdatedMs, isHealthy }] as const;
      }),
    );
    const all = [...families.values()];
    return {
      lastUpdatedMs: all.length === 0 ? undefined : Math.max(...all.map((each) => each.lastUpdatedMs)),
      currentMs,
      isHealthy: all.every((each) => each.isHealthy),
      families,
    };
  }
}
