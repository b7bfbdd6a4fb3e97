// SPDX-License-Identifier: Apache-2.0
// Schedulers that compare destinations' loads: lc, wlc, sed, nq (ip_vs_lc.c, ip_vs_wlc.c, ip_vs_sed.c, ip_vs_nq.c).
import { isUsable, type Member, type Scheduled, type Scheduler, type VersionProfile } from './scheduler.ts';

/** Of lc, wlc, lblc, lblcr and twos, a signed number of 32 bits: an active connection counts as 256 inactive ones, or 257. */
export function overhead(member: Member, profile: VersionProfile): number {
  const { activeConnections: active, totalConnections: total } = member;
  return ((active << 8) + (profile === 'recent' ? total : total - active)) | 0;
}

/** Of sed and nq: connections that are active if one more comes. */
export function expectedDelay(member: Member): number {
  return member.activeConnections + 1;
}

/** Whether a has more load for its weight than b; 64-bit arithmetic as in the kernel. */
export function isHeavier(a: Member, b: Member, load: (member: Member) => number): boolean {
  return BigInt(load(a)) * BigInt(b.weight) > BigInt(load(b)) * BigInt(a.weight);
}

/** Of those that may get new connections the one with the least load for its weight; the earliest of equal ones. */
export function leastLoaded<M extends Member>(
  list: readonly M[],
  load: (member: Member) => number,
): M | undefined {
  let best: M | undefined;
  for (const member of list) {
    if (isUsable(member) && (!best || isHeavier(best, member, load))) best = member;
  }
  return best;
}

/** The rule of wlc, to which lblc and lblcr fall back. */
export function leastWeightedOverhead<M extends Member>(
  list: readonly M[],
  profile: VersionProfile,
): M | undefined {
  return leastLoaded(list, (member) => overhead(member, profile));
}

export class LeastConnection<M extends Member> implements Scheduler<M> {
  readonly #profile: VersionProfile;

  constructor(profile: VersionProfile) {
    this.#profile = profile;
  }

  pick({ destinations }: Scheduled<M>): M | undefined {
    let best: M | undefined;
    for (const member of destinations) {
      if (!isUsable(member)) continue;
      if (!best || overhead(member, this.#profile) < overhead(best, this.#profile)) best = member;
    }
    return best;
  }
}

export class WeightedLeastConnection<M extends Member> implements Scheduler<M> {
  readonly #profile: VersionProfile;

  constructor(profile: VersionProfile) {
    this.#profile = profile;
  }

  pick({ destinations }: Scheduled<M>): M | undefined {
    return leastWeightedOverhead(destinations, this.#profile);
  }
}

export class ShortestExpectedDelay<M extends Member> implements Scheduler<M> {
  pick({ destinations }: Scheduled<M>): M | undefined {
    return leastLoaded(destinations, expectedDelay);
  }
}

export class NeverQueue<M extends Member> implements Scheduler<M> {
  pick({ destinations }: Scheduled<M>): M | undefined {
    const idle = destinations.find((member) => isUsable(member) && member.activeConnections === 0);
    return idle ?? leastLoaded(destinations, expectedDelay);
  }
}
