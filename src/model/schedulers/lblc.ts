// SPDX-License-Identifier: Apache-2.0
// Locality-based least connection (ip_vs_lblc.c): an address's connections stay at one destination while it can take them.
import { leastWeightedOverhead } from './load.ts';
import { type CacheEntry, isOverfull, LocalityCache } from './locality-cache.ts';
import type { Member, Request, Scheduled, Scheduler, SchedulerEnvironment } from './scheduler.ts';

interface Entry<M> extends CacheEntry {
  readonly member: M;
}

export class LocalityLeastConnection<M extends Member> implements Scheduler<M> {
  readonly #environment: SchedulerEnvironment;
  readonly #cache: LocalityCache<Entry<M>>;

  constructor(environment: SchedulerEnvironment) {
    this.#environment = environment;
    this.#cache = new LocalityCache(environment.now, environment.lblcExpirationSeconds);
  }

  bind(): void {
    this.#cache.clear();
  }

  pick({ destinations }: Scheduled<M>, { destination }: Request): M | undefined {
    const cached = this.#cache.use(destination)?.member;
    // A full destination keeps its addresses: the overload bit is not asked for.
    const isKept = cached?.isAvailable && cached.weight > 0 && !isOverfull(cached, destinations);
    if (isKept) return cached;
    const member = leastWeightedOverhead(destinations, this.#environment.profile);
    if (member) this.#cache.set(destination, { member, lastUse: this.#environment.now() });
    return member;
  }

  housekeep(): void {
    this.#cache.housekeep();
  }
}
