// SPDX-License-Identifier: Apache-2.0
// Locality-based least connection with replication (ip_vs_lblcr.c): an address has a set of destinations, which grows when the
// least loaded of it is too full, and shrinks when it has not changed for long.
import { isHeavier, leastWeightedOverhead, overhead } from './load.ts';
import { type CacheEntry, isOverfull, LocalityCache } from './locality-cache.ts';
import type { Member, Request, Scheduled, Scheduler, SchedulerEnvironment } from './scheduler.ts';

interface Entry<M> extends CacheEntry {
  /** Newest first. */
  members: M[];
  /** When the set last changed, by the environment's clock. */
  changedAt: number;
}

export class ReplicatedLocalityLeastConnection<M extends Member> implements Scheduler<M> {
  readonly #environment: SchedulerEnvironment;
  readonly #cache: LocalityCache<Entry<M>>;

  constructor(environment: SchedulerEnvironment) {
    this.#environment = environment;
    this.#cache = new LocalityCache(environment.now, environment.lblcrExpirationSeconds);
  }

  bind(): void {
    this.#cache.clear();
  }

  pick({ destinations }: Scheduled<M>, { destination }: Request): M | undefined {
    const { profile, now } = this.#environment;
    const entry = this.#cache.use(destination);
    if (!entry) {
      const first = leastWeightedOverhead(destinations, profile);
      if (first) {
        this.#cache.set(destination, { members: [first], lastUse: now(), changedAt: now() });
      }
      return first;
    }
    const best = leastWeightedOverhead(entry.members, profile);
    this.#shrink(entry);
    if (best && !isOverfull(best, destinations)) return best;
    const another = leastWeightedOverhead(destinations, profile);
    if (another && !entry.members.includes(another)) this.#change(entry, [another, ...entry.members]);
    return another;
  }

  /** Removes the most loaded member of a set that has not changed for long; it may be the one that was just chosen. */
  #shrink(entry: Entry<M>): void {
    const { profile, now, lblcrExpirationSeconds } = this.#environment;
    if (entry.members.length < 2 || now() <= entry.changedAt + lblcrExpirationSeconds) return;
    let most: M | undefined;
    for (const member of entry.members) {
      if (member.weight === 0) continue;
      if (!most || isHeavier(member, most, (each) => overhead(each, profile))) most = member;
    }
    if (most) {
      this.#change(
        entry,
        entry.members.filter((member) => member !== most),
      );
    }
  }

  #change(entry: Entry<M>, members: M[]): void {
    entry.members = members;
    entry.changedAt = this.#environment.now();
  }

  housekeep(): void {
    this.#cache.housekeep();
  }
}
