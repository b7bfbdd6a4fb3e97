// SPDX-License-Identifier: Apache-2.0
// What lblc and lblcr remember of each address that clients ask for, and how long (ip_vs_lblc.c, ip_vs_lblcr.c).
import type { Address } from '../address.ts';
import type { Member } from './scheduler.ts';

/** More entries than that are thinned out. */
export const maxCacheEntries = 16_384;
/** Then those go that were not used for so long. */
const thinnedAfterSeconds = 360;
/** Every so many housekeepings all go that were not used for the sysctl's time. */
const runsPerExpiration = 30;

export interface CacheEntry {
  /** By the environment's clock, in seconds. */
  lastUse: number;
}

export class LocalityCache<E extends CacheEntry> {
  readonly #entries = new Map<Address, E>();
  readonly #now: () => number;
  readonly #expirationSeconds: number;
  #run = 1;

  constructor(now: () => number, expirationSeconds: number) {
    this.#now = now;
    this.#expirationSeconds = expirationSeconds;
  }

  /** As new. */
  clear(): void {
    this.#entries.clear();
    this.#run = 1;
  }

  /** The address's entry, used now. */
  use(address: Address): E | undefined {
    const entry = this.#entries.get(address);
    if (entry) entry.lastUse = this.#now();
    return entry;
  }

  set(address: Address, entry: E): void {
    this.#entries.set(address, entry);
  }

  /** To be called every 60 seconds. */
  housekeep(): void {
    if (this.#run === runsPerExpiration) {
      this.#run = 1;
      this.#drop(this.#entries.size, this.#expirationSeconds);
      return;
    }
    const surplus = this.#entries.size - maxCacheEntries;
    if (surplus > 0) {
      const goal = Math.min(Math.floor((surplus * 4) / 3), maxCacheEntries / 2);
      this.#drop(goal, thinnedAfterSeconds);
    } else this.#run++;
  }

  /** Drops so many that were not used for so long; which ones of more is not defined. */
  #drop(goal: number, idleSeconds: number): void {
    const usedBefore = this.#now() - idleSeconds;
    let left = goal;
    for (const [address, { lastUse }] of this.#entries) {
      if (left === 0) return;
      if (lastUse > usedBefore) continue;
      this.#entries.delete(address);
      left--;
    }
  }
}

/** More active connections than its weight says, while another one of the list has less than half as many. */
export function isOverfull(member: Member, list: readonly Member[]): boolean {
  return (
    member.activeConnections > member.weight &&
    list.some((other) => 2 * other.activeConnections < other.weight)
  );
}
