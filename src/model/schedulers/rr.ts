// SPDX-License-Identifier: Apache-2.0
// Round robin (ip_vs_rr.c).
import { isUsable, type Member, type Scheduled, type Scheduler } from './scheduler.ts';

export class RoundRobin<M extends Member> implements Scheduler<M> {
  /** Whom it chose last; undefined is the head of the list, before its first member. */
  #last: M | undefined;

  bind(): void {
    this.#last = undefined;
  }

  destinationDeleted({ destinations }: Scheduled<M>, deleted: M, place: number): void {
    if (this.#last === deleted) this.#last = destinations[place - 1];
  }

  pick({ destinations }: Scheduled<M>): M | undefined {
    const next = this.#last ? destinations.indexOf(this.#last) + 1 : 0;
    const walk = [...destinations.slice(next), ...destinations.slice(0, next)];
    const found = walk.find(isUsable);
    if (found) this.#last = found;
    return found;
  }
}
